"""Text for people: names cleaned and compared; numbers, lists, sizes and times formatted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

#: Invisible characters, as copied from documents and dialogs: soft hyphens, zero-width ones, marks
#: of the reading direction (Windows puts one before a path), byte-order marks.
_INVISIBLE = "\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_INSIDE = re.compile(f"[{_INVISIBLE}]")
_AT_ENDS = re.compile(rf"^[\s{_INVISIBLE}]+|[\s{_INVISIBLE}]+$")
#: What separates the parts of a name: blanks, underscores, hyphens, dashes, the minus sign.
_SEPARATORS = re.compile("[\\s_\u2010-\u2015\u2212-]+")
#: Written-out forms of "not known", in lower case.
_UNKNOWN = frozenset(
    {"", "na", "n/a", "#n/a", "<na>", "n.a.", "nan", "nat", "none", "null", "nil", "unknown"}
    | {"unk", "not known", "not available", "missing", "undefined", "?", "-", "--", "–", "."}
)
# Zeros that lead a run of digits, but not the decimals of a number: 007 is 7, 1.05 is not 1.5.
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_NAME = 1_000
#: Characters that control a terminal, end a line or change the reading direction.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_WHOLE_NUMBER = re.compile(r"(\d+)\.0+")


@overload
def as_list(given: str | Iterable[str]) -> list[str]: ...
@overload
def as_list(given: Path | str | Iterable[Path | str]) -> list[Path | str]: ...
def as_list(given: Any) -> list[Any]:
    """Return what a list holds; a text or a path by itself is one entry."""
    return [given] if isinstance(given, str | Path) else list(given)


def printable(name: object) -> str:
    r"""Return a file's name as text that every file format takes: ``tum\xf6r.png``.

    Bytes that are not UTF-8 are escaped; any other name comes back as it is.
    """
    return _SURROGATE.sub(_escape, str(name))


def one_line(text: object) -> str:
    r"""Return text as one line for a terminal: control characters are escaped, ``\x1b[2J``.

    Names of files and classes come from others and may hold any character.
    """
    return _CONTROLS.sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # Python keeps a byte that is no UTF-8 as such a code (PEP 383)
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def is_name(name: str) -> bool:
    """Return True if a text can be the name of a class, a channel or a magnification.

    It has no control characters, at most 1,000 characters, and at least one that is not blank.
    """
    is_plain = is_text(name) and not any(unicodedata.category(letter) == "Cc" for letter in name)
    return is_plain and bool(name.strip()) and len(name) <= _LONGEST_NAME


def is_text(name: str) -> bool:
    """Return True if a text can be written: it is UTF-8 and has no NUL character."""
    return _SURROGATE.search(name) is None and "\0" not in name


def shorten(text: str, most: int = 120) -> str:
    """Return a text of at most ``most`` characters, for a message: its beginning and its end."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-(most // 2 - 3) :]}"


def clean_name(text: str) -> str:
    """Return a name in Unicode's composed form (NFC), without blanks and invisible ends."""
    text = text.strip()
    return text if text.isascii() else _AT_ENDS.sub("", unicodedata.normalize("NFC", text))


def spelling_key(text: str) -> str:
    """Return a key that different spellings of one name share.

    Spellings may differ by surrounding blanks, Unicode form (wide digits and ligatures included),
    invisible characters, separators, case, leading zeros or a trailing ``.0``: ``P01``, ``p1`` and
    ``P01 ``; ``A-7``, ``a_7`` and ``A  7``; ``7``, ``007`` and ``7.0``.
    """
    name = unicodedata.normalize("NFKC", clean_name(text)).casefold()
    name = _SEPARATORS.sub("-", _INSIDE.sub("", unicodedata.normalize("NFKC", name)))
    whole = _WHOLE_NUMBER.fullmatch(name)
    return _LEADING_ZEROS.sub("", whole.group(1) if whole else name)


def is_unknown(text: str) -> bool:
    """Return True if a value is empty or written out as unknown (``NA``, ``?``)."""
    return clean_name(text).casefold() in _UNKNOWN


def approximate_time(seconds: float) -> str:
    """Return a rough time in words: ``45 s``, ``3 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def count(value: int) -> str:
    """Format a count with a thousands separator, e.g. ``"12,345"``."""
    return f"{value:,}"


def quantity(n: int, one: str, many: str | None = None) -> str:
    """Format a count with its noun, e.g. ``"1 image"``, ``"1,200 images"``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def unit_of(n_images: int, n_groups: int, n_patients: int | None) -> str:
    """Return what groups are: ``patient``, ``image`` where each is its own, else ``group``."""
    if n_patients == n_groups:
        return "patient"
    return "image" if n_groups == n_images else "group"


def of_groups(n: int, unit: str) -> str:
    """Return `` of 29 patients`` after a number of images; empty where each is its own group."""
    return "" if unit == "image" else f" of {quantity(n, unit)}"


def listing(items: Iterable[str], last: str = "and") -> str:
    """Join items as in a sentence: ``"a, b and c"``."""
    words = list(items)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def duration(seconds: float) -> str:
    """Format a time span, e.g. ``"8.4 s"`` or ``"3 min 20 s"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def some(names: Sequence[str], most: int, *, counted: bool = False) -> str:
    """Join the first names of many: ``"a, b, …"``, or ``"a, b and 3 more"`` if ``counted``."""
    left = len(names) - most
    more = (f" and {left} more" if counted else ", …") if left > 0 else ""
    return ", ".join(names[:most]) + more


def percent(value: float, digits: int | None = None) -> str:
    """Format a share in per cent, ``"12.5 %"``: all its digits, or so many decimals."""
    return f"{100 * value:g} %" if digits is None else f"{100 * value:.{digits}f} %"


def mebibytes(n_bytes: float, digits: int = 0) -> str:
    """Format a size in memory or in the cache, e.g. ``"1,024 MiB"``."""
    return f"{n_bytes / 2**20:,.{digits}f} MiB"


def aligned(rows: Sequence[Sequence[str]], right: int = 0) -> list[str]:
    """Return rows in columns as wide as needed, the last ``right`` ones aligned right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<"] * (len(widths) - right) + [">"] * right
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


@dataclass(frozen=True)
class TextTable:
    """Table that a terminal draws; elsewhere its plain lines are printed.

    Attributes:
        rows: Cells, the first row the head, which may be empty texts.
        right: Number of last columns that are aligned right.
        plain: Lines elsewhere; by default the rows, aligned.
    """

    rows: Sequence[Sequence[str]]
    right: int = 0
    plain: Sequence[str] | None = None


#: Terminal output: lines and tables.
Content = Iterable[str | TextTable]


def plain_lines(content: Content) -> list[str]:
    """Return lines and tables as plain lines."""
    lines: list[str] = []
    for part in content:
        if isinstance(part, str):
            lines.append(part)
        else:
            lines += aligned(part.rows, part.right) if part.plain is None else part.plain
    return lines
