"""The four protocols: grouped, by image, the manifest's own column, and folds.

The same samples and seed give the same split, whatever the order of the table's rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from eosin.artifacts.run import SplitReport
from eosin.core.errors import SplitError
from eosin.core.seeding import generator
from eosin.core.types import SPLITS, IntArray, Samples
from eosin.datasets.splits.checks import check_classes, check_column, refuse_division
from eosin.datasets.splits.images import divide_images
from eosin.datasets.splits.partition import divide_groups
from eosin.datasets.splits.reports import Fold, report_split
from eosin.recipe.schema import SplitSection

#: Draws of one repeat until its folds are no other repeat's.
_ATTEMPTS = 25


@dataclass(frozen=True)
class _Units:
    """What is divided: groups, or single images.

    Attributes:
        by: ``group`` or ``image``.
        of_row: The unit of each row, shape (N,).
        counts: Images of each class in each unit, shape (U, C).
    """

    by: str
    of_row: IntArray
    counts: IntArray

    def divide(
        self,
        chosen: IntArray,
        shares: tuple[float, ...],
        rng: np.random.Generator,
        *,
        minimum: int = 1,
        stratify: bool,
    ) -> IntArray | None:
        """Assign the ``chosen`` units (S,) to parts, shape (S,); nothing where none fits."""
        counts = self.counts[chosen]
        # Where each image is a group of its own (no patients known), rounding is the best there is.
        divide = divide_images if int(counts.sum(axis=1).max()) == 1 else divide_groups
        return divide(counts, shares, rng, minimum=minimum, stratify=stratify)


def split_samples(
    samples: Samples, section: SplitSection, seed: int
) -> tuple[Samples, SplitReport]:
    """Divide samples into train, val and test.

    Args:
        samples: The table; groups are taken from its ``group`` column.
        section: Protocol ``grouped``, ``image`` or ``column``.
        seed: The run's seed; ``column`` needs it only to draw a validation part.

    Returns:
        The samples in their order with a column ``split``, and what the groups allowed.

    Raises:
        SplitError: A class has too few groups (images) for every part to hold it, or the table's
            own ``split`` column cannot be used.
        ValueError: The protocol is ``folds``.
    """
    if section.protocol == "folds":
        raise ValueError("folds are drawn by fold_samples, not by split_samples")
    if section.protocol == "column":
        return _use_column(samples, section, seed)
    units = _find_units(samples, "group" if section.protocol == "grouped" else "image")
    check_classes(samples, units.counts, units.by)
    shares = (section.train, section.val, section.test)
    parts = units.divide(
        np.arange(len(units.counts)),
        shares,
        generator(seed, "split", section.protocol),
        stratify=section.stratify,
    )
    if parts is None:
        raise refuse_division(samples, units.counts, "train, val and test each")
    divided = _with_columns(samples, split=np.array(SPLITS, dtype=object)[parts][units.of_row])
    wanted = dict(zip(SPLITS, shares, strict=True))
    return divided, report_split(divided, section.protocol, wanted, stratified=section.stratify)


def _use_column(samples: Samples, section: SplitSection, seed: int) -> tuple[Samples, SplitReport]:
    """Take the table's own split; where it marks no ``val``, draw it from ``train``."""
    check_column(samples, draws_val=section.val > 0)
    nothing_asked: dict[str, float | None] = dict.fromkeys(SPLITS)
    if (samples.frame["split"] == "val").any():
        return samples, report_split(samples, "column", nothing_asked, stratified=False)
    splits = np.array(samples.frame["split"], dtype=object)
    in_train = splits == "train"
    train = samples.where(in_train)
    units = _find_units(train, "group")
    check_classes(train, units.counts, units.by, parts=2)
    parts = units.divide(
        np.arange(len(units.counts)),
        (1.0 - section.val, section.val),
        generator(seed, "split", "column"),
        stratify=section.stratify,
    )
    if parts is None:
        raise refuse_division(train, units.counts, "train and val each")
    splits[in_train] = np.array(SPLITS[:2], dtype=object)[parts][units.of_row]
    divided = _with_columns(samples, split=splits)
    share = float(in_train.mean())
    wanted = {"train": (1.0 - section.val) * share, "val": section.val * share, "test": None}
    return divided, report_split(divided, "column", wanted, stratified=section.stratify)


