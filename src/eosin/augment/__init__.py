"""Augmentation: drawn in one place, from (seed, epoch, index) alone; applied in another."""

from eosin.augment.geometry import apply_affine, warp_bytes
from eosin.augment.policies import POLICIES, Policy

__all__ = ["POLICIES", "Policy", "apply_affine", "warp_bytes"]
