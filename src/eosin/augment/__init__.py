"""Augmentation: drawn in one place, from (seed, epoch, index) alone; applied in another."""

from eosin.augment.application import augment_bytes, augment_floats
from eosin.augment.drawing import Drawn, Policy
from eosin.augment.geometry import apply_affine, warp_bytes
from eosin.augment.policies import POLICIES

__all__ = [
    "POLICIES",
    "Drawn",
    "Policy",
    "apply_affine",
    "augment_bytes",
    "augment_floats",
    "warp_bytes",
]
