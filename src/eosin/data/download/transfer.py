"""One file over HTTP(S): resumed with Range and If-Range, tried again with growing pauses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from typing import Any

from eosin.core.errors import DownloadError
from eosin.core.files import explain_os_errors
from eosin.core.progress import Advance
from eosin.data.download.amounts import check_space, tell_bytes
from eosin.data.download.answers import PARTIAL, Answer, CutError, read_answer
from eosin.data.download.part import Part
from eosin.data.download.source import RemoteFile

_CHUNK = 1 << 18
#: How far a transfer must have come for its failures to be forgotten.
_PROGRESS_BYTES = 1 << 20


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        attempts: How often to try in a row without getting a mebibyte further.
        first_pause_s: The pause after the first failure; it doubles with each.
        longest_pause_s: The longest pause.
        connect_timeout_s: For the connection.
        read_timeout_s: For the next bytes.
        slowest_bytes_per_s: Slower than this over a whole read time-out is no transfer.
    """

    attempts: int = 6
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    connect_timeout_s: float = 20.0
    read_timeout_s: float = 60.0
    slowest_bytes_per_s: float = 100.0


class Transfer:
    """Brings one file from one address into its part.

    Args:
        file: What is fetched.
        part: Where its bytes go; what is there already is not fetched again.
        patience: How long to wait for the server.
        say: Told of each failure and pause.
        advance: Told of each piece that comes.
    """

    def __init__(
        self,
        file: RemoteFile,
        part: Part,
        *,
        patience: Patience,
        say: Callable[[str], None],
        advance: Advance,
    ) -> None:
        self.file = file
        self.part = part
        self.patience = patience
        self.say = say
        self.advance = advance

    def run(self, url: str) -> None:
        """Fetch until the part is whole.

        Raises:
            DownloadError: The server will not serve it, or fails again and again; what came then
                stays for the next time.
            OutputError: It does not fit or cannot be written.
        """
        import requests

        failures, furthest, pause = 0, self.part.size, self.patience.first_pause_s
        with requests.Session() as session:
            while True:
                try:
                    with _as_cuts(url):
                        self._attempt(session, url)
                    return
                except CutError as cut:
                    failures += 1
                    if self.part.size >= furthest + _PROGRESS_BYTES:
                        failures, pause = 1, self.patience.first_pause_s
                        furthest = self.part.size
                    if failures >= self.patience.attempts:
                        raise self._give_up(url, cut) from cut
                    wait = min(max(pause, cut.wait_s), self.patience.longest_pause_s)
                    self.say(f"{self.file.name}: {cut}; {self._came()}trying again in {wait:.0f} s")
                    time.sleep(wait)
                    pause *= 2

    def _attempt(self, session: Any, url: str) -> None:
        headers = self._headers(url)
        came = self.part.size
        origin = self.part.origin()
        if origin is None or origin.length is None or came < origin.length:
            with session.get(
                url, headers=headers, stream=True, timeout=self._timeout()
            ) as response:
                _check_hops(response)
                answer = read_answer(response, self.part, url)
                if answer.start < came:
                    self.say(f"{self.file.name}: the server serves it anew, from the beginning")
                self._check_length(url, answer)
                if not answer.complete:
                    self._receive(response, answer)
        if self.file.checksum is None:
            self._probe_end(session, url)

    def _headers(self, url: str) -> dict[str, str]:
        headers = {
            "User-Agent": f"eosin/{metadata.version('eosin')}",
            # Bytes as they lie on the server: a sum over anything else would not fit.
            "Accept-Encoding": "identity",
        }
        origin = self.part.origin()
        if origin is None or origin.url != url:
            self.part.discard()
        elif self.part.size and (origin.validator or self.file.checksum):
            # With neither, two versions could be joined and nothing would tell.
            headers["Range"] = f"bytes={self.part.size}-"
            if origin.validator:
                headers["If-Range"] = origin.validator
        return headers

    def _timeout(self) -> tuple[float, float]:
        return (self.patience.connect_timeout_s, self.patience.read_timeout_s)

    def _check_length(self, url: str, answer: Answer) -> None:
        published = self.file.size
        if published is not None and answer.length not in (None, published):
            self.part.discard()
            raise DownloadError(
                f"{url} serves {answer.length} bytes, where {published} were published: "
                "the file has changed"
            )
        length = published or answer.length or 0
        check_space(self.part.path.parent, length - answer.start, self.file.name)

    def _receive(self, response: Any, answer: Answer) -> None:
        from urllib3.exceptions import ProtocolError

        expected = answer.length if answer.length is not None else self.file.size
        try:
            self._write(response, answer.start, expected)
        except ProtocolError:
            if expected is None:
                raise  # nothing but the error tells that it is not whole
        came = self.part.size
        if expected is None or came == expected:
            return
        if came > expected:
            self.part.discard()
            raise CutError(f"the server sent more than the {expected} bytes that it promised")
        raise CutError(f"the connection ended after {came} of {expected} bytes")

    def _write(self, response: Any, came: int, expected: int | None) -> None:
        with explain_os_errors("write", self.part.path), self.part.path.open("ab") as stream:
            for chunk in _pieces(response, self.patience):
                stream.write(chunk)
                came += len(chunk)
                self.advance(came, expected or came)
                if expected is not None and came > expected:
                    return

    def _probe_end(self, session: Any, url: str) -> None:
        """Ask for what follows the last byte: with no checksum, nothing else tells of more."""
        size = self.part.size
        headers = {**self._headers(url), "Range": f"bytes={size}-"}
        with session.get(url, headers=headers, stream=True, timeout=self._timeout()) as response:
            more = response.status_code == PARTIAL and response.raw.read(1)
        origin = self.part.origin()
        if more and origin is not None and origin.length is None:
            raise CutError(f"the connection ended after {size} bytes, and the file has more")
        if more:
            self.part.discard()
            raise DownloadError(
                f"{url} promised {size} bytes and has more: the file cannot be trusted",
                mend="Try again later, or tell those who serve it",
            )

    def _came(self) -> str:
        return f"{tell_bytes(self.part.size)} have come, " if self.part.size else ""

    def _give_up(self, url: str, cut: CutError) -> DownloadError:
        kept = self.part.size
        return DownloadError(
            f"{url} could not be fetched in {self.patience.attempts} attempts: {cut}",
            mend=f"{tell_bytes(kept)} are kept: the same command goes on from there"
            if kept
            else "Check the network, then give the same command again",
        )


