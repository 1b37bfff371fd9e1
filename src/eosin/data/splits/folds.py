"""Cross-validation folds: by group, image or appearance cluster, or leave-one-site-out.

The same samples and seed give the same folds, whatever the order of the table's rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from eosin.core.errors import SplitError
from eosin.core.seeding import generator
from eosin.core.types import SPLITS, IntArray, Samples
from eosin.data.splits.partition import Units, find_units, name_unit, with_columns
from eosin.data.splits.protocols import (
    Fold,
    check_classes,
    check_division,
    check_sites,
    divide_rows,
    report_split,
)
from eosin.recipe.data import SplitSection

#: Draws of one repeat until its folds differ from those of all others.
_ATTEMPTS = 25


def hold_out_test(samples: Samples, section: SplitSection, seed: int) -> tuple[Samples, Samples]:
    """Draw the test subset that no fold holds, once for all repeats, by the section's unit.

    By group, too, where sites are held out: from each site's.

    Returns:
        All samples, with ``split`` ``test`` or ``train``; those of ``train``, for the folds.

    Raises:
        SplitError: A class has too few groups (images) for both.
    """
    shares, rng = (1.0 - section.test_share, section.test_share), generator(seed, "folds", "test")
    by, names = "group" if section.by == "site" else section.by, ("the folds", "the test subset")
    parts = divide_rows(samples, by, shares, rng, stratify=section.stratify, names=names)
    divided = with_columns(samples, split=np.where(parts == 0, "train", "test").astype(object))
    rest = replace(divided.part("train"), name=f"{samples.name} without its test subset")
    return divided, rest


def fold_samples(samples: Samples, section: SplitSection, seed: int) -> list[Fold]:
    """Draw ``k`` folds, ``repeats`` times; or hold out each site of the column ``site`` once.

    The held-out parts of one repeat hold every row exactly once. From the rest of a fold a share of
    ``section.val`` is drawn for validation, by the same unit (by group, where sites are held out).
    Folds are sorted by repeat and fold, or by the site's name.

    Raises SplitError if a class has too few groups (images), or so few that repeats would be equal,
    or the table's sites cannot be held out; ValueError for another protocol.
    """
    if section.protocol != "folds":
        raise ValueError(f"fold_samples draws folds, got the protocol {section.protocol!r}")
    if section.by == "site":
        return _hold_out_sites(samples, section, seed)
    units = check_folds(samples, section)
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


def check_folds(samples: Samples, section: SplitSection) -> Units:
    """Return the units of folds by group, image or cluster; SplitError if a class has too few."""
    units = find_units(samples, section.by)
    check_classes(samples, units.counts, units.by, folds=section.k)
    return units


@dataclass(frozen=True)
class _Drawing:
    """Folds of one repeat: for each, the subset of every unit as an index into ``SPLITS``."""

    folds: list[IntArray]

    @property
    def held_out_key(self) -> str:
        """Key of the held-out parts, whatever their order."""
        return _key([parts == SPLITS.index("test") for parts in self.folds])

    @property
    def key(self) -> str:
        """Key of the folds with their validation subsets, whatever their order."""
        return _key(self.folds)


def _key(arrays: list[IntArray]) -> str:
    digests = sorted(hashlib.sha256(array.astype(np.uint8).tobytes()).digest() for array in arrays)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _draw_repeat(
    samples: Samples, units: Units, section: SplitSection, seed: int, repeat: int, seen: set[str]
) -> _Drawing:
    """Draw folds that no earlier repeat had; if groups leave none, other validation subsets."""
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
        raise check_division(samples, units, "all subsets of all folds")
    unit = name_unit(samples, units.by)
    raise SplitError(
        f"{samples.name}: {len(units.counts)} {unit}s allow only {repeat} different "
        f"divisions into {section.k} folds, but {section.repeats} were requested",
        hint=f"Use at most {repeat}: repeats = {repeat} (--set data.split.repeats={repeat})",
    )


def _draw(units: Units, section: SplitSection, seed: int, draw: tuple[int, int]) -> _Drawing | None:
    """Divide the units into ``k`` folds and the rest of each into train and val."""
    held_out = units.divide(
        np.arange(len(units.counts)),
        (1.0 / section.k,) * section.k,
        generator(seed, "folds", *draw),
        # With two folds each is the other's rest, which must hold a class twice.
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


def _hold_out_sites(samples: Samples, section: SplitSection, seed: int) -> list[Fold]:
    """Hold out each site once; validation is drawn from the others' images, by group."""
    check_sites(samples)
    sites = np.asarray(samples.frame["site"], dtype=object)
    folds = []
    for number, site in enumerate(sorted(set(sites))):
        is_held_out = sites == site
        rest = replace(samples.where(~is_held_out), name=f"{samples.name} without site {site!r}")
        shares, rng = (1.0 - section.val, section.val), generator(seed, "folds", "site", site)
        parts: IntArray = np.full(len(samples), SPLITS.index("test"))
        parts[~is_held_out] = divide_rows(rest, "group", shares, rng, stratify=section.stratify)
        folds.append(_make_fold(samples, section, 0, number, parts, site=site))
    return folds


def _make_fold(
    samples: Samples,
    section: SplitSection,
    repeat: int,
    fold: int,
    parts: IntArray,
    *,
    site: str | None = None,
) -> Fold:
    divided = with_columns(
        samples, split=np.array(SPLITS, dtype=object)[parts], repeat=str(repeat), fold=str(fold)
    )
    rest = 1.0 - float((parts == SPLITS.index("test")).mean())
    wanted = {
        "train": (1.0 - section.val) * rest,
        "val": section.val * rest,
        # A site's size is given.
        "test": 1.0 / section.k if site is None else None,
    }
    report = report_split(divided, "folds", wanted, stratified=section.stratify)
    if site is not None:
        held_out = report.parts["test"].model_copy(update={"site": site})
        report = report.model_copy(update={"parts": report.parts | {"test": held_out}})
    return Fold(repeat=repeat, fold=fold, samples=divided, report=report)
