"""Augmentation policies, and the parameters that they draw for a batch; no pixel is touched here.

A draw depends on the run's seed, the epoch and the image's index alone, never on the batch. So
numbers are drawn by counting: Philox 4 × 32 with ten rounds, of J. K. Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3" (SC'11), over a whole batch in NumPy. A key and a counter give
four words; there is no state, and a batch of images costs little more than one (to seed a NumPy
generator for each took nine times as long).

Stain jitter is in the space of optical density, where stains add up. After D. Tellez et al.,
"Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference to train distilled
stain-invariant convolutional networks" (IEEE Transactions on Medical Imaging 37, 2018), and
"Quantifying the effects of data augmentation and stain color normalization in convolutional neural
networks for computational pathology" (Medical Image Analysis 58, 2019): an image is separated into
haematoxylin, eosin and a rest by the vectors of A. C. Ruifrok and D. A. Johnston, "Quantification
of histochemical staining by color deconvolution" (2001); each concentration is scaled and shifted;
and the image is recombined. All of that is linear in the optical density of red, green and blue,
and so are contrast, saturation and hue there, and a brighter lamp, which subtracts ln of its
factor: one matrix of 3 × 4 an image holds them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt

from eosin.augment.callables import Calls, Seeded
from eosin.core.seeding import derive_seed
from eosin.core.types import FloatArray, Image, IntArray
from eosin.stain.density import colour_change, density_change

#: A rotation or mirror of the image plane: rows of a matrix from output to input.
View = tuple[tuple[float, float], tuple[float, float]]

# Use of each of an image's numbers. New ones go to the end, after those of the channels' tones: the
# others stay as they are.
_GEOMETRY, _STAIN, _BRIGHTNESS, _BLUR, _TONES = (
    slice(11),
    slice(11, 17),
    slice(17, 18),
    slice(18, 20),
    slice(20, None),
)
_COLOURS = 4
Words = npt.NDArray[np.uint64]
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Drawn parameters of a batch, to be applied in this order; None for kinds that a policy lacks.

    Attributes:
        affine: From output to input coordinates, both in −1…1 with the image's centre at 0 (torch's
            ``affine_grid``), float32, shape (B, 2, 3).
        density: Of the optical density of red, green and blue: ``A · od + b`` as (A | b), float32,
            shape (B, 3, 4).
        blur: Standard deviation of a Gaussian, in pixels, 0 for none, float32, shape (B,).
        tables: Lookup table of each channel's 8-bit values, uint8, shape (B, C, 256).
        calls: A function to call for each image.
    """

    affine: FloatArray | None = None
    density: FloatArray | None = None
    blur: FloatArray | None = None
    tables: Image | None = None
    calls: Calls | None = None


