"""What every stain method does: fit a reference, estimate an image's own stain, apply.

A method tells two things apart. The *reference* is what images are made to look like: plain
numbers, fitted once and kept in ``model.json``. A *source* is the stain that an image, or a unit of
images such as a slide's tiles, brings along. An image whose stain cannot be told is left as it is,
byte for byte, with a reason: see :mod:`eosin.stain.sampling`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from eosin.artifacts.stain import StainReference
from eosin.core.errors import DataError
from eosin.core.registry import Registry
from eosin.core.types import FloatArray, Image
from eosin.stain.sampling import UNIT_PIXELS, Pool, find_fault

#: From what a method measures of colours, float32, shape (3, N), to new colours, uint8, (3, N).
Transfer = Callable[[FloatArray], Image]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A tile's, slide's or patient's own stain; each method adds its numbers.

    Attributes:
        reason: Why there are no numbers; empty where there are.
    """

    reason: str = ""


class Normalised(NamedTuple):
    """Images after normalisation.

    Attributes:
        images: uint8, the shape that was given.
        reasons: One an image: empty where it was normalised, else why it was left as it is.
    """

    images: Image
    reasons: tuple[str, ...]


class StainNormaliser(ABC):
    """A method of stain normalisation.

    Attributes:
        reference_: What images are made to look like; there after fitting.
    """

    reference_: StainReference
    #: Pixels that an estimate looks at, at most.
    _pixels: ClassVar[int] = 1 << 20
    #: Pixels measured or transferred at once: few enough for the processor's cache, and for the
    #: allocator not to hand the memory back to the system each time.
    _chunk: ClassVar[int] = 1 << 15
    #: The constructor's arguments, which a reference keeps.
    _knobs: ClassVar[tuple[str, ...]] = ()

    def fit(self, reference: Image) -> Self:
        """Take one image's stain as the reference.

        Args:
            reference: uint8, shape (H, W, 3).

        Raises:
            DataError: It is no such image, or has no stain that could be fitted.
        """
        return self.fit_many([reference])

    def fit_many(
        self,
        images: Iterable[Image],
        units: Sequence[str] | None = None,
        *,
        unit_pixels: int = UNIT_PIXELS,
    ) -> Self:
        """Take the median of several units' stains as the reference.

        Units without a stain are passed over.

        Args:
            images: uint8, shape (H, W, 3) each; sizes may differ.
            units: Name of each image's slide or patient; by default each image is a unit.
            unit_pixels: Pixels that are kept of each named unit.

        Raises:
            DataError: They are no such images, or none has a stain that could be fitted.
        """
        self.__dict__.pop("reference_", None)  # fits anew, whatever was fitted before
        sources: list[Source] = []
        pools: dict[str, Pool] = {}
        n_images = 0
        for image in images:
            if units is None:
                sources.append(self.estimate(image))
            else:
                pools.setdefault(units[n_images], Pool(unit_pixels)).add(_checked(image))
            n_images += 1
        sources += [self._estimate_pool(pool) for pool in pools.values()]
        fitted = [source for source in sources if not source.reason]
        if not fitted:
            reasons = ", ".join(sorted({source.reason for source in sources})) or "no images"
            raise DataError(
                f"no stain could be fitted on {n_images} reference image(s): {reasons}",
                mend="Give images that show tissue in haematoxylin and eosin",
            )
        self.reference_ = self._summarise(fitted, n_images=n_images, n_units=len(fitted))
        return self

    def estimate(self, images: Image | Iterable[Image]) -> Source:
        """Tell the stain of one image, or of several pooled; never fails on what they show.

        Args:
            images: uint8, shape (H, W, 3), or several of them.

        Raises:
            DataError: Not such images.
        """
        pool = Pool(self._pixels)
        for image in _each(images):
            pool.add(image)
        return self._estimate_pool(pool)

    def apply(self, images: Image, sources: Sequence[Source] | None = None) -> Normalised:
        """Give images the reference's stain; never fails on what they show.

        Args:
            images: uint8, shape (H, W, 3) or (B, H, W, 3).
            sources: The stain that each image brings along, such as its slide's; by default it is
                estimated from the image itself.

        Raises:
            DataError: Not such images, or another number of sources than of images.
        """
        batch = list(_each(images))
        if sources is not None and len(sources) != len(batch):
            raise DataError(f"{len(batch)} images came with {len(sources)} sources of stain")
        changed = np.array(images, order="C")  # a copy
        reasons = []
        for row, target in enumerate(changed.reshape(len(batch), *batch[0].shape) if batch else ()):
            pixels = target.reshape(-1, 3)
            if sources is None:
                reason = self._apply_own(pixels, batch[row])
            else:
                # Other pixels told the stain: whether these are fit to be changed is still to see.
                reason = sources[row].reason or find_fault(batch[row])
                if not reason:
                    self._transfer(pixels, sources[row])
            reasons.append(reason)
        return Normalised(changed, tuple(reasons))

    @classmethod
    def of(cls, reference: StainReference) -> Self:
        """Return the method as it was fitted."""
        normaliser = cls(**{name: getattr(reference, name) for name in cls._knobs})
        normaliser.reference_ = reference
        return normaliser

    def _estimate_pool(self, pool: Pool) -> Source:
        reason = pool.find_reason()
        if reason:
            return Source(reason=reason)
        return self._estimate(self._measure_all(pool.colours()))

    def _apply_own(self, pixels: Image, image: Image) -> str:
        """Change an image's pixels, shape (N, 3), by its own stain; say why not, if not."""
        pool = Pool(self._pixels)
        pool.add(image)
        reason = pool.find_reason()
        if reason:
            return reason
        measured = self._measure_all(pool.colours())
        source = self._estimate(measured)
        if source.reason:
            return source.reason
        self._transfer(pixels, source, measured)
        return ""

    def _measure_all(self, colours: Image) -> FloatArray:
        measured = np.empty(colours.shape, dtype=np.float32)
        for first in range(0, colours.shape[1], self._chunk):
            part = np.ascontiguousarray(colours[:, first : first + self._chunk])
            measured[:, first : first + self._chunk] = self._measure(part)
        return measured

    def _transfer(self, pixels: Image, source: Source, measured: FloatArray | None = None) -> None:
        """Change pixels, shape (N, 3), in place; all of them may have been measured before."""
        transfer = self._make_transfer(source)
        if measured is not None and measured.shape[1] != len(pixels):
            measured = None
        for first in range(0, len(pixels), self._chunk):
            chunk = pixels[first : first + self._chunk]
            # Channel by channel: a small matrix times a wide one is several times as fast.
            if measured is None:
                part = self._measure(np.ascontiguousarray(chunk.T))
            else:
                part = np.ascontiguousarray(measured[:, first : first + self._chunk])
            # One after another: as one turned array it takes seven times as long.
            for channel, values in enumerate(transfer(part)):
                chunk[:, channel] = values

    @abstractmethod
    def _measure(self, colours: Image) -> FloatArray:
        """Return what a stain is told and changed in, float32, of colours; both (3, N)."""

    @abstractmethod
    def _estimate(self, measured: FloatArray) -> Source:
        """Tell the stain of measured colours, shape (3, N), some of them tissue."""

    @abstractmethod
    def _summarise(self, sources: Sequence[Any], *, n_images: int, n_units: int) -> StainReference:
        """Return the median of sources as a reference."""

    @abstractmethod
    def _make_transfer(self, source: Any) -> Transfer:
        """Return what changes measured colours from a source's stain to the reference's."""


METHODS: Registry[type[StainNormaliser]] = Registry("stain method")


def normaliser_of(reference: StainReference) -> StainNormaliser:
    """Return the method that a reference was fitted with, ready to apply."""
    return METHODS.get(reference.method).of(reference)


def _each(images: Image | Iterable[Image]) -> Iterator[Image]:
    if isinstance(images, np.ndarray) and images.ndim == 3:
        yield _checked(images)
        return
    for image in images:
        yield _checked(image)


def _checked(image: Image) -> Image:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(
            "stain is told from 8-bit images of red, green and blue, shape (H, W, 3); "
            f"got {image.dtype}, shape {image.shape}"
        )
    return image
