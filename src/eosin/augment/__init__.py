"""Augmentation: drawn in one place, from (seed, epoch, index) alone; applied in another."""

from importlib.util import find_spec

from eosin.augment.drawing import Drawn, Policy
from eosin.augment.policies import POLICIES
from eosin.core.errors import MissingPartError
from eosin.core.types import Image

__all__ = [
    "POLICIES",
    "Drawn",
    "Policy",
    "augment_bytes",
]


def augment_bytes(images: Image, drawn: Drawn) -> Image:
    """Change a batch where it lies as bytes, on a CPU.

    Args:
        images: uint8, shape (B, H, W, C).
        drawn: For the batch.

    Returns:
        Same shape and type; the images themselves where nothing is drawn.

    Raises:
        MissingPartError: OpenCV is not installed.
    """
    if find_spec("cv2") is None:
        raise MissingPartError(
            "augmentation needs OpenCV, which is not installed", mend="pip install 'eosin[augment]'"
        )
    # Here: to know the policies' names, and to train without any, OpenCV is not needed.
    from eosin.augment.bytes import recolour_bytes, warp_bytes

    if drawn.affine is not None:
        images = warp_bytes(images, drawn.affine)
    if drawn.density is not None or drawn.blur is not None or drawn.tables is not None:
        images = recolour_bytes(images, drawn)
    return images
