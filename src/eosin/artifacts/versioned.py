"""JSON documents with a format version, and the types of their values.

Numbers are strict and finite: neither ``true`` nor ``"5"`` is one. Lists stop at their first
invalid item and mappings have a bounded number of keys, so that a hostile document costs no more
than a valid one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from eosin.artifacts.layout import FORMAT_VERSION
from eosin.core.errors import ArtifactError
from eosin.core.files import read_json, write_json
from eosin.core.text import is_name, is_text

_LONGEST = 80
_MOST_KEYS = 100_000
_DEEPEST = 16
#: Bound of whole numbers; a float does not hold larger ones exactly.
_LARGEST = 2**53
#: Largest side of a network's input, in pixels.
_MOST_PIXELS = 16_384

T = TypeVar("T")


class Document(BaseModel):
    """A frozen part of a JSON artifact; unknown keys, of a newer minor version, are ignored."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", protected_namespaces=(), allow_inf_nan=False
    )


class VersionedDocument(Document):
    """The top level of a JSON artifact; a reader rejects another major version."""

    #: Largest file that is read, in bytes.
    MAX_BYTES: ClassVar[int] = 256 << 20

    format_version: str = FORMAT_VERSION


B = TypeVar("B", bound=Document)
D = TypeVar("D", bound=VersionedDocument)


def check_version(path: Path, data: Any) -> dict[str, Any]:
    """Return ``data`` if it is a JSON object of a readable major version.

    Raises:
        ArtifactError: It is not; the message names both versions.
    """
    if not isinstance(data, dict):
        raise ArtifactError(f"{path} should contain a JSON object, got {type(data).__name__}")
    found = data.get("format_version", "none")
    if str(found).partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise ArtifactError(
            f"{path} is in format {_shorten(found)}; this Eosin reads format {FORMAT_VERSION}",
            hint="Use the version of Eosin that wrote it",
        )
    return data


def check_fit(path: Path, kind: type[B], data: Any, *within: str) -> B:
    """Validate a part of a JSON file, at the keys ``within``, against its schema.

    Raises:
        ArtifactError: It does not fit; the message gives the key, the expected and the actual
            value.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        # The first error suffices; in a long list only the first was searched for.
        first = error.errors(include_url=False)[0]
        keys = _find_keys(data, first["loc"], is_missing=first["type"] == "missing")
        where = ".".join(map(_shorten, [*within, *keys]))
        came = "" if first["type"] in {"missing", "value_error"} else _describe(first["input"])
        wanted = first["msg"].removeprefix("Value error, ").replace("Input should", "it should")
        raise ArtifactError(
            f"{path} does not fit its schema{f' at {where}' if where else ''}: {wanted}{came}",
            hint="Copy it again from its original, or create it again",
        ) from error


def _find_keys(data: Any, places: Sequence[int | str], *, is_missing: bool) -> list[int | str]:
    """Return the keys of an error's location, without pydantic's names of union members."""
    keys: list[int | str] = []
    for number, place in enumerate(places):
        try:
            data = data[place]
        except (LookupError, TypeError):
            if not (is_missing and number == len(places) - 1):
                continue
        keys.append(place)
    return keys


def _describe(came: Any) -> str:
    if isinstance(came, dict | list | tuple):
        return f", got {'an object' if isinstance(came, dict) else 'a list'} of {len(came)}"
    return f", got {'null' if came is None else _shorten(came, quoted=isinstance(came, str))}"


def _shorten(value: object, *, quoted: bool = False) -> str:
    """Return a value as short text on one line."""
    try:
        text = str(value)
    except ValueError:  # a whole number of thousands of digits
        return "a very large number"
    plain = text[:_LONGEST].encode("unicode_escape").decode() if not text.isprintable() else text
    shown = plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"
    return repr(shown) if quoted else shown


def read_document(path: Path, kind: type[D]) -> D:
    """Read and validate a JSON artifact.

    Raises:
        ArtifactError: It is absent, of another major version, or does not fit its schema.
    """
    return check_fit(path, kind, check_version(path, read_json(path, max_bytes=kind.MAX_BYTES)))


def write_document(path: Path, document: VersionedDocument) -> None:
    """Write a JSON artifact atomically."""
    write_json(path, document.model_dump(mode="json", by_alias=True))


def _check_keys(value: Any) -> Any:
    if isinstance(value, dict) and len(value) > _MOST_KEYS:
        raise ValueError(f"at most {_MOST_KEYS:,} keys are allowed, got {len(value):,}")
    return value


def _check_name(name: str) -> str:
    if not is_name(name):
        raise ValueError("it should have letters, no control characters, and at most 1,000")
    return name


def _check_text(text: str) -> str:
    if not is_text(text):
        raise ValueError("it should be text, without NUL or lone surrogates")
    if any(letter < " " and letter not in "\t\n\r" for letter in text):
        raise ValueError("it should contain no control characters")
    return text


def _check_plain(value: Any) -> Any:
    """Check a value of any JSON type: no deep nesting, finite numbers, text."""
    layer = [value]
    for _ in range(_DEEPEST):
        for one in layer:
            if isinstance(one, str):
                _check_text(one)
            elif isinstance(one, float) and not math.isfinite(one):
                raise ValueError("numbers should be finite")
            elif isinstance(one, int) and abs(one) > _LARGEST:
                raise ValueError("a whole number is too large")
        nested = [one for one in layer if isinstance(one, dict | list | tuple)]
        layer = [
            child
            for one in nested
            for child in ([*one, *one.values()] if isinstance(one, dict) else one)
        ]
        if not layer:
            return value
    raise ValueError(f"it is nested more than {_DEEPEST} levels deep")


#: A finite number.
Number = Annotated[float, Field(strict=True)]
Positive = Annotated[float, Field(strict=True, gt=0)]
NotNegative = Annotated[float, Field(strict=True, ge=0)]
Probability = Annotated[float, Field(strict=True, ge=0, le=1)]
#: A whole number.
Integer = Annotated[int, Field(strict=True, ge=-_LARGEST, le=_LARGEST)]
Count = Annotated[int, Field(strict=True, ge=0, le=_LARGEST)]
AtLeastOne = Annotated[int, Field(strict=True, ge=1, le=_LARGEST)]
#: Height or width of an image, in pixels.
Side = Annotated[int, Field(strict=True, ge=1, le=_MOST_PIXELS)]
Flag = Annotated[bool, Field(strict=True)]
#: Divisor of logits; fitted ones lie between 0.1 and 10.
Temperature = Annotated[float, Field(strict=True, ge=1e-3, le=1e3)]
#: Text that every file format can store.
Text = Annotated[str, AfterValidator(_check_text)]
#: Name of a class, a channel, a metric.
Name = Annotated[str, AfterValidator(_check_name)]
#: Any JSON value.
Plain = Annotated[Any, AfterValidator(_check_plain)]
ListOf = Annotated[list[T], Field(fail_fast=True)]
TupleOf = Annotated[tuple[T, ...], Field(fail_fast=True)]
#: By name.
DictOf = Annotated[dict[str, T], BeforeValidator(_check_keys)]


def check_order(low: float | None, value: float | None, high: float | None) -> None:
    """Check that an interval encloses its value, within rounding, as far as the three are known."""
    known = [number for number in (low, value, high) if number is not None]
    slack = 1e-6 * max(map(abs, known), default=0.0)
    if any(after < before - slack for before, after in pairwise(known)):
        raise ValueError(f"low, value and high should ascend, got {low}, {value}, {high}")
