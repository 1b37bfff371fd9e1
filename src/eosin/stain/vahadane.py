"""Vahadane's stain separation: sparse non-negative factorisation of optical density.

A. Vahadane et al., Structure-preserving color normalization and sparse stain separation for
histological images, IEEE Transactions on Medical Imaging 35 (2016), equation 6: stain vectors W and
amounts H, neither negative, that make ½‖V − W H‖² + λ Σ H least, with W of unit columns. What
differs: with two stains the best amounts have a closed form, so that amounts and vectors take turns
on a regular sample of the tissue until the vectors rest, from the same start each time. The penalty
λ serves to find the vectors; once they are there the amounts are plain non-negative least squares,
because a penalty would bleach the picture. The paper's 99th percentile of amounts is kept; light
beyond I₀, which no stain explains, stays as grey.
"""

from __future__ import annotations

import numpy as np

from eosin.core.types import FloatArray, Image
from eosin.stain.base import METHODS, Transfer
from eosin.stain.optical_density import to_grey
from eosin.stain.separation import Separation, SeparationNormaliser, haematoxylin_first

#: Haematoxylin and eosin as commonly measured; any two tinges between them lead to the same end.
_START = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
#: Pixels of the sample, at most.
_PIXELS = 1 << 12
#: Most turns, and the change in one that counts as rest; tissue takes 20 to 100.
_ROUNDS = 200
_STILL = 1e-5


@METHODS.register("vahadane")
class Vahadane(SeparationNormaliser):
    """Vahadane's method.

    Args:
        i0: Grey level of light that passed no tissue.
        beta: Optical density below which a pixel is background.
        sparsity: Weight of the penalty on concentrations while the stains are looked for.
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
    """Return the non-negative lasso's amounts of two stains, in closed form.

    Args:
        density: float32, shape (3, N).
        vectors: Non-negative unit vectors, shape (2, 3).
        sparsity: Weight of the amounts' sum beside half the squared error.

    Returns:
        float32, shape (2, N).
    """
    cosine = np.float32(vectors[0] @ vectors[1])
    single = vectors.astype(np.float32) @ density  # each stain's amount if it were alone
    single -= np.float32(sparsity)
    both = single - cosine * single[::-1]
    both /= 1 - cosine * cosine
    # Where one stain would be negative it is absent, and the other alone.
    codes = np.where(both[::-1] < 0, single, both)
    return np.maximum(codes, 0, out=codes)


def _improve(vectors: FloatArray, density: FloatArray, codes: FloatArray) -> FloatArray | None:
    """Return unit vectors that explain the densities better, one after the other."""
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
