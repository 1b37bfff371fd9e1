"""Pixel spacing: sizes of images as stored, and µm per pixel at the network's input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from eosin.artifacts.model import Embedding, ModelInfo, Preprocessing
from eosin.core.errors import DataError, ImageError
from eosin.core.threads import map_threads
from eosin.core.types import FloatArray, Samples, parts_of
from eosin.images.decode import opened_image
from eosin.images.failures import isolated
from eosin.images.limits import read_limits
from eosin.images.preprocess import decode_for, field_of_view

#: Largest difference of µm per pixel, as a share, at which images have one scale.
TOLERANCE = 0.10
#: Largest difference of the factors for height and width, as a share, for one scale.
_ISOTROPY = 0.02
#: Largest difference of µm per pixel, as a share, of equal values.
_SAME = 0.01
#: EXIF's tag of orientation, and its last value that keeps height and width.
_ORIENTATION, _UPRIGHT = 0x0112, 4
#: Most files that are measured, from all groups in turn; more would add little.
MOST_MEASURED = 1000


def choose_some(samples: Samples) -> Samples:
    """Return at most 1,000 rows, evenly over the groups."""
    if len(samples) <= MOST_MEASURED:
        return samples
    order = np.random.default_rng(0).permutation(len(samples))
    groups = samples.frame["group"].iloc[order]
    turn = groups.groupby(groups).cumcount().to_numpy()
    chosen = np.zeros(len(samples), dtype=bool)
    chosen[order[np.argsort(turn, kind="stable")[:MOST_MEASURED]]] = True
    return samples.where(chosen)


def measure_sizes(samples: Samples, preprocessing: Preprocessing) -> FloatArray:
    """Return height and width in pixels of every image as stored, shape (N, 2).

    Of a magnification stack those of its first image; NaN if a file cannot be read.
    """

    def measure(cell: str) -> tuple[float, float]:
        first = next(filter(None, parts_of(cell)))
        try:
            with isolated(first):
                return _measure_size(*samples.locate(first), preprocessing)
        except ImageError:
            return np.nan, np.nan

    found = list(map_threads(measure, samples.frame["path"]))
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _measure_size(
    path: Path, index: int | None, preprocessing: Preprocessing
) -> tuple[float, float]:
    if index is not None or preprocessing.planes is not None:
        height, width = decode_for(path, index, preprocessing).shape[:2]
        return height, width
    with opened_image(path, read_limits()) as image:  # the header alone
        width, height = image.size
        lies = image.getexif().get(_ORIENTATION, 1) > _UPRIGHT
    return (width, height) if lies else (height, width)


def _scale_at_input(samples: Samples, preprocessing: Preprocessing) -> FloatArray:
    """Return µm per pixel at the network's input, shape (N,); NaN if unknown.

    It is unknown if an image's own is, or if height and width are resized by two factors.
    """
    cells = samples.frame.get("mpp")
    if cells is None or isinstance(preprocessing, Embedding):
        return np.full(len(samples), np.nan)
    own = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    own = np.where(own > 0, own, np.nan)
    if np.isnan(own).all():
        return own
    seen = field_of_view(measure_sizes(samples, preprocessing), preprocessing)
    factors = seen / np.array(preprocessing.input_px)
    is_even = np.abs(factors[:, 0] / factors[:, 1] - 1) <= _ISOTROPY
    return np.where(is_even, own * factors.mean(axis=1), np.nan)


def network_mpp(samples: Samples, preprocessing: Preprocessing) -> float | None:
    """Return µm per pixel at the network's input from column ``mpp``, if all images share one."""
    scales = _scale_at_input(choose_some(samples), preprocessing)
    usual = float(np.median(scales))
    if not np.all(np.abs(scales - usual) <= _SAME * usual):
        return None  # NaN is not near anything
    return float(f"{usual:.4g}")


def check_scale(samples: Samples, info: ModelInfo) -> None:
    """Check that images show tissue at the size that the model was trained on, if both are known.

    Raises DataError if µm per pixel at the network's input differ by more than 10 per cent.
    """
    if info.mpp is None:
        return
    scales = _scale_at_input(choose_some(samples), info.preprocessing)
    off = scales[np.abs(scales / info.mpp - 1) > TOLERANCE]
    if len(off) == 0:
        return
    height, width = info.preprocessing.input_px
    field = " × ".join(f"{info.mpp * side:.0f}" for side in (width, height))
    raise DataError(
        f"{samples.name}: the model was trained at {info.mpp:.3g} µm per pixel of its input, but "
        f"{len(off)} of {len(scales)} images have {_range(off)} (at most {TOLERANCE:.0%} "
        "difference is allowed)",
        hint=f"Cut the images so that each shows {field} µm, as in training, or correct the "
        "column `mpp` (empty: unknown)",
    )


def _range(values: FloatArray) -> str:
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low} to {high}"
