"""Tables that come with a data set: labels, clusters, slides. All cells are text."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from eosin.artifacts.tables import read_table
from eosin.core.errors import DataError, close_matches
from eosin.core.text import clean_name


def read_text_table(path: Path, needed: Collection[str]) -> Any:
    """Read a table of a data set.

    Args:
        path: The file, see :func:`eosin.artifacts.tables.read_table`.
        needed: Columns that it must have; the names in them are cleaned, paths are left as written.

    Returns:
        A pandas table of text.

    Raises:
        DataError: It is absent, no table, empty, or lacks a column.
    """
    table = read_table(path)
    for column in needed:
        if column not in table:
            columns = [str(known) for known in table.columns]
            raise DataError(
                f"the table {path} has no column {column!r}", mend=close_matches(column, columns)
            )
        if column != "path":
            table[column] = table[column].map(clean_name)
    if len(table) == 0:
        raise DataError(f"the table {path} has no rows")
    return table.reset_index(drop=True)


def count_images(count: int) -> str:
    """Say a number of images: ``1 image``, ``12,000 images``."""
    return "1 image" if count == 1 else f"{count:,} images"
