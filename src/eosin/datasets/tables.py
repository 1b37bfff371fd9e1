"""Tables that come with a data set: labels, clusters, slides. All cells are text."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.core.errors import DataError, close_matches


def read_text_table(path: Path, needed: Collection[str]) -> Any:
    """Read a CSV file.

    Args:
        path: The file; may be compressed, as its suffix says.
        needed: Columns that it must have.

    Returns:
        A pandas table of text.

    Raises:
        DataError: It is absent, no table, empty, or lacks a column.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"the table {path} does not exist") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"the table {path} is empty") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"the table {path} cannot be read: {error}") from error
    for column in needed:
        if column not in table:
            columns = [str(known) for known in table.columns]
            raise DataError(
                f"the table {path} has no column {column!r}", mend=close_matches(column, columns)
            )
    if len(table) == 0:
        raise DataError(f"the table {path} has no rows")
    return table.astype(object)


def count_images(count: int) -> str:
    """Say a number of images: ``1 image``, ``12,000 images``."""
    return "1 image" if count == 1 else f"{count:,} images"
