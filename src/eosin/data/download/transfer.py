"""Transfer of one file over HTTP(S): resumed with Range and If-Range, retried with growing pauses.

Attempts are counted here rather than by urllib3's ``Retry``: the attempts at a resumed transfer
count together, whether connection, status or body failed, and each pause is logged.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from eosin.core.errors import DownloadError, MissingPartError, OutputError
from eosin.core.files import explain_os_errors
from eosin.core.progress import progress_bar
from eosin.data.download.part import PARTIAL, CutError, Part
from eosin.data.download.source import RemoteFile

_LOG = logging.getLogger(__name__)

_CHUNK = 1 << 18
#: Bytes after which earlier failures no longer count.
_PROGRESS_BYTES = 1 << 20


@dataclass(frozen=True)
class Patience:
    """Time-outs and retries.

    Attributes:
        attempts: Attempts in a row without a further mebibyte.
        first_pause_s: The pause after the first failure; it doubles with each.
        longest_pause_s: The longest pause.
        connect_timeout_s: For the connection.
        read_timeout_s: For the next bytes.
        slowest_bytes_per_s: Slower than this over a whole read time-out counts as a stall.
    """

    attempts: int = 6
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    connect_timeout_s: float = 20.0
    read_timeout_s: float = 60.0
    slowest_bytes_per_s: float = 100.0


class Transfer:
    """Transfer of one file from one address into its part.

    Args:
        file: The remote file.
        part: Where its bytes go; bytes that are there already are not fetched again.
        patience: Time-outs and retries.
    """

    def __init__(
        self,
        file: RemoteFile,
        part: Part,
        *,
        patience: Patience,
    ) -> None:
        self.file = file
        self.part = part
        self.patience = patience

    def run(self, url: str) -> None:
        """Fetch until the part is complete.

        Raises:
            DownloadError: The server will not serve it, or fails repeatedly; the bytes so far are
                kept.
            OutputError: It does not fit or cannot be written.
        """
        import requests

        failures, furthest = 0, self.part.size
        with requests.Session() as session:
            session.headers["User-Agent"] = f"eosin/{metadata.version('eosin')}"
            # Bytes as they lie on the server: a checksum of decoded content would not match.
            session.headers["Accept-Encoding"] = "identity"
            while True:
                try:
                    with _as_cuts(url):
                        self._attempt(session, url)
                    return
                except CutError as cut:
                    if self.part.size >= furthest + _PROGRESS_BYTES:
                        failures, furthest = 0, self.part.size
                    failures += 1
                    if failures >= self.patience.attempts:
                        raise self._give_up(url, cut) from cut
                    pause = max(self.patience.first_pause_s * 2 ** (failures - 1), cut.wait_s)
                    pause = min(pause, self.patience.longest_pause_s)
                    came = f"{decimal(self.part.size)} have come, " if self.part.size else ""
                    _LOG.info(f"{self.file.name}: {cut}; {came}trying again in {pause:.0f} s")
                    time.sleep(pause)

    def _attempt(self, session: Any, url: str) -> None:
        headers = self._range(url)
        came, origin = self.part.size, self.part.origin()
        if origin is None or origin.length is None or came < origin.length:
            with self._ask(session, url, headers) as response:
                check_redirects(response)
                start, length = self.part.read_answer(response, url)
                if start < came:
                    _LOG.info(f"{self.file.name}: the server serves it anew, from the beginning")
                self._check_length(url, start, length)
                if start != length:
                    self._receive(response, start, length or self.file.size)
        if self.file.checksum is None:
            self._probe_end(session, url)

    def _ask(self, session: Any, url: str, headers: dict[str, str]) -> Any:
        timeout = (self.patience.connect_timeout_s, self.patience.read_timeout_s)
        return session.get(url, headers=headers, stream=True, timeout=timeout)

    def _range(self, url: str) -> dict[str, str]:
        """Return the headers that request the rest of the part, if it can be resumed."""
        origin = self.part.origin()
        if origin is None or origin.url != url:
            self.part.discard()
        # With neither, two versions could be joined unnoticed.
        elif self.part.size and (origin.validator or self.file.checksum):
            condition = {"If-Range": origin.validator} if origin.validator else {}
            return {"Range": f"bytes={self.part.size}-", **condition}
        return {}

    def _check_length(self, url: str, start: int, length: int | None) -> None:
        published = self.file.size
        if published is not None and length not in (None, published):
            self.part.discard()
            raise DownloadError(
                f"{url} serves {length} bytes, where {published} were published: "
                "the file has changed"
            )
        check_space(self.part.path.parent, (published or length or 0) - start, self.file.name)

    def _receive(self, response: Any, start: int, expected: int | None) -> None:
        from urllib3.exceptions import ProtocolError

        try:
            self._write(response, start, expected)
        except ProtocolError:
            if expected is None:
                raise  # only the error shows that it is incomplete
        came = self.part.size
        if expected is None or came == expected:
            return
        if came > expected:
            self.part.discard()
            raise CutError(f"the server sent more than the {expected} bytes that it promised")
        raise CutError(f"the connection ended after {came} of {expected} bytes")

    def _write(self, response: Any, came: int, expected: int | None) -> None:
        with (
            explain_os_errors("write", self.part.path),
            self.part.path.open("ab") as stream,
            progress_bar(f"Fetching {self.file.name}", unit="bytes") as advance,
        ):
            for chunk in _pieces(response, self.patience):
                stream.write(chunk)
                came += len(chunk)
                advance(came, expected or came)
                if expected is not None and came > expected:
                    return

    def _probe_end(self, session: Any, url: str) -> None:
        """Request what follows the last byte: without a checksum, nothing else shows more."""
        size = self.part.size
        headers = {**self._range(url), "Range": f"bytes={size}-"}
        with self._ask(session, url, headers) as response:
            more = response.status_code == PARTIAL and response.raw.read(1)
        origin = self.part.origin()
        if more and origin is not None and origin.length is None:
            raise CutError(f"the connection ended after {size} bytes, and the file has more")
        if more:
            self.part.discard()
            raise DownloadError(
                f"{url} promised {size} bytes and has more: the file cannot be trusted",
                hint="Try again later, or tell those who serve it",
            )

    def _give_up(self, url: str, cut: CutError) -> DownloadError:
        kept = self.part.size
        return DownloadError(
            f"{url} could not be fetched in {self.patience.attempts} attempts: {cut}",
            hint=f"{decimal(kept)} are kept: the same command goes on from there"
            if kept
            else "Check the network, then give the same command again",
        )


def check_installed() -> None:
    """Raise MissingPartError if requests is not installed."""
    try:
        import requests  # noqa: F401
    except ImportError as error:
        raise MissingPartError(
            "fetching data sets needs requests, which is not installed",
            hint="pip install 'eosin[train]', or pip install requests",
        ) from error


def check_space(folder: Path, needed: int, purpose: str) -> None:
    """Check the free disk space before a download or an unpacking.

    Args:
        folder: Destination; need not exist.
        needed: Bytes that it takes.
        purpose: What takes them, for the message.

    Raises:
        OutputError: There is too little space.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise OutputError(
            f"{purpose} needs {decimal(needed)} in {folder}, where {decimal(free)} are free",
            hint="Free some space, or choose another folder with -o",
        )


