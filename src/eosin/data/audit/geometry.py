"""Geometric verification of near-duplicates: rotated, scaled, shifted or mirrored images.

Local features (SIFT: Lowe, IJCV 2004) of one image are matched with those of the other and of its
mirror image; RANSAC (Fischler and Bolles, CACM 1981) fits a rotation, a scale and a shift to the
matches; the aligned images must correlate in their details. OpenCV does the first two.

Most pairs show different tissue, so each is screened first: the strongest features of both images
at a smaller size must have a few matches that one transform explains. That takes a tenth of the
time, and a few KiB an image instead of a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import local
from typing import Any, NamedTuple

import numpy as np
from PIL import Image as PillowImage

from eosin.core.types import BoolArray, FloatArray, Image, IntArray, Pixels
from eosin.data.audit.near_duplicates import SKETCH_PX, find_detail, to_grey

#: Longest side for the detection of features, and their number.
_SIDE_PX, _FEATURES = 224, 400
#: Lowe's ratio: largest distance of a match over that of the second best.
_RATIO = 0.8
#: Largest reprojection error of an inlier, in pixels.
_TOLERANCE_PX = 3.0
#: Of a fit: least inliers, cells of a 4 × 4 grid that they cover, scale, share of overlap.
_LEAST_INLIERS, _LEAST_CELLS, _LARGEST_SCALE, _LEAST_OVERLAP = 15, 5, 2.0, 0.3
#: Tissue rotated twice and saved as JPEG correlates weakly; different tissue less.
_LEAST_SCORE = 0.2
#: Side of the compared details over that of a thumbnail.
_ENLARGED = 2
#: Images whose features are kept: a quarter of a GiB.
_KEPT = 2048
#: Screening: longest side, strongest features of each image, least inliers. Chance gives four in
#: 1.6 % of pairs; of LC25000's pairs that verify, all have four, all but one of 3,172 five.
_SCREEN_PX, _SCREEN_FEATURES, _SCREEN_INLIERS = 160, 100, 4
#: Threads that compute features; OpenCV and decoding release the interpreter's lock.
_THREADS = 2
#: Images that wait for a thread at a time.
_WAITING = 1024


@dataclass(frozen=True)
class Features:
    """Local features of an image."""

    points: FloatArray  # positions (x, y), float32, shape (F, 2)
    vectors: Image  # descriptors, uint8, shape (F, 128)
    width: int  # width of the image, in pixels

    def mirrored(self) -> Features:
        """Return the features of the mirror image.

        A descriptor holds 4 × 4 cells of 8 directions in its own frame: mirroring exchanges the
        cells' rows and the directions' signs.
        """
        points = self.points * np.array([-1, 1], np.float32)
        points[:, 0] += self.width - 1
        cells = self.vectors.reshape(-1, 4, 4, 8)[:, ::-1]
        vectors = cells[..., -np.arange(8) % 8].reshape(-1, 128)
        return Features(points, vectors, self.width)


@dataclass(frozen=True)
class Fit:
    """Alignment of one image with another."""

    score: float  # correlation of the details where they overlap
    how: str  # in words
    inliers: int  # matches that agree


class _Stack(NamedTuple):
    points: FloatArray  # float32, shape (M, F, 2)
    vectors: Image  # uint8, shape (M, F, 128)
    is_empty: BoolArray  # True beyond the features of an image, shape (M, F)


class _Prepared:
    """Strongest features of images (N,) in a few large arrays: small ones fragment memory."""

    def __init__(self, rows: IntArray) -> None:
        self._place = {row: place for place, row in enumerate(rows.tolist())}
        self._points = np.zeros((len(rows), _SCREEN_FEATURES, 2), np.float32)
        self._vectors = np.zeros((len(rows), _SCREEN_FEATURES, 128), np.uint8)
        self._sizes = np.zeros((len(rows), 2), np.int64)  # features, width

    def put(self, row: int, found: Features) -> None:
        place, n = self._place[row], len(found.points)
        self._points[place, :n], self._vectors[place, :n] = found.points, found.vectors
        self._sizes[place] = n, found.width

    def take(self, row: int) -> Features:
        place = self._place[row]
        n, width = self._sizes[place].tolist()
        return Features(self._points[place, :n], self._vectors[place, :n], width)

    def stack(self, rows: IntArray) -> _Stack:
        places = [self._place[row] for row in rows.tolist()]
        is_empty = np.arange(_SCREEN_FEATURES) >= self._sizes[places, :1]
        return _Stack(self._points[places], self._vectors[places], is_empty)


class Geometry:
    """Geometric verification of pairs of images.

    ``read`` returns the image of a row, uint8 or uint16, shape (H, W, C).
    """

    def __init__(self, read: Callable[[int], Pixels]) -> None:
        import cv2

        self._cv: Any = cv2
        self._read = read
        self._own = local()
        self._prepared: _Prepared | None = None
        self.features = lru_cache(maxsize=_KEPT)(self._find_features)

    def _detect(self, image: Image) -> tuple[Features, FloatArray]:
        """Return the features of a grey image, and the strength of each, shape (F,)."""
        if not hasattr(self._own, "sift"):  # neither may be shared by threads
            self._own.sift = self._cv.SIFT_create(nfeatures=_FEATURES, contrastThreshold=0.02)
            self._own.contrast = self._cv.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4))
        keys, found = self._own.sift.detectAndCompute(self._own.contrast.apply(image), None)
        points = np.array([p.pt for p in keys], np.float32).reshape(-1, 2)
        vectors = np.zeros((0, 128), np.uint8) if found is None else found.astype(np.uint8)
        strength = np.array([p.response for p in keys], np.float32)
        return Features(points, vectors, image.shape[1]), strength

    def _find_features(self, row: int) -> tuple[Image, Features, Features]:
        """Return an image in grey, its features, and those of its mirror image."""
        image = _resize(to_grey(self._read(row)), _SIDE_PX)
        found, _ = self._detect(image)
        return image, found, found.mirrored()

    def _find_strongest(self, row: int) -> Features:
        found, strength = self._detect(_resize(to_grey(self._read(row)), _SCREEN_PX))
        kept = np.argsort(-strength, kind="stable")[:_SCREEN_FEATURES]
        return Features(found.points[kept], found.vectors[kept], found.width)

    def prepare(self, rows: IntArray) -> Iterator[int]:
        """Compute the screening features of these rows; yield the number of finished rows."""
        self._prepared = prepared = _Prepared(rows)
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, len(rows), _WAITING):
                some = rows[start : start + _WAITING].tolist()
                found = zip(some, pool.map(self._find_strongest, some), strict=True)
                for done, (row, features) in enumerate(found, start=start + 1):
                    prepared.put(row, features)
                    yield done

    def screen(self, row: int, others: IntArray) -> BoolArray:
        """Return a mask of the other rows that may match a row, mirrored or not, shape (M,)."""
        if self._prepared is None:
            raise ValueError("rows must be prepared before they are screened")
        one, moved = self._prepared.take(row), self._prepared.stack(others)
        passed = np.zeros(len(others), dtype=bool)
        if len(one.points) < 2:
            return passed
        views = (one, one.mirrored())
        vectors = np.concatenate([view.vectors for view in views])
        best, is_match = self._match_many(vectors, moved)
        for view, points in enumerate(view.points for view in views):
            for other in np.flatnonzero(is_match[view].sum(axis=0) >= _SCREEN_INLIERS):
                at = np.flatnonzero(is_match[view, :, other])
                theirs = moved.points[other, best[view, at, other]]
                passed[other] |= self._agree(points[at], theirs)
        return passed

    def _match_many(self, vectors: Image, moved: _Stack) -> tuple[IntArray, BoolArray]:
        """Match the features of two views of an image, uint8 (2 · F, 128), with those of M others.

        Returns the nearest feature of each other image, and True where it matches, shape (2, F, M).
        """
        n_others, n_features = moved.vectors.shape[:2]
        distance = self._measure(vectors, moved.vectors.reshape(-1, 128))
        distance = distance.reshape(2, -1, n_others, n_features)
        distance[:, :, moved.is_empty] = np.inf
        best = distance.argmin(axis=3)
        nearest = np.partition(distance, 1, axis=3)[..., :2]
        is_clear = nearest[..., 0] < _RATIO**2 * nearest[..., 1]
        mutual = distance.argmin(axis=1)  # (2, M, features of the others)
        view, feature, other = np.indices(best.shape, sparse=True)
        return best, is_clear & (mutual[view, other, best] == feature)

    def _agree(self, fixed: FloatArray, moved: FloatArray) -> bool:
        tolerance_px = _TOLERANCE_PX * _SCREEN_PX / _SIDE_PX
        _, kept = self._transform(fixed, moved, tolerance_px)
        return kept is not None and int(kept.sum()) >= _SCREEN_INLIERS

    def _measure(self, a: Image, b: Image) -> FloatArray:
        """Return squared distances between descriptors, float32, shape (A, B)."""
        one, other = a.astype(np.float32), b.astype(np.float32)
        # NumPy's product wakes threads, which cost 50 times as much on busy cores.
        distance: FloatArray = self._cv.gemm(one, other, -2.0, None, 0.0, flags=self._cv.GEMM_2_T)
        distance += (one * one).sum(axis=1)[:, None]
        distance += (other * other).sum(axis=1)
        return distance

    def _match(self, a: Image, b: Image) -> IntArray:
        """Return rows of mutual nearest features that pass the ratio test, shape (M, 2)."""
        if len(a) < 2 or len(b) < 2:
            return np.zeros((0, 2), dtype=np.int64)
        distance = self._measure(a, b)
        best = distance.argmin(axis=1)
        nearest = np.partition(distance, 1, axis=1)[:, :2]
        is_clear = nearest[:, 0] < _RATIO**2 * nearest[:, 1]
        is_mutual = distance.argmin(axis=0)[best] == np.arange(len(a))
        rows = np.flatnonzero(is_clear & is_mutual)
        return np.stack([rows, best[rows]], axis=1)

    def _transform(
        self, fixed: FloatArray, moved: FloatArray, tolerance_px: float
    ) -> tuple[FloatArray | None, Any]:
        """Return the rotation, scale and shift with the most inliers, and the inliers."""
        matrix, kept = self._cv.estimateAffinePartial2D(
            moved,
            fixed,
            method=self._cv.RANSAC,
            ransacReprojThreshold=tolerance_px,
            maxIters=1000,
            confidence=0.999,
        )
        return matrix, kept

    def verify(self, a: int, b: int) -> Fit | None:
        """Return the alignment of image ``b`` with image ``a``; None if they do not match."""
        image, fixed, _ = self.features(a)
        moved, *both = self.features(b)
        fits = [
            self._fit(image, fixed, np.ascontiguousarray(grey), features, mirrored=mirrored)
            for mirrored, (grey, features) in enumerate(
                zip((moved, moved[:, ::-1]), both, strict=True)
            )
        ]
        return max((fit for fit in fits if fit), key=lambda fit: fit.score, default=None)

    def _fit(
        self, image: Image, fixed: Features, grey: Image, moved: Features, *, mirrored: int
    ) -> Fit | None:
        matches = self._match(fixed.vectors, moved.vectors)
        if len(matches) < _LEAST_INLIERS:
            return None
        target = fixed.points[matches[:, 0]]
        matrix, kept = self._transform(target, moved.points[matches[:, 1]], _TOLERANCE_PX)
        if matrix is None:
            return None
        agreed = target[kept.ravel() > 0]
        scale = math.hypot(matrix[0, 0], matrix[1, 0])
        if not _is_spread(agreed, image.shape) or not 1 / _LARGEST_SCALE < scale < _LARGEST_SCALE:
            return None
        score = self._compare(image, grey, matrix)
        if score < _LEAST_SCORE:
            return None
        angle = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
        return Fit(score, _describe(angle, scale, mirrored=bool(mirrored)), len(agreed))

    def _compare(self, fixed: Image, moved: Image, matrix: FloatArray) -> float:
        """Return the correlation of the details in the overlap; 0 if it is small."""
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
        # Beyond the border copy the other image, so that the border makes no edge.
        pair = np.stack([small[0], np.where(inside, small[1], small[0])])
        a, b = (detail[inside] for detail in find_detail(pair))
        a, b = a - a.mean(), b - b.mean()
        return float((a * b).sum() / max(math.sqrt((a * a).sum() * (b * b).sum()), 1e-6))


def _resize(grey: PillowImage.Image, side_px: int) -> Image:
    factor = side_px / max(grey.size)
    size = (max(1, round(grey.width * factor)), max(1, round(grey.height * factor)))
    return np.asarray(grey.resize(size, PillowImage.Resampling.BICUBIC))


def _is_spread(points: FloatArray, shape: tuple[int, ...]) -> bool:
    cells = (points * 4 / np.array([shape[1], shape[0]])).astype(np.int64)
    return len(points) >= _LEAST_INLIERS and len(np.unique(cells, axis=0)) >= _LEAST_CELLS


def _describe(angle: float, scale: float, *, mirrored: bool) -> str:
    words = ["mirrored"] if mirrored else []
    if abs(angle) > 1:
        words.append(f"rotated by {round(abs(angle))}°")
    if abs(scale - 1) > 0.02:
        words.append(f"scaled by {scale:.2f}")
    return ", ".join(words) or "shifted or re-encoded"