@dataclass(frozen=True)
class Policy:
    """Augmentation policy: ranges of changes, each uniform within its range.

    Attributes:
        source: Source of the ranges.
        rotation_deg: Rotation is drawn from ±this.
        shift: Translation along each axis, from ± this share of the side.
        shear: Shear factor, from ±this.
        zoom: Magnification, from 1 − this to 1 + this.
        crop: Share of the side that a crop leaves out, from 0 to this, before it is resized.
        flip_horizontal: Mirror left and right, with probability 1/2.
        flip_vertical: Mirror top and bottom, with probability 1/2.
        quarter_turns: Rotate by 0, 90, 180 or 270 degrees first.
        views: Fixed copies of each image, in place of all geometric draws. An image's index then
            counts copies: they follow each other.
        stain_scale: Factor on the concentration of haematoxylin, of eosin and of the rest, from
            1 − this to 1 + this.
        stain_shift: Added to each of them, in optical density, from ±this.
        contrast: Factor on the optical density, from 1 − this to 1 + this.
        saturation: Factor on the density's difference from grey, from 1 − this to 1 + this.
        hue_deg: Rotation of the density's colour about grey is drawn from ±this.
        grey: Probability that all colour is taken away.
        brightness: Factor on the light, from 1 − this to 1 + this.
        blur: Standard deviation of a Gaussian in pixels, from 0 to this, with probability 1/2.
        gain: Factor on each fluorescence channel, from 1 − this to 1 + this.
        gamma: Exponent of each fluorescence channel, from e^−this to e^this.
        offset: Added to each fluorescence channel, from ± this share of the range.
        function: A user's own, called after all of these; see :mod:`eosin.augment.callables`.
    """

    source: str
    rotation_deg: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    crop: float = 0.0
    flip_horizontal: bool = False
    flip_vertical: bool = False
    quarter_turns: bool = False
    views: tuple[View, ...] = ()
    stain_scale: float = 0.0
    stain_shift: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue_deg: float = 0.0
    grey: float = 0.0
    brightness: float = 0.0
    blur: float = 0.0
    gain: float = 0.0
    gamma: float = 0.0
    offset: float = 0.0
    function: Seeded | None = None

    @property
    def changes_nothing(self) -> bool:
        """True if every draw is the identity."""
        return not any(getattr(self, field.name) for field in fields(self)[1:])

    @property
    def fixed_copies(self) -> int:
        """Number of fixed copies of each image; 0 if the policy draws anew."""
        return len(self.views)

    @property
    def modality(self) -> Literal["brightfield", "fluorescence"] | None:
        """The modality of its colour changes; None if it has none."""
        if self.stain_scale or self.stain_shift or self.brightness or self._changes_colour:
            return "brightfield"
        return "fluorescence" if self.gain or self.gamma or self.offset else None

    @property
    def _changes_colour(self) -> bool:
        return any((self.contrast, self.saturation, self.hue_deg, self.grey))

    def draw(self, seed: int, epoch: int, indices: Iterable[int], *, channels: int = 3) -> Drawn:
        """Draw the parameters of a batch.

        Args:
            seed: The run's seed.
            epoch: Counted from 0.
            indices: Index of each image in the training subset; of each copy, if copies are fixed.
            channels: Number of channels of the images.
        """
        index = np.array(list(indices), dtype=np.int64)
        # Every number is drawn, used or not: switching one change on leaves the others as they are.
        end = _TONES.start + 3 * channels
        drawn = uniform(derive_seed(seed, "augment", epoch), index, end + _COLOURS)
        drawn, colour = drawn[:, :end], drawn[:, end:]
        return Drawn(
            affine=self._draw_affine(drawn[:, _GEOMETRY], index),
            density=self._draw_density(drawn[:, _STAIN], colour, drawn[:, _BRIGHTNESS]),
            blur=self._draw_blur(drawn[:, _BLUR]),
            tables=self._draw_tables(drawn[:, _TONES].reshape(len(index), channels, 3)),
            calls=self._draw_calls(derive_seed(seed, "augment function", epoch), index),
        )

    def _draw_calls(self, seed: int, index: IntArray) -> Calls | None:
        if self.function is None:
            return None
        # As whole numbers of 32 bits, which every generator takes as a seed.
        return Calls(self.function, (uniform(seed, index, 1)[:, 0] * 2**32).astype(np.int64))

    def _draw_affine(self, drawn: FloatArray, index: IntArray) -> FloatArray | None:
        matrices = np.zeros((len(index), 2, 3), dtype=np.float32)
        if self.views:
            matrices[:, :, :2] = np.array(self.views)[index % len(self.views)]
            return matrices
        ranges = (self.rotation_deg, self.shift, self.shear, self.zoom, self.crop)
        if not any((*ranges, self.flip_horizontal, self.flip_vertical, self.quarter_turns)):
            return None
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
        linear = rotate @ skew * flip / (1.0 + zoom * self.zoom)[:, None, None]
        # Coordinates span 2, so a shift by a share of the side is twice that share.
        offset = 2.0 * self.shift * np.stack([shift_x, shift_y], axis=1)
        if self.crop:
            # Of the result so far; its centre is uniform over positions inside the image.
            left_out = self.crop * drawn[:, 8:9]
            offset += np.einsum("bij,bj->bi", linear, left_out * (2.0 * drawn[:, 9:11] - 1.0))
            linear *= 1.0 - left_out[:, :, None]
        matrices[:, :, :2] = linear
        matrices[:, :, 2] = offset
        return matrices

    def _draw_density(
        self, stain: FloatArray, colour: FloatArray, light: FloatArray
    ) -> FloatArray | None:
        if self.modality != "brightfield":
            return None
        scale, shift = (2.0 * stain - 1.0).reshape(-1, 2, 3).transpose(1, 0, 2)
        factor = 1.0 + self.brightness * (2.0 * light - 1.0)
        changed = self._draw_colour(colour) if self._changes_colour else None
        return density_change(
            1.0 + self.stain_scale * scale, self.stain_shift * shift, factor, changed
        )

    def _draw_colour(self, drawn: FloatArray) -> FloatArray:
        hue, saturation, contrast = 2.0 * drawn[:, :3].T - 1.0
        is_grey = drawn[:, 3] < self.grey
        return colour_change(
            np.deg2rad(self.hue_deg) * hue,
            np.where(is_grey, 0.0, 1.0 + self.saturation * saturation),
            1.0 + self.contrast * contrast,
        )

    def _draw_blur(self, drawn: FloatArray) -> FloatArray | None:
        if not self.blur:
            return None
        sigma = np.where(drawn[:, 0] < 0.5, self.blur * drawn[:, 1], 0.0)
        return sigma.astype(np.float32)

    def _draw_tables(self, drawn: FloatArray) -> Image | None:
        if self.modality != "fluorescence":
            return None
        gain, gamma, offset = np.moveaxis(2.0 * drawn - 1.0, 2, 0)[..., None]  # each (B, C, 1)
        values = (np.arange(256) / 255.0) ** np.exp(self.gamma * gamma)
        values = (1.0 + self.gain * gain) * values + self.offset * offset
        tables: Image = np.clip(np.rint(255.0 * values), 0, 255).astype(np.uint8)
        return tables


