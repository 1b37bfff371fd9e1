"""A network's weights on disk, as npz: arrays by name, no objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eosin.core.errors import ArtifactError
from eosin.core.files import atomic_path
from eosin.core.npz import read_npz
from eosin.core.types import FloatArray


def check_state(wanted: Mapping[str, FloatArray], given: Mapping[str, FloatArray]) -> None:
    """Check that arrays have a network's names, shapes and dtypes."""
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
    """Read arrays by name; raise an error if the file is absent, damaged or has objects."""
    try:
        return read_npz(path)
    except MemoryError:
        raise ArtifactError(f"{path} needs more memory than is free") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(f"{path} cannot be read as weights: {reason}") from error
