"""Transfer of one file over HTTP(S): resumed with Range and If-Range, retried with growing pauses.

What came lies in ``NAME.part`` with its origin beside it, without which it cannot be matched with
the file that the server has today, so it is discarded. Attempts are counted here rather than by
urllib3's ``Retry``: the attempts at a resumed transfer count together, whether connection, status
or body failed, and each pause is logged.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from eosin.core.errors import ArtifactError, DownloadError, MissingPartError, OutputError
from eosin.core.files import explain_os_errors, read_json, write_json
from eosin.core.progress import progress_bar
from eosin.data.download.source import RemoteFile

_LOG = logging.getLogger(__name__)

_CHUNK = 1 << 18
#: Bytes after which earlier failures no longer count.
_PROGRESS_BYTES = 1 << 20
#: HTTP status "partial content".
PARTIAL = 206
_RANGE_REFUSED = 416
# Worth another attempt: time-outs, too many requests, and server errors.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True)
class Patience:
    """Time-outs and retries."""

    attempts: int = 6  # attempts in a row without a further mebibyte
    first_pause_s: float = 1.0  # the pause after the first failure; it doubles with each
    longest_pause_s: float = 60.0  # the longest pause
    connect_timeout_s: float = 20.0  # for the connection
    read_timeout_s: float = 60.0  # for the next bytes
    #: Slower than this over a whole read time-out counts as a stall.
    slowest_bytes_per_s: float = 100.0


@dataclass(frozen=True)
class Transfer:
    """Transfer of one file from one address into its part, whose bytes are not fetched again."""

    file: RemoteFile
    part: Part
    patience: Patience

    def run(self, url: str) -> None:
        """Fetch until the part is complete.

        Raises DownloadError if the server will not serve it, or fails repeatedly (the bytes so far
        are kept); OutputError if it does not fit or cannot be written.
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
                    came = f"{decimal(self.part.size)} received, " if self.part.size else ""
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
                    _LOG.info(f"{self.file.name}: the server restarts it from the beginning")
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
            raise CutError(f"the server sent more than the {expected} bytes that it announced")
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
            raise CutError(f"the connection ended after {size} bytes, before the end of the file")
        if more:
            self.part.discard()
            raise DownloadError(
                f"{url} announced {size} bytes and has more: the file cannot be trusted",
                hint="Try again later, or inform its provider",
            )

    def _give_up(self, url: str, cut: CutError) -> DownloadError:
        kept = self.part.size
        return DownloadError(
            f"{url} could not be fetched in {self.patience.attempts} attempts: {cut}",
            hint=f"{decimal(kept)} are kept: the same command resumes there"
            if kept
            else "Check the network, then repeat the command",
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
    """Check the free disk space before a download or an unpacking into a folder that may not exist.

    ``purpose`` is what takes the ``needed`` bytes, for the message. Raises OutputError if there is
    too little space.
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
                raise CutError(f"only {came} bytes were received in {elapsed:.0f} s")
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
            hint="Check the clock and the network; a proxy may need REQUESTS_CA_BUNDLE",
        ) from error
    except (broken.InvalidSchema, broken.InvalidURL, broken.MissingSchema) as error:
        raise DownloadError(f"{url} leads to no http(s) address: {error}") from error
    except broken.TooManyRedirects as error:
        raise DownloadError(f"{url} redirects in a loop") from error
    except (broken.Timeout, urllib3.exceptions.ReadTimeoutError) as error:
        raise CutError("the server stopped sending") from error
    except broken.ConnectionError as error:
        raise CutError("the server cannot be reached") from error
    except (broken.RequestException, urllib3.exceptions.HTTPError) as error:
        raise CutError("the connection broke") from error


class CutError(Exception):
    """Transfer error that another attempt may repair, after ``wait_s`` seconds."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Origin:
    """Version of the remote file that a part belongs to."""

    url: str  # the requested address
    validator: str  # its strong ETag, else its date of last change; empty without either
    length: int | None  # the whole file's length in bytes; None if unknown


class Part:
    """Partially downloaded file, which becomes ``target``."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Number of bytes so far."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> Origin | None:
        """Return the origin of the bytes; None if unknown."""
        try:
            return Origin(**read_json(self._note))
        except (ArtifactError, TypeError):
            return None

    def begin(self, origin: Origin) -> None:
        """Start with no bytes from ``origin``."""
        self.discard()
        write_json(self._note, asdict(origin))
        self.path.touch()

    def discard(self) -> None:
        """Remove the part and its origin."""
        # The bytes first: an origin without bytes is harmless.
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def read_answer(self, response: Any, url: str) -> tuple[int, int | None]:
        """Interpret the head of a response of requests, and prepare the part for its body.

        Redirects may have led from the requested ``url`` elsewhere. Returns the position in the
        file of the response's first byte, and the whole file's length, None if the server does not
        give it; equal if the part is complete. Raises CutError if the server cannot serve it now,
        or the file has changed; DownloadError if it will not serve it.
        """
        status, headers = response.status_code, response.headers
        if status in _PASSING:
            wait_s = float(_number(headers.get("Retry-After")) or 0)
            raise CutError(f"the server answered {status} {response.reason}", wait_s)
        if status in (PARTIAL, _RANGE_REFUSED):
            found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            start, length = (_number(found[1]), _number(found[3])) if found else (None, None)
            if status == PARTIAL:
                return self._check_rest(response, start, length)
            if length is not None and length == self.size:
                return length, length
            raise self._give_up("the server no longer has that part of the file")
        if not response.ok:
            raise DownloadError(f"{response.url} answered {status} {response.reason}")
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "text/html" and not self.path.name.endswith((".html.part", ".htm.part")):
            raise DownloadError(f"{response.url} answered with a web page instead of the file")
        length = _number(headers.get("Content-Length"))
        self.begin(Origin(url, _validator(headers), length))
        return 0, length

    def _check_rest(
        self, response: Any, start: int | None, length: int | None
    ) -> tuple[int, int | None]:
        origin = self.origin() or Origin("", "", None)
        other = None not in (length, origin.length) and length != origin.length
        if start != self.size or other:
            raise self._give_up(
                "the server sent a different part of the file from the one requested"
            )
        # Not all servers heed If-Range, so the version is compared here, too.
        header = "ETag" if origin.validator.startswith('"') else "Last-Modified"
        if origin.validator and response.headers.get(header, origin.validator) != origin.validator:
            raise self._give_up("the file has changed on the server")
        return self.size, length if origin.length is None else origin.length

    def _give_up(self, reason: str) -> CutError:
        self.discard()
        return CutError(reason)


def _validator(headers: Any) -> str:
    etag = str(headers.get("ETag", ""))
    # A weak tag (W/"…") promises the same meaning, not the same bytes: useless for resuming.
    return etag if etag.startswith('"') else str(headers.get("Last-Modified", ""))


def _number(text: str | None) -> int | None:
    # Python reads no number of more than 4,300 digits.
    return int(text) if text and text.isdecimal() and len(text) < 19 else None