def _pieces(response: Any, patience: Patience) -> Iterator[bytes]:
    """Yield what comes as it comes; a trickle counts as a stall."""
    raw = response.raw
    # `read` waits until the piece is full, which a trickle can put off for ever.
    read = getattr(raw, "read1", raw.read)
    start, came = time.monotonic(), 0
    while chunk := read(_CHUNK, decode_content=False):
        yield chunk
        came += len(chunk)
        elapsed = time.monotonic() - start
        if elapsed >= patience.read_timeout_s:
            if came < patience.slowest_bytes_per_s * elapsed:
                raise CutError(f"only {came} bytes came in {elapsed:.0f} s")
            start, came = time.monotonic(), 0


def _check_hops(response: Any) -> None:
    """Refuse a redirect from https to http; one to anything else requests refuses itself."""
    hops = [hop.url for hop in (*response.history, response)]
    for before, after in pairwise(hops):
        if before.startswith("https:") and not after.startswith("https:"):
            raise DownloadError(f"{before} redirects to {after}, which is not encrypted")


@contextmanager
def _as_cuts(url: str) -> Iterator[None]:
    """Sort what the libraries below raise into what may pass and what will not."""
    import requests
    import urllib3

    broken = requests.exceptions
    try:
        yield
    except broken.SSLError as error:
        raise DownloadError(
            f"{url} has no certificate that this machine trusts",
            mend="Check the clock and the network; a proxy may want REQUESTS_CA_BUNDLE",
        ) from error
    except (broken.InvalidSchema, broken.InvalidURL, broken.MissingSchema) as error:
        raise DownloadError(f"{url} leads to no http(s) address: {error}") from error
    except broken.TooManyRedirects as error:
        raise DownloadError(f"{url} redirects in a circle") from error
    except (broken.Timeout, urllib3.exceptions.ReadTimeoutError) as error:
        raise CutError("the server stopped sending") from error
    except broken.ConnectionError as error:
        raise CutError("the server cannot be reached") from error
    except (broken.RequestException, urllib3.exceptions.HTTPError) as error:
        raise CutError("the connection broke") from error