def _pieces(response: Any, patience: Patience) -> Iterator[bytes]:
    """Yield chunks as they arrive; a trickle counts as a stall."""
    start, came = time.monotonic(), 0
    # `read` would wait until the piece is full, which a trickle can put off for ever.
    while chunk := response.raw.read1(_CHUNK, decode_content=False):
        yield chunk
        came += len(chunk)
        elapsed = time.monotonic() - start
        if elapsed >= patience.read_timeout_s:
            if came < patience.slowest_bytes_per_s * elapsed:
                raise CutError(f"only {came} bytes came in {elapsed:.0f} s")
            start, came = time.monotonic(), 0


def check_redirects(response: Any) -> None:
    """Raise an error for a redirect from https to http; requests itself rejects other protocols."""
    hops = [hop.url for hop in (*response.history, response)]
    for before, after in pairwise(hops):
        if before.startswith("https:") and not after.startswith("https:"):
            raise DownloadError(f"{before} redirects to {after}, which is not encrypted")


@contextmanager
def _as_cuts(url: str) -> Iterator[None]:
    """Convert library errors into CutError, if a retry may help, or DownloadError."""
    import requests
    import urllib3

    broken = requests.exceptions
    try:
        yield
    except broken.SSLError as error:
        raise DownloadError(
            f"{url} has no certificate that this machine trusts",
            hint="Check the clock and the network; a proxy may want REQUESTS_CA_BUNDLE",
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
