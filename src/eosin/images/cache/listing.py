"""Listing and removal of stores."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eosin.core.errors import ArtifactError
from eosin.images.cache.folders import StoreFolder, own, stores_folder
from eosin.images.cache.index import read_index

_DOOMED = ".cleared-"


@dataclass(frozen=True)
class StoreInfo:
    """One store.

    Attributes:
        folder: Its folder.
        root: The folder of its images; None if the store is damaged.
        shape: H, W, C of an image.
        dtype: Of its values.
        reading: Other settings that change the pixels.
        n_images: Number of images.
        n_bytes: Its size on the disk.
        last_use: UTC.
    """

    folder: Path
    root: str | None
    shape: tuple[int, int, int] | None
    dtype: str | None
    reading: Mapping[str, Any]
    n_images: int
    n_bytes: int
    last_use: datetime


@dataclass(frozen=True)
class Cleared:
    """Result of clearing the cache.

    Attributes:
        removed: The removed stores.
        in_use: Stores that another process has open, which were kept.
    """

    removed: tuple[StoreInfo, ...]
    in_use: tuple[StoreInfo, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes freed."""
        return sum(store.n_bytes for store in self.removed)


def list_stores(folder: Path | None = None) -> list[StoreInfo]:
    """List the stores of a folder, by default ``images`` in the cache folder, last used first."""
    found = [_look(place) for place in _places(stores_folder(folder))]
    return sorted(found, key=lambda store: store.last_use, reverse=True)


def clear_stores(folder: Path | None = None) -> Cleared:
    """Remove the stores, see :func:`list_stores`, that no process has open; raises OutputError."""
    base = stores_folder(folder)
    removed: list[StoreInfo] = []
    in_use: list[StoreInfo] = []
    for leftover in base.glob(f"{_DOOMED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for info in list_stores(folder):
        (removed if _remove(StoreFolder(info.folder)) else in_use).append(info)
    return Cleared(tuple(removed), tuple(in_use))


def _remove(place: StoreFolder) -> bool:
    """Remove a store; return True if no process had it open."""
    with own(place.lock, place.marker) as is_ours:
        if not is_ours:
            return False
        # Renamed first, so that no partial store is ever found under its name.
        doomed = place.path.with_name(f"{_DOOMED}{secrets.token_hex(4)}")
        try:
            place.path.rename(doomed)
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def _places(base: Path) -> list[StoreFolder]:
    if not base.is_dir():
        return []
    return [
        StoreFolder(path)
        for path in sorted(base.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    ]


def _look(place: StoreFolder) -> StoreInfo:
    document, n_images = None, 0
    with suppress(ArtifactError):
        document = place.read_description()
    with suppress(ArtifactError):
        n_images = read_index(place.index).n_rows
    n_bytes, used = _measure(place.path)
    return StoreInfo(
        folder=place.path,
        root=document.root if document is not None else None,
        shape=document.shape if document is not None else None,
        dtype=document.dtype if document is not None else None,
        reading=document.reading if document is not None else {},
        n_images=n_images,
        n_bytes=n_bytes,
        last_use=datetime.fromtimestamp(used, UTC),
    )


def _measure(folder: Path) -> tuple[int, float]:
    """Return the bytes on the disk and the time of the last use."""
    n_bytes, used = 0, folder.stat().st_mtime
    for path in folder.iterdir():
        # Another process may be replacing one of them.
        with suppress(OSError):
            found = path.stat()
            n_bytes += found.st_size
            used = max(used, found.st_mtime)
    return n_bytes, used
