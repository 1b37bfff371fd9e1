"""Precomputed features of a manifest's images; needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from eosin.artifacts.audit import Finding
from eosin.artifacts.model import Embedding
from eosin.core.errors import DataError
from eosin.core.files import sha256_file
from eosin.core.progress import progress_bar
from eosin.core.types import Samples
from eosin.data.audit import FileHash, FileHashes
from eosin.images.bank import ImageBank
from eosin.images.vectors import FeatureTable, match_rows, read_features


def load_features(
    samples: Samples,
    table: Path | pd.DataFrame,
    *,
    columns: Sequence[str] | None = None,
    apart: Collection[str] = (),
) -> tuple[ImageBank, FileHashes]:
    """Read precomputed features of a manifest's images; columns ``apart`` are none.

    Returns:
        The features; for each image a hash of them as its content and, if present, of its file.
        Images without a row in the table are listed as unreadable.

    Raises:
        DataError: The table cannot be used, or has no row for any image.
    """
    found = read_features(table, columns=columns, apart=apart)
    rows = match_rows(found, samples)
    if not rows:
        cell, other = samples.frame["path"].iloc[0], next(iter(found.rows))
        raise DataError(
            f"{found.path} has no row for any of the {len(samples)} images: its paths are like "
            f"{other!r}, theirs like {cell!r}",
            hint="Write the manifest's paths into the table, or name another table",
        )
    embedding = Embedding(channels=found.columns, table=found.path.name, table_sha256=found.sha256)
    return ImageBank(found, rows, embedding, samples), _hash_rows(samples, found, rows)


def _hash_rows(samples: Samples, table: FeatureTable, rows: dict[str, int]) -> FileHashes:
    hash_file = cache(_hash_file)
    cells = samples.image_cells
    hashes = {}
    with progress_bar("Looking at files") as advance:
        for done, cell in enumerate(cells, start=1):
            if cell in rows:
                # With the path: equal features (e.g. a few counts) do not make equal images.
                content = hashlib.sha256(cell.encode())
                content.update(table.values[rows[cell]].tobytes())
                file, index = samples.locate(cell)
                bytes_ = hash_file(file)
                same = f"{bytes_}#{index}" if bytes_ else None
                hashes[cell] = FileHash(content.hexdigest(), same)
            else:
                hashes[cell] = FileHash(None, None, f"{table.path.name} has no row for it")
            advance(done, len(cells))
    return FileHashes(hashes)


def _hash_file(path: Path) -> str | None:
    try:
        return sha256_file(path)
    except OSError:
        return None


def note_absent(hashes: FileHashes) -> tuple[Finding, ...]:
    """Note that copies cannot be searched for among images whose files are absent."""
    known = [found for found in hashes.files.values() if found.reason is None]
    absent = sum(found.pixels is None for found in known)
    if not absent:
        return ()
    message = (
        f"only features are there of {absent} of {len(known)} images: "
        "copies were not looked for among them"
    )
    return (Finding(kind="identical_bytes", severity="note", message=message, pairs=[]),)
