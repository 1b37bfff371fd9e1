"""Clusters of images of similar appearance: stain, background and encoding.

Where patients are unknown, neighbouring patches of one slide lie in training and validation alike.
They share the slide's stain, the microscope's light and the compression, which these clusters
follow. Labels are not used. The clusters are not patients: one patient can be in several, and one
cluster holds several patients (``docs/results/appearance-groups.md``).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2, vq

from eosin.core.seeding import generator
from eosin.core.types import Image, IntArray

Floats = npt.NDArray[np.float64]

#: Features of an image.
N_FEATURES = 12
#: Pixels of a side that are measured, at most: every second, third … is.
_SIDE_PX = 64
#: Sum of the three optical densities (natural logarithm) above which a pixel is tissue.
_TISSUE = 0.45
#: Fewer pixels of tissue than this: all pixels are measured.
_LEAST_TISSUE = 50
#: Shares of the tissue that count as lightest and darkest, and of all pixels as background.
_TENTH, _FIFTIETH = 10, 50
#: Deviations from the median at which a standardised feature is cut off.
_CUT = 4.0
#: Images that k-means is fitted on, at most, and those assigned at once: its distances are a table
#: of images × clusters.
_FITTED, _ASSIGNED = 10_000, 4_096
_ITERATIONS = 50
#: Times that k-means is started: the best is kept.
_STARTS = 5
#: Optical density of each 8-bit value.
_DENSITY = -np.log((np.arange(256) + 1.0) / 256.0)


def measure_appearance(images: Image) -> Floats:
    """Measure stain and background of brightfield images.

    Args:
        images: uint8, shape (N, H, W, 3).

    Returns:
        Shape (N, 12): shares of red and of blue in the optical density of the tissue, of its
        lightest and of its darkest tenth; mean colour of the lightest 2 % of all pixels, 0–1; and
        correlations of the three densities over the tissue.
    """
    step = -(-max(images.shape[1:3]) // _SIDE_PX)
    measured = [_measure(one) for one in images[:, ::step, ::step]]
    return np.array(measured, dtype=np.float64).reshape(-1, N_FEATURES)


def _measure(image: Image) -> Floats:
    colours = image.reshape(-1, 3)
    density = _DENSITY[colours]
    total = density.sum(axis=1)
    tissue = np.flatnonzero(total > _TISSUE)
    if len(tissue) < _LEAST_TISSUE:
        tissue = np.arange(len(total))
    tissue = tissue[np.argsort(total[tissue], kind="stable")]
    tenth = max(1, len(tissue) // _TENTH)
    shares = [_share(density[rows]) for rows in (tissue, tissue[:tenth], tissue[-tenth:])]
    lightest = np.argsort(total, kind="stable")[: max(1, len(total) // _FIFTIETH)]
    background = colours[lightest].mean(axis=0) / 255.0
    return np.concatenate([*shares, background, _correlations(density[tissue])])


def _share(density: Floats) -> Floats:
    """Return the shares of red and blue in the density; a third each of pure white."""
    total = density.sum(axis=0) + 1e-9
    shares: Floats = (total / total.sum())[[0, 2]]
    return shares


def _correlations(density: Floats) -> Floats:
    """Return the correlations of red and green, red and blue, green and blue; 0 if undefined."""
    centred = density - density.mean(axis=0)
    deviation = np.sqrt(np.square(centred).mean(axis=0))
    product = centred.T @ centred / len(centred)
    scale = np.outer(deviation, deviation)
    defined = np.divide(product, scale, out=np.zeros((3, 3)), where=scale > 1e-12)
    correlations: Floats = defined[np.triu_indices(3, 1)]
    return correlations


def cluster_by_appearance(
    features: Floats,
    *,
    seed: int,
    encodings: Sequence[str] = (),
    together: IntArray | None = None,
) -> IntArray:
    """Cluster images by k-means, into about √N clusters.

    Args:
        features: From :func:`measure_appearance`, shape (N, D). The order of the rows matters.
        seed: Of the clusters' first centres.
        encodings: Format, size and compression of each image's file; those that at least √N
            images have count as far apart.
        together: Images of one number are duplicates, which always share a cluster, shape (N,).

    Returns:
        The cluster of each image, 0, 1, … in the order of their first images, shape (N,).
    """
    points = np.hstack([_standardise(features), _encode(encodings, len(features))])
    if together is None:
        together = np.arange(len(points))
    of_row = np.unique(together, return_inverse=True)[1]
    sums = np.zeros((int(of_row.max()) + 1, points.shape[1]))
    np.add.at(sums, of_row, points)
    sets = sums / np.bincount(of_row)[:, None]
    found = _assign(sets, _centres(sets, round(np.sqrt(len(points))), seed))[of_row]
    first = np.unique(found, return_index=True)[1]
    number = np.empty(int(found.max()) + 1, dtype=np.int64)
    number[found[np.sort(first)]] = np.arange(len(first))
    return number[found]


def _standardise(features: Floats) -> Floats:
    """Return features in deviations from their median, cut off at ±4."""
    deviation = features.std(axis=0) + 1e-9
    standard: Floats = (features - np.median(features, axis=0)) / deviation
    return standard.clip(-_CUT, _CUT)


def _encode(encodings: Sequence[str], n_images: int) -> Floats:
    """Return a column for each encoding that at least √N images have; none for fewer than two.

    Images of other encodings, such as patches at the border of a slide, are in the middle.
    """
    counted = Counter(encodings)
    frequent = sorted(name for name, n in counted.items() if name and n >= np.sqrt(n_images))
    if len(frequent) < 2:
        return np.zeros((n_images, 0))
    columns: Floats = _CUT * (np.array(encodings)[:, None] == np.array(frequent)[None, :])
    is_known = columns.any(axis=1)
    columns[~is_known] = columns[is_known].mean(axis=0)
    return columns


def _centres(points: Floats, n_clusters: int, seed: int) -> Floats:
    """Return the centres of at most so many clusters."""
    random = generator(seed, "appearance")
    if len(points) > _FITTED:
        points = points[np.sort(random.choice(len(points), _FITTED, replace=False))]
    distinct = np.unique(points, axis=0)
    if len(distinct) <= n_clusters:
        return distinct
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an empty cluster, which no image is assigned to
        tried = [
            kmeans2(points, n_clusters, minit="++", iter=_ITERATIONS, rng=random)[0]
            for _ in range(_STARTS)
        ]
    best: Floats = min(tried, key=lambda centres: _inertia(points, centres))
    return best


def _inertia(points: Floats, centres: Floats) -> float:
    """Return the sum of squared distances to the nearest centre."""
    return sum(float(np.square(vq(some, centres)[1]).sum()) for some in _chunks(points))


def _assign(points: Floats, centres: Floats) -> IntArray:
    """Return the nearest centre of each point."""
    return np.concatenate(
        [vq(some, centres, check_finite=False)[0] for some in _chunks(points)]
    ).astype(np.int64)


def _chunks(points: Floats) -> Iterator[Floats]:
    for start in range(0, len(points), _ASSIGNED):
        yield points[start : start + _ASSIGNED]
