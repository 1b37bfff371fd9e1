"""Vahadane's stain separation: sparse non-negative factorisation of optical density.

A. Vahadane et al., Structure-preserving color normalization and sparse stain separation for
histological images, IEEE Transactions on Medical Imaging 35 (2016), equation 6: non-negative stain
vectors W, with unit columns, and concentrations H that minimise ½‖V − W H‖² + λ Σ H. What differs:
with two stains the best concentrations have a closed form, so that concentrations and vectors are
updated in turn on a regular sample of the tissue until the vectors converge, from a fixed start.
The penalty λ is used to find the vectors only; then the concentrations are plain non-negative least
squares, because a penalty would bleach the image. The paper's 99th percentile of concentrations is
kept; light beyond I₀, which no stain explains, stays grey.
"""

from __future__ import annotations

import numpy as np

from eosin.core.types import FloatArray, Image
from eosin.stain.base import METHODS, Transfer
from eosin.stain.separation import Separation, SeparationNormaliser, haematoxylin_first, to_grey

#: Haematoxylin and eosin as commonly measured; other starts between them converge to the same.
_START = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
#: Most pixels of the sample.
_PIXELS = 1 << 12
#: Most iterations, and the change that counts as convergence; tissue takes 20 to 100.
_ROUNDS = 200
_STILL = 1e-5


@METHODS.register("vahadane")
class Vahadane(SeparationNormaliser):
    """Vahadane's method.

    Args:
        i0: Grey level of light that passed no tissue.
        beta: Optical density below which a pixel is background.
        sparsity: Weight of the penalty on concentrations in the search for the stains.
    """

    method = "vahadane"
    _knobs = ("i0", "beta", "sparsity")

    def __init__(self, *, i0: float = 240.0, beta: float = 0.15, sparsity: float = 0.1) -> None:
        super().__init__(i0=i0, beta=beta)
        self.sparsity = sparsity

    def _find_vectors(self, tissue: FloatArray) -> FloatArray | None:
        sample = np.ascontiguousarray(tissue[:, :: -(-tissue.shape[1] // _PIXELS)])
        vectors: FloatArray = _START / np.linalg.norm(_START, axis=1, keepdims=True)
        for _ in range(_ROUNDS):
            codes = encode(sample, vectors, self.sparsity)
            moved = _improve(vectors, sample, codes)
            if moved is None:
                return None
            still = np.abs(moved - vectors).max() < _STILL
            vectors = moved
            if still:
                break
        return haematoxylin_first(vectors)

    def _find_concentrations(self, density: FloatArray, vectors: FloatArray) -> FloatArray:
        return encode(density, vectors, 0.0)

    def _make_transfer(self, source: Separation) -> Transfer:
        target = np.ascontiguousarray(self._target(source).T, dtype=np.float32)  # (3, 2)

        def transfer(density: FloatArray) -> Image:
            changed = target @ encode(density, source.stain_matrix, 0.0)
            # Light beyond I₀ in every channel is no stain's: white stays white.
            changed += np.minimum(density.max(axis=0), 0)
            return to_grey(changed, self.i0)

        return transfer


def encode(density: FloatArray, vectors: FloatArray, sparsity: float) -> FloatArray:
    """Return the non-negative lasso's concentrations (2, N) of two stains, in closed form.

    Args:
        density: float32, shape (3, N).
        vectors: Non-negative unit vectors, shape (2, 3).
        sparsity: Weight of the concentrations' sum beside half the squared error.
    """
    cosine = np.float32(vectors[0] @ vectors[1])
    single = vectors.astype(np.float32) @ density  # each stain's concentration if it were alone
    single -= np.float32(sparsity)
    both = single - cosine * single[::-1]
    both /= 1 - cosine * cosine
    # Where one stain would be negative it is 0, and the other is alone.
    codes = np.where(both[::-1] < 0, single, both)
    return np.maximum(codes, 0, out=codes)


def _improve(vectors: FloatArray, density: FloatArray, codes: FloatArray) -> FloatArray | None:
    """Update the unit vectors, one after the other, towards the densities."""
    products = (codes @ codes.T).astype(np.float64)
    pulls = (codes @ density.T).astype(np.float64)  # (2, 3)
    moved = vectors.copy()
    for row in range(2):
        if products[row, row] <= 0:
            return None
        moved[row] += (pulls[row] - products[row] @ moved) / products[row, row]
        np.maximum(moved[row], 0, out=moved[row])
        norm = np.linalg.norm(moved[row])
        if norm == 0:
            return None
        moved[row] /= norm
    return moved
