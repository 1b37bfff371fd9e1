"""ROAD: what hiding the places of most evidence changes, against hiding others.

Source: Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (ICML
2022), ROAD with noisy linear imputation, most relevant first.

What differs: the measure is the probability of the explained class, not the accuracy. Beside single
pixels in random order, the same map turned, mirrored and shifted at random is a second rival: a map
hides whole regions, from which imputation recovers less than from scattered pixels, whatever it
shows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from eosin.artifacts.explanation_checks import LEAST_IMAGES, Road
from eosin.artifacts.metrics import Metric
from eosin.core.types import BoolArray, FloatArray, Image
from eosin.explanation.occlusion import Predict
from eosin.metrics.intervals import interval

#: Shares of the pixels that are hidden; the result is the mean over them.
SHARES = (0.1, 0.3, 0.5)
#: Orders in which pixels are hidden.
ORDERS = ("evidence", "moved", "random")
#: Standard deviation of the noise on imputed values, of 255 levels: 0.01 of the range.
_NOISE = 2.55
#: Marks of a pixel that is not hidden, and of a place outside the image.
_SEEN, _OUTSIDE = -1, -2
#: Weights of a pixel's neighbours, by their offset in rows and columns (Rong et al.).
_NEIGHBOURS = {
    (row, column): 1 / 6 if 0 in (row, column) else 1 / 12
    for row in (-1, 0, 1)
    for column in (-1, 0, 1)
    if (row, column) != (0, 0)
}


def road(
    predict: Predict, image: Image, evidence: FloatArray, target: int, random: np.random.Generator
) -> dict[str, float]:
    """Return the fall of a class's probability for each of :data:`ORDERS`, mean over the shares.

    Args:
        predict: The model.
        image: uint8 (H, W, C).
        evidence: Its map (H, W).
        target: The explained class.
        random: Source of random orders and noise.
    """
    from scipy.special import softmax

    scores = {
        "evidence": evidence,
        "moved": move(evidence, random),
        "random": random.random(evidence.shape),
    }
    masked = [
        impute(image, hide(scores[name], share), random) for name in ORDERS for share in SHARES
    ]
    logits = predict(np.stack([image, *masked]))
    probability = softmax(logits, axis=1)[:, target]
    falls = (probability[0] - probability[1:]).reshape(len(ORDERS), len(SHARES)).mean(axis=1)
    return dict(zip(ORDERS, falls.tolist(), strict=True))


def move(evidence: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return a map (H, W), turned, mirrored and shifted around the edges at random."""
    height, width = evidence.shape
    turns = random.integers(4) if height == width else 2 * random.integers(2)
    turned = np.rot90(evidence, int(turns))
    if random.random() < 0.5:
        turned = turned[:, ::-1]
    shift = random.integers(0, turned.shape)
    return np.roll(turned, tuple(map(int, shift)), axis=(0, 1))


def hide(scores: FloatArray, share: float) -> BoolArray:
    """Return the mask (H, W) of the given share of pixels, those of the highest scores."""
    count = round(share * scores.size)
    order = np.argsort(-scores.ravel(), kind="stable")
    mask = np.zeros(scores.size, dtype=bool)
    mask[order[:count]] = True
    return mask.reshape(scores.shape)


def impute(image: Image, hidden: BoolArray, random: np.random.Generator | None = None) -> Image:
    """Return an image whose hidden pixels are weighted means of their neighbours.

    The means are those of all eight neighbours, hidden ones included: one sparse linear system.

    Args:
        image: uint8 (H, W, C).
        hidden: Mask (H, W), not of all pixels.
        random: Source of the noise; none is added without it.
    """
    from scipy.sparse.linalg import splu

    if not hidden.any():
        return image
    matrix, right = _linear_system(image.astype(np.float64), hidden)
    # The system is symmetric, with a dominant diagonal: no pivots are needed.
    solver = splu(matrix, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    filled = solver.solve(right)
    if random is not None:
        filled += random.normal(scale=_NOISE, size=filled.shape)
    found = image.copy()
    found[hidden] = np.clip(np.rint(filled), 0, 255).astype(np.uint8)
    return found


def _linear_system(image: FloatArray, hidden: BoolArray) -> tuple[Any, FloatArray]:
    """Return the matrix (N, N) and the right-hand sides (N, C) for N hidden pixels."""
    from scipy.sparse import csc_array

    rows, columns = (found + 1 for found in np.nonzero(hidden))
    own = np.arange(len(rows))
    number = np.pad(np.full(hidden.shape, _SEEN), 1, constant_values=_OUTSIDE)
    number[rows, columns] = own
    seen = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    weights, right = np.zeros(len(own)), np.zeros((len(own), image.shape[2]))
    entries = [(weights, own, own)]
    for (down, across), weight in _NEIGHBOURS.items():
        beside = number[rows + down, columns + across]
        weights += weight * (beside != _OUTSIDE)
        is_seen = beside == _SEEN
        right[is_seen] += weight * seen[rows + down, columns + across][is_seen]
        hidden_too = own[beside >= 0]
        entries.append((np.full(len(hidden_too), -weight), hidden_too, beside[hidden_too]))
    values, mine, others = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return csc_array((values, (mine, others)), shape=(len(own), len(own))), right


def summarise(falls: Sequence[Mapping[str, float]], groups: Sequence[Hashable]) -> Road:
    """Return the comparison of a method with both rivals.

    Args:
        falls: Of each image, as :func:`road` returns them.
        groups: Group of each image, for the intervals.
    """
    n_images, n_groups = len(falls), len(set(groups))
    if n_images < LEAST_IMAGES:
        few = f"{n_images} held-out images: it takes {LEAST_IMAGES}"
        return Road.without_value(n_images, n_groups, few)
    by = {name: np.array([one[name] for one in falls]) for name in ORDERS}
    own, moved, pixels = (by[name] for name in ORDERS)
    fall, over_moved, over_random = (
        Metric.of(interval(values, np.mean, groups)) for values in (own, own - moved, own - pixels)
    )
    return Road(
        n_images=n_images,
        n_groups=n_groups,
        fall=fall,
        over_random=over_random,
        over_moved=over_moved,
    )