def _turned(theta: FloatArray) -> FloatArray:
    """Return the rotation by each angle, in radians: (B,) to (B, 2, 2)."""
    cosine, sine = np.cos(theta), np.sin(theta)
    return np.stack([cosine, -sine, sine, cosine], axis=-1).reshape(-1, 2, 2)


#: Rotations by 0, 90, 180 and 270 degrees, exact: the cosine of a right angle is not quite 0.
_QUARTERS = np.round(_turned(np.arange(4) * np.pi / 2))


def philox(counters: Words, key: tuple[int, int]) -> Words:
    """Scramble counters (..., 4) of 32-bit words with a key of two to words of the same shape.

    Each bit of the result depends on every bit of counter and key.
    """
    # Products of two 32-bit words need all of 64 bits.
    a, b, c, d = np.moveaxis(counters, -1, 0)
    first, second = key
    for _ in range(_ROUNDS):
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            (right >> _HALF) ^ b ^ np.uint64(first),
            right & _LOW,
            (left >> _HALF) ^ d ^ np.uint64(second),
            left & _LOW,
        )
        first = (first + _KEY_STEPS[0]) & 0xFFFFFFFF
        second = (second + _KEY_STEPS[1]) & 0xFFFFFFFF
    return np.stack([a, b, c, d], axis=-1)


def uniform(seed: int, indices: IntArray, count: int) -> FloatArray:
    """Draw uniform numbers for each index, independently of the others.

    Args:
        seed: 64 bits, e.g. of :func:`eosin.core.seeding.derive_seed`.
        indices: At least 0, shape (B,).
        count: Numbers an index.

    Returns:
        float64, shape (B, count), above 0 and below 1 in steps of 2⁻³².
    """
    blocks = -(-count // 4)
    counters = np.zeros((len(indices), blocks, 4), dtype=np.uint64)
    counters[:, :, 0] = (indices.astype(np.uint64) & _LOW)[:, None]
    counters[:, :, 1] = (indices.astype(np.uint64) >> _HALF)[:, None]
    counters[:, :, 2] = np.arange(blocks, dtype=np.uint64)
    words = philox(counters, (seed & 0xFFFFFFFF, seed >> 32))
    return (words.reshape(len(indices), 4 * blocks)[:, :count] + 0.5) / 2.0**32
