"""Macenko's stain separation: the extreme angles in the plane of optical density.

M. Macenko et al., A method for normalizing histology slides for quantitative analysis, ISBI 2009;
P2's equation 1. Pixels of tissue, as optical density, lie near a plane; the stains are the
directions at its robust ends (the ``alpha``th percentile of angle on each side). What differs: the
plane is spanned by eigenvectors of the densities' covariance rather than by their singular value
decomposition, as in the authors' later code and its ports; separation, scaling and mixing of all
pixels' densities are one 3 × 3 matrix.
"""

from __future__ import annotations

import numpy as np

from eosin.core.types import FloatArray, Image
from eosin.stain.base import METHODS, Transfer
from eosin.stain.separation import (
    Separation,
    SeparationNormaliser,
    find_percentile,
    haematoxylin_first,
    to_grey,
)

#: Least variance of density across the main direction, that of rounding to bytes.
_LEAST_VARIANCE = 1e-5


@METHODS.register("macenko")
class Macenko(SeparationNormaliser):
    """Macenko's method.

    Args:
        i0: Grey level of light that passed no tissue.
        beta: Optical density below which a pixel is background.
        alpha: Percentage of angles that are skipped at each end.
    """

    method = "macenko"
    _knobs = ("i0", "beta", "alpha")

    def __init__(self, *, i0: float = 240.0, beta: float = 0.15, alpha: float = 1.0) -> None:
        super().__init__(i0=i0, beta=beta)
        self.alpha = alpha

    def _find_vectors(self, tissue: FloatArray) -> FloatArray | None:
        variances, axes = np.linalg.eigh(_covariance(tissue))
        if variances[1] < _LEAST_VARIANCE:
            return None
        plane = axes[:, 1:]  # (3, 2)
        across, along = plane.T.astype(np.float32) @ tissue
        angles = np.arctan2(along, across)
        ends = [find_percentile(angles, percent) for percent in (self.alpha, 100.0 - self.alpha)]
        vectors = np.array([plane @ (np.cos(end), np.sin(end)) for end in ends])
        return haematoxylin_first(vectors)

    def _find_concentrations(self, density: FloatArray, vectors: FloatArray) -> FloatArray:
        amounts: FloatArray = np.linalg.pinv(vectors.T).astype(np.float32) @ density
        return amounts

    def _make_transfer(self, source: Separation) -> Transfer:
        mixed = np.linalg.pinv(source.stain_matrix) @ self._target(source)
        matrix = np.ascontiguousarray(mixed.T, dtype=np.float32)  # (3, 3)

        def transfer(density: FloatArray) -> Image:
            return to_grey(matrix @ density, self.i0)

        return transfer


def _covariance(density: FloatArray) -> FloatArray:
    """Return the channels' covariance, shape (3, 3), of densities (3, N)."""
    n_pixels = density.shape[1]
    products = np.empty((3, 3))
    for row in range(3):
        for other in range(row + 1):
            # Row by row: one product of so long and thin a matrix takes ten times as long.
            product = np.dot(density[row], density[other])
            products[row, other] = products[other, row] = product
    mean = density.mean(axis=1).astype(np.float64)
    covariance: FloatArray = (products - n_pixels * np.outer(mean, mean)) / (n_pixels - 1)
    return covariance
