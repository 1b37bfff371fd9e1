"""Named augmentation policies: which changes are drawn, and within which ranges.

A policy only draws. What it draws for an image depends on the run's seed, the epoch and the
image's index alone, never on the batch that the image happens to be in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from eosin.augment.counting import uniform
from eosin.core.registry import Registry
from eosin.core.seeding import derive_seed
from eosin.core.types import FloatArray


@dataclass(frozen=True)
class Policy:
    """Ranges of an affine change of the image plane.

    Attributes:
        source: Where the ranges come from.
        rotation_deg: Rotation is drawn from ±this.
        shift: Translation along each axis, from ± this share of the side.
        shear: Shear factor, from ±this.
        zoom: Magnification, from 1 − this to 1 + this.
        flip_horizontal: Mirror left and right, every second time.
        flip_vertical: Mirror top and bottom, every second time.
        quarter_turns: Turn by 0, 90, 180 or 270 degrees first.
    """

    source: str
    rotation_deg: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    flip_horizontal: bool = False
    flip_vertical: bool = False
    quarter_turns: bool = False

    @property
    def changes_nothing(self) -> bool:
        """Whether every draw is the identity."""
        ranges = (self.rotation_deg, self.shift, self.shear, self.zoom)
        flips = (self.flip_horizontal, self.flip_vertical, self.quarter_turns)
        return not any(ranges) and not any(flips)

    def draw(self, seed: int, epoch: int, indices: Iterable[int]) -> FloatArray:
        """Draw one affine matrix an image.

        Args:
            seed: The run's seed.
            epoch: Counted from 0.
            indices: Index of each image in the training part.

        Returns:
            float32, shape (B, 2, 3): from output to input coordinates, both in −1…1 with the
            image's centre at 0 (torch's ``affine_grid``).
        """
        index = np.array(list(indices), dtype=np.int64)
        # Every number is drawn whether used or not: switching one change on leaves the others be.
        drawn = uniform(derive_seed(seed, "augment", epoch), index, 8)
        angle, shear, zoom, shift_x, shift_y = 2.0 * drawn[:, :5].T - 1.0
        mirror_x, mirror_y = drawn[:, 5:7].T < 0.5
        rotate = _turned(np.deg2rad(angle * self.rotation_deg))
        if self.quarter_turns:
            rotate = rotate @ _QUARTERS[(4.0 * drawn[:, 7]).astype(np.int64)]
        skew = np.zeros((len(index), 2, 2)) + np.eye(2)
        skew[:, 0, 1] = shear * self.shear
        flip = np.ones((len(index), 1, 2))
        flip[mirror_x & self.flip_horizontal, :, 0] = -1.0
        flip[mirror_y & self.flip_vertical, :, 1] = -1.0
        matrices = np.empty((len(index), 2, 3), dtype=np.float32)
        matrices[:, :, :2] = rotate @ skew * flip / (1.0 + zoom * self.zoom)[:, None, None]
        # Coordinates span 2, so a shift by a share of the side is twice that share.
        matrices[:, :, 2] = 2.0 * self.shift * np.stack([shift_x, shift_y], axis=1)
        return matrices


def _turned(theta: FloatArray) -> FloatArray:
    """Return the rotation by each angle, in radians: (B,) to (B, 2, 2)."""
    cosine, sine = np.cos(theta), np.sin(theta)
    return np.stack([cosine, -sine, sine, cosine], axis=-1).reshape(-1, 2, 2)


#: Turns by 0, 90, 180 and 270 degrees, exact: the cosine of a right angle is not quite 0.
_QUARTERS = np.round(_turned(np.arange(4) * np.pi / 2))

POLICIES: Registry[Policy] = Registry("augmentation policy")

POLICIES.add("none", Policy(source="no change"))
POLICIES.add(
    "dihedral",
    Policy(
        source="the eight views of a patch: tissue has no up",
        flip_horizontal=True,
        quarter_turns=True,
    ),
)
POLICIES.add(
    "p1",
    Policy(
        source="P1, section 4.1.2: rotation, shift, flip, zoom; it prints no ranges, these are "
        "ours",
        rotation_deg=20.0,
        shift=0.1,
        zoom=0.1,
        flip_horizontal=True,
        flip_vertical=True,
    ),
)
POLICIES.add(
    "p3",
    Policy(
        source="P3, Table 2.3",
        rotation_deg=40.0,
        shift=0.2,
        shear=0.2,
        zoom=0.2,
        flip_horizontal=True,
        flip_vertical=True,
    ),
)
