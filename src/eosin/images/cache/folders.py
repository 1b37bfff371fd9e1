"""Where a store lies and what its files are called."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eosin.artifacts.versioned import VersionedDocument, read_document, write_document
from eosin.core.errors import OutputError
from eosin.core.files import explain_os_errors
from eosin.core.places import cache_folder
from eosin.images.cache.items import StoreSettings

#: What to do where the system refuses to write the cache: no ``-o`` has a say in it.
ELSEWHERE = "Set EOSIN_CACHE to a folder you may write"


@contextmanager
def explain_cache_errors(action: str, path: Path) -> Iterator[None]:
    """Turn the operating system's refusal into one line with the cache's own mend.

    Args:
        action: What was tried, e.g. ``"make"``.
        path: On what.

    Raises:
        OutputError: In place of any ``OSError`` raised inside.
    """
    try:
        with explain_os_errors(action, path):
            yield
    except OutputError as error:
        raise OutputError(error.message, mend=ELSEWHERE) from error


class StoreDocument(VersionedDocument):
    """``store.json``: what a store holds; the time at which it was changed is its last use.

    Attributes:
        root: The folder in which all its files lie.
        shape: H, W, C of an image.
        dtype: Of its values.
        reading: What else changes the pixels.
        created: UTC, ISO 8601.
    """

    root: str
    shape: tuple[int, int, int]
    dtype: str
    reading: dict[str, Any]
    created: str


@dataclass(frozen=True)
class StoreFolder:
    """One store.

    Attributes:
        path: Its folder. Its locks lie beside it: a lock that is removed with the folder would
            leave a waiting process with a lock that nobody else sees.
    """

    path: Path

    @property
    def description(self) -> Path:
        """What the store is."""
        return self.path / "store.json"

    @property
    def index(self) -> Path:
        """Which file has which row."""
        return self.path / "index.parquet"

    @property
    def lock(self) -> Path:
        """Held by the one process that writes."""
        return self.path.with_name(f"{self.path.name}.lock")

    @property
    def marker(self) -> Path:
        """Held by every process that has the store open."""
        return self.path.with_name(f"{self.path.name}.use")

    def pixels(self, token: str) -> Path:
        """Return the file of the rows; a store that is rebuilt gets another token."""
        return self.path / f"pixels-{token}.bin"

    def read_description(self) -> StoreDocument:
        """Read ``store.json``; raises ``ArtifactError`` where it is absent or damaged."""
        return read_document(self.description, StoreDocument)

    def write_description(self, settings: StoreSettings, root: str) -> None:
        """Write ``store.json``; raises ``OutputError`` where that is not possible."""
        document = StoreDocument(
            root=root,
            shape=settings.shape,
            dtype=settings.dtype,
            reading=json.loads(settings.as_text())["reading"],
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_document(self.description, document)


def stores_folder(folder: Path | None) -> Path:
    """Return where stores lie: ``folder``, else ``images`` in the cache folder."""
    return Path(folder) if folder is not None else cache_folder() / "images"


def common_root(files: Iterable[str]) -> str:
    """Return the deepest folder that holds all files; empty where they lie on several drives."""
    parents = {os.path.dirname(file) for file in files}  # noqa: PTH120 (100,000 of them)
    try:
        return os.path.commonpath(parents)
    except ValueError:
        return ""


def folder_of(base: Path, settings: StoreSettings, root: str) -> StoreFolder:
    """Return the folder of the store for one root and one set of settings."""
    digest = hashlib.sha256(f"{settings.as_text()}\n{root}".encode()).hexdigest()
    return StoreFolder(base / digest[:16])
