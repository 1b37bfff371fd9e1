"""Partition of images, or of groups of unequal size and mixed classes, into subsets.

Single images are divided as some papers did, which is optimistic: one patient is on both sides. Of
groups, finding the best division is NP-hard (it contains number partitioning), so: the largest
first, each to where it helps most, then moves of one group and swaps of two until none helps, from
several random starts. Two aims, the first above the second:

1. every subset holds every class, in at least ``minimum`` groups;
2. the sum of squared deviations from the wanted images, over subsets, of each class and in total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eosin.core.types import APPEARANCE, COPY, IntArray, Samples

Floats = npt.NDArray[np.float64]

#: Sixteen starts find the best division of nine groups in 97 of 100 random tables.
_STARTS = 16
#: Starts times groups above a hundred groups, where single groups matter less.
_STARTED_GROUPS = 1600
#: Factor on the starts where groups overlap so that coverage is hard to find.
_HARD_STARTS = 3
_MAX_STEPS = 400
#: Groups up to which all pairs are tried for a swap; of more, so many at random.
_SWAP_GROUPS = 256
_SWAP_MISSES = 3
#: Decimals before a choice, so that the order of float additions never decides a tie.
_DECIMALS = 5
_GAIN = 1e-4


def divide_groups(
    counts: IntArray,
    shares: Sequence[float],
    rng: np.random.Generator,
    *,
    minimum: int = 1,
    stratify: bool = True,
) -> IntArray | None:
    """Assign groups to subsets; None if no division was found in which each holds every class.

    ``counts`` is the images of each class in each group, shape (G, C), no empty group; ``shares``
    are P numbers above 0 that add up to 1; ``rng`` draws ties and starts; ``minimum`` is the groups
    of each class that each subset must hold. Without ``stratify`` only the total of images is kept,
    not class shares. Returns the subset of each group, 0…P-1, shape (G,).
    """
    starts = int(np.clip(_STARTED_GROUPS // len(counts), 1, _STARTS))
    best: _Division | None = None
    for start in range(starts * _HARD_STARTS):
        if best is not None and start >= starts:
            break
        division = _Division(counts, np.asarray(shares, dtype=float), minimum, stratify)
        division.fill(rng, disorder=min(start / starts, 1.0))
        division.improve(rng)
        if division.shortage == 0 and (best is None or division.cost < best.cost - _GAIN):
            best = division
    return None if best is None else best.parts


class _Division:
    """A division that is being optimised; see :func:`divide_groups` for the arguments."""

    def __init__(self, counts: IntArray, shares: Floats, minimum: int, stratify: bool) -> None:
        total = counts.sum(axis=1, keepdims=True)
        weights = np.hstack([counts, total]) if stratify else total
        self.weights: Floats = weights.astype(float)  # (G, W)
        self.holds: Floats = (counts > 0).astype(float)  # (G, C)
        self.minimum = minimum
        self.parts: IntArray = np.full(len(counts), -1, dtype=np.int64)  # (G,)
        # What each subset holds beyond what is wanted; starts far below zero.
        self.excess: Floats = -np.outer(shares, self.weights.sum(axis=0))  # (P, W)
        self.held: Floats = np.zeros((len(shares), counts.shape[1]))  # groups, (P, C)
        # One missing class outweighs any deviation: no squared deviation exceeds (W · N²) · P.
        self.penalty = 4.0 * len(shares) * weights.shape[1] * float(total.sum()) ** 2

    @property
    def shortage(self) -> int:
        """Number of groups that subsets lack of classes, summed."""
        return int(np.maximum(self.minimum - self.held, 0).sum())

    @property
    def cost(self) -> float:
        """Sum of squared deviations, in images²."""
        return float(np.square(self.excess).sum())

    def put(self, group: int, part: int) -> None:
        """Move ``group`` into subset ``part``, from wherever it is."""
        before = self.parts[group]
        if before >= 0:
            self.excess[before] -= self.weights[group]
            self.held[before] -= self.holds[group]
        self.excess[part] += self.weights[group]
        self.held[part] += self.holds[group]
        self.parts[group] = part

    def fill(self, rng: np.random.Generator, *, disorder: float) -> None:
        """Assign every group: large ones first at ``disorder`` 0, in random order at 1."""
        size = self.weights[:, -1] ** (1.0 - disorder) * rng.uniform(0.7, 1.3, len(self.weights))
        for group in np.argsort(-size, kind="stable"):
            wants = (self.held < self.minimum) @ self.holds[group]  # (P,)
            change = 2.0 * self.excess @ self.weights[group] - self.penalty * wants
            self.put(int(group), int(np.argmin(np.round(change, _DECIMALS))))

    def improve(self, rng: np.random.Generator) -> None:
        """Move and swap groups until there is no gain."""
        misses = 0
        for _ in range(_MAX_STEPS):
            if self.shortage == 0 and float(np.abs(self.excess).max()) < 1.0:
                break  # images are whole: nothing better is worth the search
            if self._move():
                continue
            if self._swap(rng):
                misses = 0
                continue
            misses += 1
            if len(self.parts) <= _SWAP_GROUPS or misses >= _SWAP_MISSES:
                break

    def _move(self) -> bool:
        rows = np.arange(len(self.parts))
        along = self.weights @ self.excess.T  # (G, P)
        size = np.square(self.weights).sum(axis=1)
        change = 2.0 * (along - along[rows, self.parts][:, None] + size[:, None])
        # Leaving hurts where nothing is to spare; entering helps where something is lacking.
        hurts = (self.holds @ (self.held <= self.minimum).T)[rows, self.parts]
        helps = self.holds @ (self.held < self.minimum).T  # (G, P)
        change = np.round(change + self.penalty * (hurts[:, None] - helps), _DECIMALS)
        change[rows, self.parts] = 0.0
        group, part = np.unravel_index(int(np.argmin(change)), change.shape)
        if change[group, part] > -_GAIN:
            return False
        self.put(int(group), int(part))
        return True

    def _swap(self, rng: np.random.Generator) -> bool:
        chosen: IntArray = np.arange(len(self.parts))
        if len(chosen) > _SWAP_GROUPS:
            chosen = np.sort(rng.choice(chosen, _SWAP_GROUPS, replace=False))
        parts = self.parts[chosen]
        change = self._swap_deviation(chosen, parts)
        change = change + self.penalty * self._swap_shortage(chosen, parts)
        change = np.round(change, _DECIMALS)
        change[parts[:, None] == parts[None, :]] = 0.0
        one, other = np.unravel_index(int(np.argmin(change)), change.shape)
        if change[one, other] > -_GAIN:
            return False
        part_of_one = int(parts[one])
        self.put(int(chosen[one]), int(parts[other]))
        self.put(int(chosen[other]), part_of_one)
        return True

    def _swap_deviation(self, chosen: IntArray, parts: IntArray) -> Floats:
        """Change of the squared deviation by each swap, shape (S, S).

        Taking x out of subset a for y out of subset b changes it by
        2 (x - y)·(excess_b - excess_a) + 2 |x - y|².
        """
        weights = self.weights[chosen]
        along = weights @ self.excess[parts].T  # (S, S)
        own = np.diagonal(along)
        size = np.square(weights).sum(axis=1)
        apart = size[:, None] + size[None, :] - 2.0 * weights @ weights.T
        change: Floats = 2.0 * (along + along.T - own[:, None] - own[None, :] + apart)
        return change

    def _swap_shortage(self, chosen: IntArray, parts: IntArray) -> Floats:
        """Change of the shortage by each swap, shape (S, S); shared classes stay where they are."""
        holds = self.holds[chosen]
        leaving = holds * (self.held <= self.minimum)[parts]
        entering = (self.held < self.minimum)[parts].astype(float)
        loss = leaving.sum(axis=1)[:, None] - leaving @ holds.T
        gain = holds @ entering.T - holds @ (holds * entering).T
        one_way: Floats = loss - gain
        return one_way + one_way.T


def divide_images(
    counts: IntArray,
    shares: Sequence[float],
    rng: np.random.Generator,
    *,
    minimum: int = 1,
    stratify: bool = True,
) -> IntArray:
    """Assign images to subsets, each class for itself (P3: "independently for each class").

    ``counts`` has one row an image, 1 in its class's column, shape (N, C); each class has at least
    ``minimum`` images for every subset. ``shares`` are P numbers above 0 that add up to 1. Without
    ``stratify`` all images are divided together; with it, each class's count in each subset is its
    wanted share rounded up or down (but never below ``minimum``). Returns the subset of each image,
    0…P-1, shape (N,).
    """
    targets = counts.argmax(axis=1)
    wanted = np.asarray(shares, dtype=float)
    parts: IntArray = np.zeros(len(targets), dtype=np.int64)
    order = rng.permutation(len(targets))
    by_class = [order[targets[order] == label] for label in range(counts.shape[1])]
    if stratify:
        debt = np.zeros(len(wanted))
        for rows in by_class:
            sizes = round_shares(len(rows), wanted, minimum, debt)
            debt += wanted * len(rows) - sizes
            parts[rows] = np.repeat(np.arange(len(wanted)), sizes)
        return parts
    # First what every subset needs, then the rest by size alone.
    needed = np.repeat(np.arange(len(wanted)), minimum)
    for rows in by_class:
        parts[rows[: len(needed)]] = needed
    rest = np.concatenate([rows[len(needed) :] for rows in by_class])
    floor = minimum * len(by_class)
    sizes = round_shares(len(targets), wanted, floor, np.zeros(len(wanted))) - floor
    parts[rng.permutation(rest)] = np.repeat(np.arange(len(wanted)), sizes)
    return parts


def round_shares(
    total: int, shares: npt.NDArray[np.float64], minimum: int, debt: npt.NDArray[np.float64]
) -> IntArray:
    """Round ``shares`` of ``total`` to whole numbers that add up, each at least ``minimum``.

    ``debt`` (P,) is how much each subset lacks from earlier classes: it decides who is rounded up,
    so that classes do not all favour the same subset.
    """
    exact = total * shares
    sizes: IntArray = np.floor(exact + 1e-9).astype(np.int64)
    fraction = np.round(exact - sizes, 9)
    # A subset whose share is a whole number never gets one more.
    claims = np.where(fraction > 0, np.round(fraction + debt, 9), -np.inf)
    sizes[np.argsort(-claims, kind="stable")[: total - int(sizes.sum())]] += 1
    while sizes.min() < minimum:
        sizes[int(sizes.argmin())] += 1
        sizes[int(sizes.argmax())] -= 1
    return sizes


@dataclass(frozen=True)
class Units:
    """Units that a split divides: groups, or single images."""

    by: str  # ``group``, ``image`` or ``appearance``
    of_row: IntArray  # the unit of each row, shape (N,)
    counts: IntArray  # images of each class in each unit, shape (U, C)

    def divide(
        self,
        chosen: IntArray,
        shares: tuple[float, ...],
        rng: np.random.Generator,
        *,
        minimum: int = 1,
        stratify: bool,
    ) -> IntArray | None:
        """Assign the ``chosen`` units (S,) to subsets, shape (S,); None if none fits."""
        counts = self.counts[chosen]
        # Where each image is a group of its own (no patients known), rounding is optimal.
        divide = divide_images if int(counts.sum(axis=1).max()) == 1 else divide_groups
        return divide(counts, shares, rng, minimum=minimum, stratify=stratify)


def find_units(samples: Samples, by: str) -> Units:
    """Number the groups (images, clusters) independently of the table's order."""
    if by != "image":
        column = APPEARANCE if by == "appearance" else "group"
        of_row = np.unique(np.array(samples.frame[column], dtype=str), return_inverse=True)[1]
    else:
        columns = [name for name in ("path", "label", "group", COPY) if name in samples.frame]
        names = list(zip(*(samples.frame[name] for name in columns), strict=True))
        of_row = np.empty(len(names), dtype=np.int64)
        of_row[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    counts = np.zeros((int(of_row.max()) + 1, len(samples.class_names)), dtype=np.int64)
    np.add.at(counts, (of_row, samples.targets), 1)
    return Units(by=by, of_row=of_row, counts=counts)


def name_unit(samples: Samples, by: str) -> str:
    """Return the noun of a unit in messages."""
    if by == "appearance":
        return "appearance cluster"
    return samples.unit if by == "group" else by


def with_columns(samples: Samples, **columns: object) -> Samples:
    """Return samples with further columns, each a value or one a row (N,)."""
    return replace(samples, frame=samples.frame.assign(**columns))
