"""Schema of ``selftest`` in ``model.json``: real images with the outputs that are expected."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from eosin.artifacts.versioned import AtLeastOne, Document, ListOf, Name, Probability, TupleOf
from eosin.core.errors import ArtifactError

#: Number of test images of a model.
MOST_IMAGES = 8
_LONGEST = 12 << 20
_DAMAGED = "its test images are damaged"
_COPY_AGAIN = "Copy the whole model folder again from its original"


class SelfTest(Document):
    """Test images of a model, with the probabilities and decisions that it was saved with.

    Attributes:
        n_images: Their number N.
        images_base64: Base64 of the zlib-compressed images as the network takes them, stain
            normalised: uint8, shape (N, H, W, C); features float32, little-endian, (N, 1, 1, D).
        probabilities: Calibrated, in the order of the classes.
        decisions: At the model's threshold.
    """

    n_images: Annotated[AtLeastOne, Field(le=MOST_IMAGES)]
    images_base64: Annotated[str, Field(pattern="^[A-Za-z0-9+/]+={0,2}$", max_length=_LONGEST)]
    probabilities: ListOf[TupleOf[Probability]]
    decisions: TupleOf[Name]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if not len(self.probabilities) == len(self.decisions) == self.n_images:
            raise ValueError(f"it should have probabilities and decisions of {self.n_images}")
        return self

    def unpack(self, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
        """Return the images, of a ``shape`` each.

        Raises:
            ArtifactError: They have another shape, or are damaged.
        """
        shape = (self.n_images, *shape)
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        try:
            packed = base64.b64decode(self.images_base64, validate=True)
            # One byte more than is expected shows that there are too many.
            data = zlib.decompressobj().decompress(packed, n_bytes + 1)
        except (binascii.Error, zlib.error) as error:
            raise ArtifactError(_DAMAGED, hint=_COPY_AGAIN) from error
        if len(data) != n_bytes:
            raise ArtifactError(_DAMAGED, hint=_COPY_AGAIN)
        return np.frombuffer(data, dtype).reshape(shape)


def pack(images: npt.NDArray[Any]) -> str:
    """Return images as the text of :attr:`SelfTest.images_base64`."""
    dtype = "u1" if images.dtype == np.uint8 else "<f4"
    return base64.b64encode(zlib.compress(images.astype(dtype).tobytes(), 6)).decode()
