"""Partial download: ``NAME.part``, a file with its origin, and what HTTP answers mean for it.

Without its origin a part cannot be matched with the file that the server has today, so it is
discarded.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eosin.core.errors import ArtifactError, DownloadError
from eosin.core.files import read_json, write_json

#: HTTP status "partial content".
PARTIAL = 206
_RANGE_REFUSED = 416
# Worth another attempt: time-outs, too many requests, and server errors.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class CutError(Exception):
    """Transfer error that another attempt may repair, after ``wait_s`` seconds."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Origin:
    """Version of the remote file that a part belongs to.

    Attributes:
        url: The requested address.
        validator: Its strong ETag, else its date of last change; empty without either.
        length: The whole file's length in bytes; None if unknown.
    """

    url: str
    validator: str
    length: int | None


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
        """Interpret the head of a response, and prepare the part for its body.

        Args:
            response: A response of requests whose body is not read yet.
            url: The requested address; redirects may have led elsewhere.

        Returns:
            The position in the file of the response's first byte, and the whole file's length;
            None if the server does not give it. Equal if the part is complete.

        Raises:
            CutError: The server cannot serve it now, or the file has changed.
            DownloadError: The server will not serve it.
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
            raise self._give_up("the server has no such part of the file any more")
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
            raise self._give_up("the server sent another part than the one that was asked for")
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
