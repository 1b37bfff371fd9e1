"""JSON documents with a format version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from eosin.artifacts.layout import FORMAT_VERSION
from eosin.core.errors import ArtifactError
from eosin.core.files import read_json, write_json

_LONGEST = 80


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
        raise ArtifactError(f"{path} should hold a JSON object, got {type(data).__name__}")
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
            hint="Copy it again from where it was made, or make it anew",
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
