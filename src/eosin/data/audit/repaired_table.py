"""Repaired table of a manifest: the user's own, with the groups joined that belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eosin.artifacts.columns import Columns
from eosin.artifacts.manifest import relocated, write_table
from eosin.core.text import clean_name
from eosin.core.types import Samples

#: The new column where the table has another use for ``group``.
_OTHER_NAME = "repaired_group"


def write_repaired(
    path: Path, source: Any, before: Samples, after: Samples, columns: Columns, label: str
) -> str:
    """Write a user's table with joined groups; all else in it stays as it is written.

    An image that is its own group has an empty one. Paths start from the new table's folder, and
    patients whose spelling the repair changed have the new one.

    Args:
        path: The new CSV or Parquet file.
        source: The user's table, as :func:`eosin.artifacts.tables.read_table` returns it.
        before: The samples read from it.
        after: The same samples, repaired; the rows are in the same order.
        columns: The columns of ``source`` that hold the image reference, the patient and the group.
        label: Its column that holds the class.

    Returns:
        The column that holds the groups.
    """
    table = source.copy()
    image, patient = clean_name(columns.path), clean_name(columns.patient)
    moved = relocated(after, path.parent).frame
    table[image] = list(moved["path"])
    if patient in table and patient != image:
        changed = (before.frame["patient"] != after.frame["patient"]).to_numpy()
        table[patient] = table[patient].mask(changed, after.frame["patient"].to_numpy())
    column = _group_column(
        list(table), clean_name(columns.group), {image, patient, clean_name(label)}
    )
    own = after.frame["group"] == after.frame["path"]
    table[column] = list(after.frame["group"].mask(own, ""))
    write_table(path, table)
    return column


def _group_column(names: list[str], group: str, used: set[str]) -> str:
    """Return the column to write groups to: the one that they were read from, or a new one."""
    if group not in used:
        return group
    return _OTHER_NAME if "group" in names else "group"
