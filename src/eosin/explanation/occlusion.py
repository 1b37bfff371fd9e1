"""Occlusion and RISE: evidence from what the network predicts for masked copies of an image.

Sources: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), section
4.2; Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models" (2018),
equations 4 to 6.

What differs: what is hidden becomes the image's mean colour, as black is no tissue; the number that
is explained is the log-odds. RISE divides by how often each place was seen, and subtracts the mean
over all masks, which separates evidence for the class from evidence against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

import numpy as np
from PIL import Image as PillowImage

from eosin.core.types import FloatArray, Image, IntArray
from eosin.explanation.evidence import Evidence, log_odds

T = TypeVar("T")
#: From images, uint8 (N, H, W, C), to calibrated logits (N, K).
Predict: TypeAlias = Callable[[Image], FloatArray]
#: Masked copies that are predicted at once.
_BATCH = 32
#: A window of occlusion is this share of the image's side, its step half of that.
_WINDOWS = 7
#: Masks of RISE; cells of a mask per side; share of cells that are seen.
RISE_MASKS, _CELLS, _SEEN = 500, 7, 0.5
_SEED = 0


class Occlusion:
    """Occlusion: how much hiding a square window lowers the log-odds.

    A pixel's value is the mean over all windows that hide it.

    Args:
        predict: The model.
        input_px: Height and width of its input.
        window_px: Side of the window; a seventh of the shorter side by default.
        stride_px: Step between windows; half the window by default.
    """

    method = "occlusion"
    members: tuple[str, ...] = ()

    def __init__(
        self,
        predict: Predict,
        input_px: tuple[int, int],
        *,
        window_px: int | None = None,
        stride_px: int | None = None,
    ) -> None:
        self.predict = predict
        self.window_px = window_px or default_window(input_px)
        self.stride_px = stride_px or max(1, self.window_px // 2)
        self._corners = [
            (top, left) for top in self._starts(input_px[0]) for left in self._starts(input_px[1])
        ]
        self.n_masks = len(self._corners)
        self.settings = (
            f"{self.n_masks} masks: a window of {self.window_px} × {self.window_px} px, moved by "
            f"{self.stride_px} px, is filled with the image's mean colour"
        )

    def _starts(self, side: int) -> list[int]:
        """Return where windows start along a side; the last one ends with the image."""
        last = side - self.window_px
        return [*range(0, last, self.stride_px), last]

    def explain(self, image: Image, target: int) -> Evidence:
        """Return the evidence for the class ``target`` in an image, uint8 (H, W, C)."""
        fill = _mean_colour(image)
        whole = float(log_odds(self.predict(image[None]), target)[0])
        total = np.zeros(image.shape[:2])
        times = np.zeros(image.shape[:2])
        for corners in _batches(self._corners):
            masked = np.repeat(image[None], len(corners), axis=0)
            windows = [self._window(corner) for corner in corners]
            for one, window in zip(masked, windows, strict=True):
                one[window] = fill
            drops = whole - log_odds(self.predict(masked), target)
            for window, drop in zip(windows, drops, strict=True):
                total[window] += drop
                times[window] += 1
        # With a step above the window, some pixels are never hidden.
        return Evidence((total / np.maximum(times, 1)).astype(np.float32))

    def _window(self, corner: tuple[int, int]) -> tuple[slice, slice]:
        top, left = corner
        return slice(top, top + self.window_px), slice(left, left + self.window_px)


class Rise:
    """RISE: mean log-odds of the masks that show a place, less the mean of all masks.

    Each image gets the same masks, drawn from a fixed seed.

    Args:
        predict: The model.
        input_px: Height and width of its input.
        n_masks: Number of random masks.
    """

    method = "rise"
    members: tuple[str, ...] = ()

    def __init__(
        self, predict: Predict, input_px: tuple[int, int], *, n_masks: int = RISE_MASKS
    ) -> None:
        self.predict, self._input_px, self.n_masks = predict, input_px, n_masks
        self.settings = (
            f"{n_masks} random masks of {_CELLS} × {_CELLS} cells, each seen with probability "
            f"{_SEEN:g}, the rest filled with the image's mean colour"
        )

    def masks(self) -> Iterator[FloatArray]:
        """Yield the masks in batches (B, H, W): 1 where the image is seen, 0 where it is hidden."""
        random = np.random.default_rng(_SEED)
        cell = [-(-side // _CELLS) for side in self._input_px]
        for numbers in _batches(range(self.n_masks)):
            grids = random.random((len(numbers), _CELLS + 1, _CELLS + 1)) < _SEEN
            shifts = random.integers(0, cell, size=(len(numbers), 2))
            yield np.stack(
                [
                    self._enlarge(grid, shift, cell)
                    for grid, shift in zip(grids, shifts, strict=True)
                ]
            )

    def _enlarge(self, grid: FloatArray, shift: IntArray, cell: list[int]) -> FloatArray:
        height, width = ((_CELLS + 1) * side for side in cell)
        small = PillowImage.fromarray(grid.astype(np.float32))
        large = np.asarray(small.resize((width, height), PillowImage.Resampling.BILINEAR))
        (top, left), (rows, columns) = shift, self._input_px
        return large[top : top + rows, left : left + columns]

    def explain(self, image: Image, target: int) -> Evidence:
        """Return the evidence for the class ``target`` in an image, uint8 (H, W, C)."""
        fill = _mean_colour(image).astype(np.float32)
        seen = np.zeros(image.shape[:2])
        weighted = np.zeros(image.shape[:2])
        total = 0.0
        for masks in self.masks():
            mixed = fill + masks[..., None] * (image.astype(np.float32) - fill)
            scores = log_odds(self.predict(np.rint(mixed).astype(np.uint8)), target)
            seen += masks.sum(axis=0)
            weighted += np.tensordot(scores, masks, axes=1)
            total += float(scores.sum())
        mean = weighted / np.maximum(seen, 1e-6)
        return Evidence((mean - total / self.n_masks).astype(np.float32))


def default_window(input_px: tuple[int, int]) -> int:
    """Return the side of a window, a seventh of the shorter side."""
    return max(1, min(input_px) // _WINDOWS)


def _mean_colour(image: Image) -> Image:
    mean: Image = np.rint(image.mean(axis=(0, 1))).astype(np.uint8)
    return mean


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    listed = list(items)
    for start in range(0, len(listed), _BATCH):
        yield listed[start : start + _BATCH]
