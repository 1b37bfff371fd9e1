"""Whether two images show the same tissue, turned by any angle, enlarged, shifted or mirrored.

Local features (SIFT: Lowe, IJCV 2004) of the one are matched with those of the other and of its
mirror image; RANSAC (Fischler and Bolles, CACM 1981) fits a turn, a scale and a shift to the
matches; what the fit lays over each other must agree in its details. OpenCV does the first two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from eosin.core.types import FloatArray, Image, Pixels
from eosin.datasets.audit.sketches import SKETCH_PX, find_detail, to_grey

#: Longest side at which features are looked for, and how many.
_SIDE_PX, _FEATURES = 224, 400
#: A match is that much nearer than the second best (Lowe's ratio).
_RATIO = 0.8
#: Pixels by which a matched feature may be off.
_TOLERANCE_PX = 3.0
#: Of a fit: matches that agree, cells of a 4 × 4 grid in which they lie, enlargement, share of the
#: image that is laid over the other.
_LEAST_INLIERS, _LEAST_CELLS, _LARGEST_SCALE, _LEAST_OVERLAP = 15, 5, 2.0, 0.3
#: Tissue that is turned twice and saved as JPEG agrees little; what is not the same, less.
_LEAST_SCORE = 0.2
#: Details are compared on pictures so many times as large as a sketch.
_ENLARGED = 2
#: Features of so many images are kept: a quarter of a GiB.
_KEPT = 2048


@dataclass(frozen=True)
class Features:
    """Local features of an image and of its mirror image.

    Attributes:
        grey: uint8, shape (H, W), and its mirror image.
        points: Where they are (x, y), float32, shape (F, 2); of the mirror image.
        vectors: uint8, shape (F, 128); of the mirror image.
    """

    grey: tuple[Image, Image]
    points: tuple[FloatArray, FloatArray]
    vectors: tuple[Image, Image]


@dataclass(frozen=True)
class Fit:
    """How one image lies over another.

    Attributes:
        score: Correlation of the details where they overlap.
        how: In words.
        inliers: Matches that agree.
    """

    score: float
    how: str
    inliers: int


class Geometry:
    """Verifies pairs of images.

    Args:
        read: From a row to the image, uint8 or uint16, shape (H, W, C).
    """

    def __init__(self, read: Callable[[int], Pixels]) -> None:
        import cv2

        self._cv: Any = cv2
        self._read = read
        self._sift = self._cv.SIFT_create(nfeatures=_FEATURES, contrastThreshold=0.02)
        self._contrast = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4))
        self.features = lru_cache(maxsize=_KEPT)(self._find_features)

    def _find_features(self, row: int) -> Features:
        grey = to_grey(self._read(row))
        factor = _SIDE_PX / max(grey.size)
        size = (max(1, round(grey.width * factor)), max(1, round(grey.height * factor)))
        image = np.asarray(grey.resize(size, PillowImage.Resampling.BICUBIC))
        both = (image, np.ascontiguousarray(image[:, ::-1]))
        found = [self._sift.detectAndCompute(self._contrast.apply(one), None) for one in both]
        points = [np.array([p.pt for p in keys], np.float32).reshape(-1, 2) for keys, _ in found]
        empty = np.zeros((0, 128), np.uint8)
        vectors = [empty if v is None else v.astype(np.uint8) for _, v in found]
        return Features(both, (points[0], points[1]), (vectors[0], vectors[1]))

    def verify(self, a: int, b: int) -> Fit | None:
        """Return how the image in row ``b`` lies over that in row ``a``; nothing if it doesn't."""
        fits = [self._fit(self.features(a), self.features(b), mirrored=flag) for flag in (0, 1)]
        return max((fit for fit in fits if fit), key=lambda fit: fit.score, default=None)

    def _fit(self, a: Features, b: Features, *, mirrored: int) -> Fit | None:
        matches = _match(a.vectors[0], b.vectors[mirrored])
        if len(matches) < _LEAST_INLIERS:
            return None
        target, source = a.points[0][matches[:, 0]], b.points[mirrored][matches[:, 1]]
        matrix, kept = self._cv.estimateAffinePartial2D(
            source,
            target,
            method=self._cv.RANSAC,
            ransacReprojThreshold=_TOLERANCE_PX,
            maxIters=1000,
            confidence=0.999,
        )
        if matrix is None:
            return None
        agreed = target[kept.ravel() > 0]
        scale = math.hypot(matrix[0, 0], matrix[1, 0])
        if (
            not _is_spread(agreed, a.grey[0].shape)
            or not 1 / _LARGEST_SCALE < scale < _LARGEST_SCALE
        ):
            return None
        score = self._compare(a.grey[0], b.grey[mirrored], matrix)
        if score < _LEAST_SCORE:
            return None
        angle = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
        return Fit(score, _describe(angle, scale, mirrored=bool(mirrored)), len(agreed))

    def _compare(self, fixed: Image, moved: Image, matrix: FloatArray) -> float:
        """Return the correlation of the details where both show something; 0 of a small overlap."""
        size = (fixed.shape[1], fixed.shape[0])
        warped = self._cv.warpAffine(moved, matrix, size)
        covered = self._cv.warpAffine(np.full_like(moved, 255), matrix, size)
        side = SKETCH_PX * _ENLARGED
        small = [
            self._cv.resize(one, (side, side), interpolation=self._cv.INTER_AREA)
            for one in (fixed, warped, covered)
        ]
        inside = small[2] > 254
        if inside.mean() < _LEAST_OVERLAP:
            return 0.0
        # Beyond the edge lies what the other image shows there: it must not make an edge.
        pair = np.stack([small[0], np.where(inside, small[1], small[0])])
        a, b = (detail[inside] for detail in find_detail(pair))
        a, b = a - a.mean(), b - b.mean()
        return float((a * b).sum() / max(math.sqrt((a * a).sum() * (b * b).sum()), 1e-6))


def _match(a: Image, b: Image) -> FloatArray:
    """Return rows of features of which each is the other's best, and clearly so; shape (M, 2)."""
    if len(a) < 2 or len(b) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    one, other = a.astype(np.float32), b.astype(np.float32)
    distance = (one * one).sum(1)[:, None] + (other * other).sum(1) - 2 * one @ other.T
    best = distance.argmin(axis=1)
    nearest = np.partition(distance, 1, axis=1)[:, :2]
    is_clear = nearest[:, 0] < _RATIO**2 * nearest[:, 1]
    is_mutual = distance.argmin(axis=0)[best] == np.arange(len(a))
    rows = np.flatnonzero(is_clear & is_mutual)
    return np.stack([rows, best[rows]], axis=1)


def _is_spread(points: FloatArray, shape: tuple[int, ...]) -> bool:
    cells = (points * 4 / np.array([shape[1], shape[0]])).astype(np.int64)
    return len(points) >= _LEAST_INLIERS and len(np.unique(cells, axis=0)) >= _LEAST_CELLS


def _describe(angle: float, scale: float, *, mirrored: bool) -> str:
    words = ["mirrored"] if mirrored else []
    if abs(angle) > 1:
        words.append(f"turned by {round(abs(angle))}°")
    if abs(scale - 1) > 0.02:
        words.append(f"scaled by {scale:.2f}")
    return ", ".join(words) or "shifted or saved anew"
