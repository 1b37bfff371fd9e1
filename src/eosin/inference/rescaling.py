"""From an ensemble's input to a member's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eosin.core.types import FloatArray, IntArray


class Rescale:
    """Carries input as an ensemble normalises it over to a member's own normalisation.

    The ensemble's images are prepared once. Each member gets the values that its own means,
    deviations, order of channels and windows of counts would have given. Where windows of
    fluorescence channels differ that holds up to the ensemble's step of 1/255: it reads with the
    widest.

    Args:
        order: For each channel of the member, its position in the ensemble's input.
        factor: A number a channel.
        offset: A number a channel, added after that.
        low: What the values are clipped to from below then, a number a channel; may be infinite.
        high: From above.

    Attributes:
        tensors: All five by name; ``order`` int64, (C,), the others float32, (C, 1, 1).
    """

    def __init__(
        self,
        order: Sequence[int],
        factor: Sequence[float],
        offset: Sequence[float],
        low: Sequence[float],
        high: Sequence[float],
    ) -> None:
        self.tensors: dict[str, IntArray | FloatArray] = {"order": np.array(order, np.int64)}
        for name, values in (("factor", factor), ("offset", offset), ("low", low), ("high", high)):
            self.tensors[name] = np.array(values, np.float32)[:, None, None]

    def __call__(self, images: FloatArray) -> FloatArray:
        """Return the member's input, shape (B, C, H, W) as that of ``images``."""
        factor, offset, low, high = (self.tensors[n] for n in ("factor", "offset", "low", "high"))
        moved = images[:, self.tensors["order"]] * factor + offset
        clipped: FloatArray = np.clip(moved, low, high)
        return clipped
