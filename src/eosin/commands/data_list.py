"""Command ``data list``: registered data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eosin.data.sources.catalogue import DATASETS


def list(name: str | None = None) -> Sequence[dict[str, Any]]:  # noqa: A001 -- the command's name
    """Return the facts of the registered data sets: name, title, licence, classes and more.

    Args:
        name: One data set; by default all.

    Raises:
        UnknownNameError: There is none of that name.
    """
    names = DATASETS if name is None else [name]
    return [DATASETS.get(one).facts.as_dict() for one in names]
