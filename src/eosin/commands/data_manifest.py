"""Command ``data manifest``: manifest of a registered data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eosin.artifacts.manifest import write_manifest
from eosin.core.display import Shown
from eosin.core.errors import DataError, RecipeError
from eosin.core.files import check_writable
from eosin.core.types import Samples
from eosin.data.sources.base import collect_samples
from eosin.data.sources.catalogue import DATASETS, verify


@dataclass(frozen=True, repr=False)
class ManifestResult(Shown):
    """Result of ``data manifest``.

    Attributes:
        path: The table written.
        samples: Its samples; ``samples.frame`` is the table.
        notes: Sentences on missing or unexpected images, see :mod:`eosin.data.sources.catalogue`.
    """

    path: Path
    samples: Samples
    notes: list[str]

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        counts = self.samples.frame["label"].value_counts()
        labels = ", ".join(f"{name} {count}" for name, count in counts.items())
        return {"path": self.path, "images": len(self.samples), "labels": labels}


def manifest(
    name: str,
    root: Path | str,
    output: Path | str,
    *,
    options: Mapping[str, Any] | None = None,
) -> ManifestResult:
    """Write a manifest from a data set's own folder tree.

    Args:
        name: Registered data set.
        root: Folder of the data set.
        output: CSV or Parquet to write.
        options: The data set's own options, as in ``[data.options]`` of a recipe.

    Raises:
        EosinError: The name, the folder or its contents are invalid.
    """
    dataset, root, output = DATASETS.get(name), Path(root), Path(output)
    if output.suffix not in {".csv", ".parquet"}:
        raise RecipeError(f"a manifest is a .csv or .parquet file, got {output.name!r}")
    if output.exists():
        raise DataError(f"{output} exists already", hint="Choose another file with -o")
    if dataset.needs_root and not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"{root} {what}", hint=f"Name the folder that contains the images of {name}"
        )
    folder = root.resolve()
    check_writable(output.parent)
    samples = collect_samples(name, folder, options or {}, label="label", positive=None)
    write_manifest(output, samples)
    return ManifestResult(output, samples, verify(name, samples))
