"""Base class of stain normalisation methods: fit a reference, estimate a source, apply.

The *reference* is the stain that images are normalised to: plain numbers, fitted once and kept in
``model.json``. A *source* is the stain of an image, or of a unit of images such as a slide's tiles.
An image whose stain cannot be estimated stays unchanged, with a reason: see
:mod:`eosin.stain.sampling`.
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

#: From a method's measurements of colours, float32, shape (3, N), to new colours, uint8, (3, N).
Transfer = Callable[[FloatArray], Image]


@dataclass(frozen=True, kw_only=True)
class Source:
    """The stain of a tile, slide or patient, or the reason why there is none."""

    reason: str = ""


class Normalised(NamedTuple):
    """Images after normalisation.

    Attributes:
        images: uint8, the shape of the input.
        reasons: One an image: empty where it was normalised, else why it was not.
    """

    images: Image
    reasons: tuple[str, ...]


class StainNormaliser(ABC):
    """A method of stain normalisation; ``reference_`` is set by fitting."""

    reference_: StainReference
    #: Most pixels of an estimate.
    _pixels: ClassVar[int] = 1 << 20
    #: Pixels measured or transferred at once: few enough for the processor's cache, and for the
    #: allocator not to return the memory to the system each time.
    _chunk: ClassVar[int] = 1 << 15
    #: The constructor's arguments, stored in the reference.
    _knobs: ClassVar[tuple[str, ...]] = ()

    def fit(self, reference: Image) -> Self:
        """Fit the reference on one image, uint8, shape (H, W, 3).

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
        """Fit the reference as the median of several units' stains.

        Units without a stain are skipped.

        Args:
            images: uint8, shape (H, W, 3) each; sizes may differ.
            units: Name of each image's slide or patient; by default each image is a unit.
            unit_pixels: Pixels that are kept of each named unit.

        Raises:
            DataError: They are no such images, or none has a stain that could be fitted.
        """
        self.__dict__.pop("reference_", None)  # independent of any earlier fit
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
                hint="Give images that show tissue in haematoxylin and eosin",
            )
        self.reference_ = self._summarise(fitted, n_images=n_images, n_units=len(fitted))
        return self

    def estimate(self, images: Image | Iterable[Image]) -> Source:
        """Estimate the stain of one image (H, W, 3), uint8, or of several together.

        Raises:
            DataError: Not such images; their content is no error.
        """
        pool = Pool(self._pixels)
        for image in _each(images):
            pool.add(image)
        return self._estimate_pool(pool)

    def apply(self, images: Image, sources: Sequence[Source] | None = None) -> Normalised:
        """Normalise images to the reference; their content is no error.

        Args:
            images: uint8, shape (H, W, 3) or (B, H, W, 3).
            sources: The stain of each image, such as its slide's; by default estimated from the
                image itself.

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
                # The stain was estimated on other pixels: these are not checked yet.
                reason = sources[row].reason or find_fault(batch[row])
                if not reason:
                    self._transfer(pixels, sources[row])
            reasons.append(reason)
        return Normalised(changed, tuple(reasons))

    @classmethod
    def of(cls, reference: StainReference) -> Self:
        """Return a fitted normaliser from its reference."""
        normaliser = cls(**{name: getattr(reference, name) for name in cls._knobs})
        normaliser.reference_ = reference
        return normaliser

    def _estimate_pool(self, pool: Pool) -> Source:
        reason = pool.find_reason()
        if reason:
            return Source(reason=reason)
        return self._estimate(self._measure_all(pool.colours()))

    def _apply_own(self, pixels: Image, image: Image) -> str:
        """Normalise an image's pixels, shape (N, 3), by its own stain; return why not, or ""."""
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
        """Change pixels, shape (N, 3), in place; ``measured`` saves measuring them again."""
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
            # Assigning one transposed array takes seven times as long.
            for channel, values in enumerate(transfer(part)):
                chunk[:, channel] = values

    @abstractmethod
    def _measure(self, colours: Image) -> FloatArray:
        """Return the method's measurements, float32, of colours; both (3, N)."""

    @abstractmethod
    def _estimate(self, measured: FloatArray) -> Source:
        """Estimate the stain of measured colours, shape (3, N), some of them tissue."""

    @abstractmethod
    def _summarise(self, sources: Sequence[Any], *, n_images: int, n_units: int) -> StainReference:
        """Return the median of sources as a reference."""

    @abstractmethod
    def _make_transfer(self, source: Any) -> Transfer:
        """Return the function from measured colours of a source's stain to the reference's."""


METHODS: Registry[type[StainNormaliser]] = Registry("stain method")


def normaliser_of(reference: StainReference) -> StainNormaliser:
    """Return the fitted normaliser of a reference."""
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
            "stain is estimated from 8-bit images of red, green and blue, shape (H, W, 3); "
            f"got {image.dtype}, shape {image.shape}"
        )
    return image
