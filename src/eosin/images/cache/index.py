"""Index of a store: items, settings, and the state of every file and image."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from eosin.core.errors import ArtifactError
from eosin.core.files import atomic_path

#: Of the index and of the rows; a store of another major version is made anew.
FORMAT_VERSION = "1.0"
#: Stands for "no index" and "no row" in the table.
NONE = -1
#: Absolute file and index inside it (``NONE`` for a file of one image).
Key = tuple[str, int]
_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("index", pa.int64()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("content", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),
        ("pixels", pa.string()),
    ]
)
#: Columns of repeated texts; hashes of pixels all differ, so that a dictionary would not help.
_REPEATED = ["file", "content", "reason"]


@dataclass(frozen=True)
class Item:
    """One requested image."""

    cell: str  # the image reference (``a.png`` or ``x.h5#12``); only for messages
    file: Path
    index: int | None = None  # index inside a container; None for a file of one image


@dataclass(frozen=True)
class StoreSettings:
    """Format of the images in a store."""

    shape: tuple[int, int, int]  # H, W, C of every image
    dtype: Literal["uint8", "uint16"]
    #: Everything else that changes the pixels: the decoder's version, the resize rule, the
    #: channels, …; JSON values.
    reading: Mapping[str, Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def as_text(self) -> str:
        """Return the settings as JSON, the same text for the same settings."""
        values = {"shape": list(self.shape), "dtype": self.dtype, "reading": dict(self.reading)}
        return json.dumps(values, sort_keys=True, allow_nan=False)


@dataclass(frozen=True)
class Entry:
    """Result of one item."""

    row: int | None  # its row in the store; None if it is unreadable
    reason: str | None  # why it is unreadable
    content: str | None  # SHA-256 of its file's bytes; None if the file is absent or unreadable
    #: SHA-256 of the shape and the bytes of the decoded image before it is resized; None if it
    #: does not decode.
    pixels: str | None


class FileState(NamedTuple):
    """State of a file when it was read."""

    size: int  # bytes
    mtime_ns: int  # modification time; ``NONE`` if it is not reliable
    content: str  # SHA-256 of its bytes


class ImageState(NamedTuple):
    """State of an image when it was read."""

    content: str  # of its file, at that time; empty if its bytes could not be read
    row: int | None  # its row; None if it is unreadable
    reason: str | None  # why it is unreadable
    pixels: str | None  # SHA-256 of the decoded image

    def entry(self) -> Entry:
        """Return the result for the caller."""
        return Entry(self.row, self.reason, self.content or None, self.pixels)


@dataclass
class Index:
    """Index of a store."""

    token: str = field(default_factory=lambda: secrets.token_hex(4))  # names the file of the rows
    n_rows: int = 0  # rows that are on the disk; never falls, as readers may be using them
    files: dict[str, FileState] = field(default_factory=dict)  # state of each file
    images: dict[Key, ImageState] = field(default_factory=dict)  # state of each image

    def find(self, key: Key, content: str) -> ImageState | None:
        """Return an image's state if it was read from that content."""
        found = self.images.get(key)
        return found if found is not None and found.content == content else None

    def remember(self, key: Key, file: FileState, image: ImageState) -> None:
        """Add an image; earlier content of its file is kept without a file."""
        before = self.images.get(key)
        if before is not None and before.row is not None and before.content != image.content:
            # No file has this name: its path would be absolute.
            self.images[f"?{before.content}", key[1]] = before
        self.files[key[0]] = file
        self.images[key] = image

    def by_content(self) -> dict[tuple[str, int], ImageState]:
        """Return the images that have a row, by content of the file and index inside it."""
        return {
            (state.content, key[1]): state
            for key, state in self.images.items()
            if state.row is not None
        }


def write_index(path: Path, index: Index) -> None:
    """Write the table atomically; raises ``OutputError`` if that fails."""
    import pyarrow.parquet as pq

    outdated = FileState(NONE, NONE, "")
    columns: list[list[object]] = [[] for _ in _SCHEMA]
    for (file, position), image in index.images.items():
        state = index.files.get(file, outdated)
        if state.content != image.content:
            state = outdated
        cells = (file, position, state.size, state.mtime_ns, image.content)
        row = NONE if image.row is None else image.row
        for column, cell in zip(columns, (*cells, row, image.reason, image.pixels), strict=True):
            column.append(cell)
    arrays = [pa.array(column, f.type) for column, f in zip(columns, _SCHEMA, strict=True)]
    metadata = {"format": FORMAT_VERSION, "token": index.token, "rows": str(index.n_rows)}
    table = pa.Table.from_arrays(arrays, schema=_SCHEMA.with_metadata(metadata))
    with atomic_path(path) as temporary:
        pq.write_table(
            table, temporary, use_dictionary=_REPEATED, compression="zstd", write_page_checksum=True
        )


def read_index(path: Path) -> Index:
    """Read the table; raises ``ArtifactError`` if absent, damaged or of another major version."""
    import pyarrow.parquet as pq

    try:
        # Not `read_table`, which takes half a second to import what it does not need here.
        with pq.ParquetFile(path, page_checksum_verification=True) as opened:
            table = opened.read(use_threads=False)
        noted = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    found = noted.get("format", "none")
    if found.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise ArtifactError(f"{path} is in format {found}, not {FORMAT_VERSION}")
    try:
        index = Index(token=noted["token"], n_rows=int(noted["rows"]))
        _fill(index, [table[name].to_pylist() for name in _SCHEMA.names])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} lacks a part: {error}") from error
    return index


def _fill(index: Index, columns: list[list[Any]]) -> None:
    """Put the table's columns into the index; raises ``ValueError`` for an impossible row."""
    texts: dict[str, str] = {}
    for file, position, size, mtime_ns, content, row, reason, pixels in zip(*columns, strict=True):
        # One text for all images of a container, not one each.
        name, digest = texts.setdefault(file, file), texts.setdefault(content, content)
        if not NONE <= row < index.n_rows:
            raise ValueError(f"row {row} of {index.n_rows}")
        place = None if row == NONE else row
        index.images[name, position] = ImageState(digest, place, reason, pixels)
        if size != NONE and name not in index.files:
            index.files[name] = FileState(size, mtime_ns, digest)
