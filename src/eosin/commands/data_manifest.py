"""Commands ``data list`` and ``data manifest``: registered data sets and their manifests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eosin.artifacts.manifest import write_manifest
from eosin.core.errors import DataError, RecipeError
from eosin.core.files import check_writable
from eosin.core.types import Samples
from eosin.data.sources.base import collect_samples
from eosin.data.sources.catalogue import DATASETS
from eosin.data.verification import verify


def list_datasets() -> list[dict[str, Any]]:
    """Return the facts of every registered data set."""
    return [DATASETS.get(name).facts.as_dict() for name in DATASETS]


def make_manifest(
    name: str, root: Path, output: Path, *, options: Mapping[str, Any] | None = None
) -> tuple[Samples, list[str]]:
    """Write a manifest from a data set's own folder tree.

    Args:
        name: Registered data set.
        root: Folder of the data set.
        output: CSV or Parquet to write.
        options: The data set's own options, as in ``[data.options]`` of a recipe.

    Returns:
        The samples; sentences on missing or unexpected images, see :mod:`eosin.data.verification`.

    Raises:
        EosinError: The name, the folder or its contents are invalid.
    """
    dataset = DATASETS.get(name)
    if output.suffix not in {".csv", ".parquet"}:
        raise RecipeError(f"a manifest is a .csv or .parquet file, got {output.name!r}")
    if output.exists():
        raise DataError(f"{output} exists already", hint="Choose another file with -o")
    if dataset.needs_root and not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root} {what}", hint=f"Name the folder that holds the images of {name}")
    folder = root.resolve()
    check_writable(output.parent)
    samples = collect_samples(name, folder, options or {}, label="label", positive=None)
    write_manifest(output, samples)
    return samples, verify(name, samples)