def fold_samples(samples: Samples, section: SplitSection, seed: int) -> list[Fold]:
    """Draw ``k`` folds, ``repeats`` times.

    The held-out parts of one repeat hold every row exactly once. The rest of a fold is divided
    once more: ``section.val`` of its images for validation, by the same unit.

    Args:
        samples: The table.
        section: Protocol ``folds``; ``by`` says whether groups or images are divided.
        seed: The run's seed.

    Returns:
        k · repeats folds, sorted by repeat and fold.

    Raises:
        SplitError: A class has too few groups (images), or so few that repeats would be equal.
        ValueError: The protocol is another.
    """
    if section.protocol != "folds":
        raise ValueError(f"fold_samples draws folds, got the protocol {section.protocol!r}")
    units = _find_units(samples, section.by)
    check_classes(samples, units.counts, units.by, folds=section.k)
    seen: set[str] = set()
    folds = []
    for repeat in range(section.repeats):
        drawing = _draw_repeat(samples, units, section, seed, repeat, seen)
        seen |= {drawing.held_out_key, drawing.key}
        folds += [
            _make_fold(samples, section, repeat, fold, parts[units.of_row])
            for fold, parts in enumerate(drawing.folds)
        ]
    return folds


@dataclass(frozen=True)
class _Drawing:
    """The folds of one repeat: for each, the part of every unit as an index into ``SPLITS``."""

    folds: list[IntArray]

    @property
    def held_out_key(self) -> str:
        """A name of the held-out parts, whatever their order."""
        return _key([parts == SPLITS.index("test") for parts in self.folds])

    @property
    def key(self) -> str:
        """A name of the folds with their validation parts, whatever their order."""
        return _key(self.folds)


def _key(arrays: list[IntArray]) -> str:
    digests = sorted(hashlib.sha256(array.astype(np.uint8).tobytes()).digest() for array in arrays)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _draw_repeat(
    samples: Samples,
    units: _Units,
    section: SplitSection,
    seed: int,
    repeat: int,
    seen: set[str],
) -> _Drawing:
    """Draw folds that no earlier repeat had; where groups leave none, other validation parts."""
    fallback = None
    is_possible = False
    for attempt in range(_ATTEMPTS):
        drawing = _draw(units, section, seed, (repeat, attempt))
        if drawing is None:
            continue
        is_possible = True
        if drawing.held_out_key not in seen:
            return drawing
        if fallback is None and drawing.key not in seen:
            fallback = drawing
    if fallback is not None:
        return fallback
    if not is_possible:
        raise refuse_division(samples, units.counts, "all parts of all folds")
    raise SplitError(
        f"{samples.name}: {len(units.counts)} {units.by}s leave only {repeat} different "
        f"drawings of {section.k} folds, but {section.repeats} were asked for",
        mend=f"Use at most {repeat}: repeats = {repeat}",
    )


def _draw(
    units: _Units, section: SplitSection, seed: int, draw: tuple[int, int]
) -> _Drawing | None:
    """Divide the units into ``k`` folds and the rest of each into train and val."""
    held_out = units.divide(
        np.arange(len(units.counts)),
        (1.0 / section.k,) * section.k,
        generator(seed, "folds", *draw),
        # Of two folds each is the other's rest, and that must hold a class twice.
        minimum=2 if section.k == 2 else 1,
        stratify=section.stratify,
    )
    if held_out is None:
        return None
    folds = []
    for fold in range(section.k):
        rest = np.flatnonzero(held_out != fold)
        inner = units.divide(
            rest,
            (1.0 - section.val, section.val),
            generator(seed, "folds", *draw, "val", fold),
            stratify=section.stratify,
        )
        if inner is None:
            return None
        parts: IntArray = np.full(len(held_out), SPLITS.index("test"))
        parts[rest] = inner  # train and val are the first two of SPLITS
        folds.append(parts)
    return _Drawing(folds)


def _make_fold(
    samples: Samples, section: SplitSection, repeat: int, fold: int, parts: IntArray
) -> Fold:
    divided = _with_columns(
        samples,
        split=np.array(SPLITS, dtype=object)[parts],
        repeat=str(repeat),
        fold=str(fold),
    )
    rest = 1.0 - float((parts == SPLITS.index("test")).mean())
    wanted = {
        "train": (1.0 - section.val) * rest,
        "val": section.val * rest,
        "test": 1.0 / section.k,
    }
    report = report_split(divided, "folds", wanted, stratified=section.stratify)
    return Fold(repeat=repeat, fold=fold, samples=divided, report=report)


def _with_columns(samples: Samples, **columns: object) -> Samples:
    return replace(samples, frame=samples.frame.assign(**columns))


def _find_units(samples: Samples, by: str) -> _Units:
    """Number the groups (or images) in an order that does not depend on the table's."""
    if by == "group":
        of_row = np.unique(samples.groups.astype(str), return_inverse=True)[1]
    else:
        names = list(
            zip(*(samples.frame[name] for name in ("path", "label", "group")), strict=True)
        )
        of_row = np.empty(len(names), dtype=np.int64)
        of_row[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    counts = np.zeros((int(of_row.max()) + 1, len(samples.class_names)), dtype=np.int64)
    np.add.at(counts, (of_row, samples.targets), 1)
    return _Units(by=by, of_row=of_row, counts=counts)
