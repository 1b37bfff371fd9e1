"""A network's weights on the disk, as npz: arrays by name, no objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from eosin.core.errors import ArtifactError
from eosin.core.files import atomic_path
from eosin.core.types import FloatArray


def check_state(wanted: Mapping[str, FloatArray], given: Mapping[str, FloatArray]) -> None:
    """Refuse arrays whose names, shapes or kinds of number are not a network's own."""
    for name in sorted(wanted.keys() ^ given.keys()):
        what = "is missing" if name in wanted else "has no place in this network"
        raise ArtifactError(f"weights: {name!r} {what}")
    for name, value in wanted.items():
        found = given[name]
        if found.shape != value.shape or found.dtype.kind != "f":
            raise ArtifactError(
                f"weights: {name!r} must be floats of the shape {value.shape}, "
                f"got {found.dtype} of the shape {found.shape}"
            )


def write_weights(path: Path, state: Mapping[str, FloatArray]) -> None:
    """Write arrays by name."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **state)


def read_weights(path: Path) -> dict[str, FloatArray]:
    """Read arrays by name; refuse a file that is absent, damaged, or holds objects."""
    try:
        # Opened here, so that it is closed where NumPy finds that it is no archive.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise ArtifactError(f"{path} cannot be read as weights: {error}") from error
