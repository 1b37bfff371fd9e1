"""Augmentation: drawn in one place, from (seed, epoch, index) alone; applied in another."""

from eosin.augment.application import augment_bytes
from eosin.augment.drawing import Drawn, Policy
from eosin.augment.policies import POLICIES

__all__ = [
    "POLICIES",
    "Drawn",
    "Policy",
    "augment_bytes",
]
