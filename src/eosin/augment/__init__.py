"""Augmentation: parameters drawn from (seed, epoch, index) alone, then applied to the images."""

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
    """Augment a batch of bytes on a CPU.

    Args:
        images: uint8, shape (B, H, W, C).
        drawn: Parameters of the batch.

    Returns:
        Same shape and type; the images themselves if nothing is drawn.

    Raises:
        MissingPartError: OpenCV is not installed.
    """
    if find_spec("cv2") is None:
        raise MissingPartError(
            "augmentation needs OpenCV, which is not installed", hint="pip install 'eosin[augment]'"
        )
    # Here, because the names of policies, and training without one, do not need OpenCV.
    from eosin.augment.bytes import recolour_bytes, warp_bytes

    if drawn.affine is not None:
        images = warp_bytes(images, drawn.affine)
    if drawn.density is not None or drawn.blur is not None or drawn.tables is not None:
        images = recolour_bytes(images, drawn)
    return images if drawn.calls is None else drawn.calls.apply(images)
