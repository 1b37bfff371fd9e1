"""JSON documents that say which format they are written in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from eosin.artifacts.layout import FORMAT_VERSION
from eosin.core.errors import ArtifactError
from eosin.core.files import read_json, write_json


class Document(BaseModel):
    """A frozen piece of an artifact; keys that a newer minor version added are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class VersionedDocument(Document):
    """The top level of a JSON artifact.

    Attributes:
        format_version: ``major.minor``; a reader refuses another major.
    """

    format_version: str = FORMAT_VERSION


D = TypeVar("D", bound=VersionedDocument)


def check_version(path: Path, data: Any) -> dict[str, Any]:
    """Return ``data`` if it is a JSON object of a major version that this code reads.

    Raises:
        ArtifactError: It is not; the message names both versions.
    """
    if not isinstance(data, dict):
        raise ArtifactError(f"{path} should hold a JSON object, got {type(data).__name__}")
    found = str(data.get("format_version", "none"))
    if found.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise ArtifactError(
            f"{path} is in format {found}; this Eosin reads format {FORMAT_VERSION}",
            mend="Use the version of Eosin that wrote it",
        )
    return data


def read_document(path: Path, kind: type[D]) -> D:
    """Read and check a JSON artifact.

    Raises:
        ArtifactError: It is absent, of another major version, or does not fit its schema.
    """
    data = check_version(path, read_json(path))
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{path} does not fit its schema at {where}: {first['msg']}") from error


def write_document(path: Path, document: VersionedDocument) -> None:
    """Write a JSON artifact, whole or not at all."""
    write_json(path, document.model_dump(mode="json", by_alias=True))
