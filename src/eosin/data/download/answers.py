"""What a server's answer means for a file under way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from eosin.core.errors import DownloadError
from eosin.data.download.part import Origin, Part

#: The status of an answer that brings a part of a file.
PARTIAL = 206
_RANGE_REFUSED = 416
# Worth another attempt: time-outs, too many requests, and the server's own troubles.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class CutError(Exception):
    """A transfer broke off in a way that another attempt may mend.

    Args:
        reason: What happened.
        wait_s: How long the server asks to wait, in seconds.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Answer:
    """What is about to come.

    Attributes:
        start: The first byte's place in the file.
        length: The whole file's length in bytes; None where the server does not say.
        complete: Whether nothing is missing any more.
    """

    start: int
    length: int | None
    complete: bool = False


def read_answer(response: Any, part: Part, url: str) -> Answer:
    """Tell what a response brings, and make ``part`` ready for it.

    Args:
        response: A response of requests whose body is not read yet.
        part: What has come before.
        url: The address that was asked; redirects may have led elsewhere.

    Raises:
        CutError: The server cannot serve it now, or the file is no longer the one it was.
        DownloadError: The server will not serve it.
    """
    status = response.status_code
    if status in _PASSING:
        raise CutError(f"the server answered {status} {response.reason}", _wait_of(response))
    if status == _RANGE_REFUSED:
        return _judge_refusal(response, part)
    if status == PARTIAL:
        return _judge_rest(response, part)
    if not response.ok:
        raise DownloadError(f"{response.url} answered {status} {response.reason}")
    _refuse_page(response, part)
    length = _number(response.headers.get("Content-Length"))
    part.begin(Origin(url, _validator(response), length))
    return Answer(start=0, length=length)


def _judge_rest(response: Any, part: Part) -> Answer:
    origin = part.origin()
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    start, length = (_number(found[1]), _number(found[3])) if found else (None, None)
    known = origin.length if origin else None
    if start != part.size or (known is not None and length not in (None, known)):
        part.discard()
        raise CutError("the server sent another part than the one that was asked for")
    if origin is not None and _has_changed(response, origin.validator):
        part.discard()
        raise CutError("the file has changed on the server")
    return Answer(start=part.size, length=known if known is not None else length)


def _has_changed(response: Any, validator: str) -> bool:
    """Tell whether a rest is of another version, be it that the server heeds no If-Range."""
    header = "ETag" if validator.startswith('"') else "Last-Modified"
    return bool(validator) and response.headers.get(header, validator) != validator


def _judge_refusal(response: Any, part: Part) -> Answer:
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    length = _number(found[3]) if found else None
    if length is not None and length == part.size:
        return Answer(start=length, length=length, complete=True)
    part.discard()
    raise CutError("the server has no such part of the file any more")


def _refuse_page(response: Any, part: Part) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and not part.path.name.endswith((".html.part", ".htm.part")):
        raise DownloadError(f"{response.url} answered with a web page instead of the file")


def _validator(response: Any) -> str:
    etag = str(response.headers.get("ETag", ""))
    # A weak tag (W/"…") promises the same meaning, not the same bytes: useless for resuming.
    return etag if etag.startswith('"') else str(response.headers.get("Last-Modified", ""))


def _wait_of(response: Any) -> float:
    return float(_number(response.headers.get("Retry-After")) or 0)


def _number(text: str | None) -> int | None:
    # Python reads no number of more than 4,300 digits.
    return int(text) if text and text.isdecimal() and len(text) < 19 else None
