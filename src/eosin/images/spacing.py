"""Pixel spacing: sizes of images as stored, and µm per pixel at the network's input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from eosin.artifacts.model import Embedding, ModelInfo, Preprocessing
from eosin.core.errors import DataError, ImageError, RecipeError
from eosin.core.threads import map_threads
from eosin.core.types import BoolArray, FloatArray, Samples, parts_of
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


def _scales_at_input(samples: Samples, preprocessing: Preprocessing) -> FloatArray:
    """Return µm per pixel of height and width at the network's input, shape (N, 2).

    NaN if an image's own is unknown.
    """
    cells = samples.frame.get("mpp")
    if cells is None or isinstance(preprocessing, Embedding):
        return np.full((len(samples), 2), np.nan)
    own = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    own = np.where(own > 0, own, np.nan)[:, None]
    if np.isnan(own).all():
        return np.repeat(own, 2, axis=1)
    seen = field_of_view(measure_sizes(samples, preprocessing), preprocessing)
    return np.asarray(own * seen / np.array(preprocessing.input_px))


def network_mpp(samples: Samples, preprocessing: Preprocessing) -> float | None:
    """Return µm per pixel at the network's input from column ``mpp``, if all images share one.

    None if height and width are resized by two factors.
    """
    both = _scales_at_input(choose_some(samples), preprocessing)
    is_even = np.abs(both[:, 0] / both[:, 1] - 1) <= _ISOTROPY
    scales = np.where(is_even, both.mean(axis=1), np.nan)
    usual = float(np.median(scales))
    if not np.all(np.abs(scales - usual) <= _SAME * usual):
        return None  # NaN is not near anything
    return float(f"{usual:.4g}")


def check_stated_mpp(samples: Samples, preprocessing: Preprocessing, stated: float | None) -> None:
    """Check µm per pixel at the network's input that a recipe states against column ``mpp``.

    Raises RecipeError if they differ by more than 10 per cent in any image.
    """
    if stated is None:
        return
    scales = _scales_at_input(choose_some(samples), preprocessing)
    off = scales[_is_off(scales, stated)]
    if len(off):
        raise RecipeError(
            f"'model.mpp' is {stated:g}, but {len(off)} of {len(scales)} images of {samples.name} "
            f"have {_range(off)} µm per pixel at the network's input, by the column `mpp`",
            hint="Leave it out, or correct the column",
        )


def check_scale(samples: Samples, info: ModelInfo) -> None:
    """Check that images show tissue at the size that the model was trained on, if both are known.

    Raises DataError if µm per pixel at the network's input differ by more than 10 per cent, of
    height or of width.
    """
    if info.mpp is None:
        return
    scales = _scales_at_input(choose_some(samples), info.preprocessing)
    off = scales[_is_off(scales, info.mpp)]
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


def _is_off(scales: FloatArray, wanted: float) -> BoolArray:
    """Return the rows of scales (N, 2) of which one differs by more than is allowed, (N,)."""
    return np.asarray((np.abs(scales / wanted - 1) > TOLERANCE).any(axis=1))


def _range(values: FloatArray) -> str:
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low} to {high}"
