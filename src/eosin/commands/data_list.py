"""Command ``data list``: registered data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eosin.data.sources.catalogue import DATASETS


def list() -> Sequence[dict[str, Any]]:  # noqa: A001 -- the command's name
    """Return the facts of every registered data set: name, title, licence, classes and more."""
    return [DATASETS.get(name).facts.as_dict() for name in DATASETS]
