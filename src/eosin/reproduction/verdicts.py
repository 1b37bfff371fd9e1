"""Verdict on a printed value, given ours and what differs between both experiments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from eosin.artifacts.metrics import Metric
from eosin.metrics.measurement import measure_values
from eosin.metrics.predictions import Predictions
from eosin.papers import Cell, Recomputed
from eosin.reproduction.quantities import EXACT, TIMED, kind_of

EXACTLY = "exact"
REPRODUCED = "reproduced"
UNCERTAIN = "too uncertain"
DIFFERS = "differs"
NOT_COMPARABLE = "not comparable"
CONTRADICTED = "contradicted within the paper"
NOT_DESCRIBED = "not described"
NOT_POSSIBLE = "not possible here"
#: In the order of a summary.
VERDICTS = (
    EXACTLY, REPRODUCED, DIFFERS, UNCERTAIN, NOT_COMPARABLE, CONTRADICTED, NOT_DESCRIBED,
    NOT_POSSIBLE,
)  # fmt: skip
#: Largest half-width of an interval that allows a verdict.
MOST_HALF_WIDTH = 0.03
#: Differences that change a count of the data.
_COUNTED = {"images": ("data",), "batches": ("data", "split", "settings")}
#: Kinds of differences that forbid a verdict, in the order in which they are named.
DECIDING = ("data", "split", "epochs", "weights", "size", "settings")


@dataclass(frozen=True)
class Verdict:
    """Verdict, with its reason where it has one; empty where there is nothing to compare."""

    verdict: str
    reason: str = ""


def recompute(recomputed: Recomputed) -> float:
    """Return the figure that follows from others that the paper prints."""
    if recomputed.ratio is not None:
        return recomputed.ratio[0] / recomputed.ratio[1]
    if recomputed.sum:
        return float(sum(recomputed.sum))
    if recomputed.precision is not None and recomputed.recall is not None:
        precision, recall = recomputed.precision / 100, recomputed.recall / 100
        return 2 * precision * recall / (precision + recall)
    return _of_counts(recomputed)


def _of_counts(recomputed: Recomputed) -> float:
    """Return a metric of a confusion matrix, by the metrics that also measure our runs."""
    counts = np.array(recomputed.confusion)
    truth, predicted = (axis.ravel() for axis in np.indices(counts.shape))
    targets, decided = np.repeat(truth, counts.ravel()), np.repeat(predicted, counts.ravel())
    probabilities = np.eye(len(counts))[decided]
    positive = recomputed.positive if len(counts) == 2 else None
    rows = np.arange(len(targets))
    predictions = Predictions(probabilities, targets, decided, rows, positive)
    return float(measure_values(predictions, (recomputed.metric,))[recomputed.metric])


def is_consistent(cell: Cell, recomputed: float) -> bool:
    """Return True if a printed value is the recomputed one, to the printed digits."""
    return cell.value is not None and _is_equal(recomputed, cell.value, cell.resolution)


def _is_equal(a: float, b: float, resolution: float) -> bool:
    # Papers round and truncate alike: a unit of the last digit is allowed.
    return abs(a - b) < resolution * (1 + 1e-9)


def compare_with_printed(
    cell: Cell,
    ours: Metric | None,
    *,
    recomputed: float | None = None,
    differs: Mapping[str, str] | None = None,
    unclear: bool = False,
    failure: str = "",
) -> Verdict:
    """Return the verdict on a printed value.

    Args:
        cell: The printed value.
        ours: The same as published, measured by us; None if nothing was measured.
        recomputed: The same from other figures that the paper prints.
        differs: What differs between the paper's experiment and ours, by kind.
        unclear: True if the paper's description allows several readings.
        failure: Why nothing was measured.
    """
    if cell.status:
        return Verdict(cell.status, cell.note)
    if recomputed is not None and cell.printed and not is_consistent(cell, recomputed):
        return Verdict(CONTRADICTED, cell.note)
    if not cell.experiment:
        # The paper agrees with itself: nothing of ours is compared.
        return Verdict("", cell.note)
    if failure:
        return Verdict(NOT_POSSIBLE, failure)
    if ours is None or ours.value is None:
        return Verdict(NOT_POSSIBLE, (ours.reason if ours else None) or "nothing was measured")
    if cell.value is None:
        return Verdict("", cell.note)
    return _compare(cell, ours, dict(differs or {}), unclear=unclear)


def _compare(cell: Cell, ours: Metric, differs: dict[str, str], *, unclear: bool) -> Verdict:
    kind, printed = kind_of(cell.quantity), cell.value or 0.0
    value = ours.value or 0.0
    if kind in EXACT:
        if changed := [one for one in _COUNTED.get(kind, ()) if one in differs]:
            return Verdict(NOT_COMPARABLE, ", ".join(changed))
        is_whole = not cell.unit and "." not in cell.printed
        is_equal = _is_equal(value, printed, 0.5 if is_whole else cell.resolution)
        return Verdict(EXACTLY) if is_equal else _difference(cell, value)
    kinds = ", ".join([*(["machine"] if kind in TIMED else []), *named(differs)])
    if unclear:
        also = f"; ours also differs in {kinds}" if kinds else ""
        return Verdict(NOT_DESCRIBED, f"the paper allows several readings{also}")
    if kinds:
        return Verdict(NOT_COMPARABLE, kinds)
    if kind == "file_bytes":
        is_equal = _is_equal(value, printed, cell.resolution)
        return Verdict(EXACTLY) if is_equal else _difference(cell, value)
    if ours.low is None or ours.high is None:
        return Verdict(UNCERTAIN, "no interval")
    if (ours.high - ours.low) / 2 > MOST_HALF_WIDTH:
        return Verdict(UNCERTAIN, f"interval of ±{(ours.high - ours.low) / 2:.3f}")
    if ours.low - cell.resolution / 2 <= printed <= ours.high + cell.resolution / 2:
        # Of few groups the reason is the measured coverage of the interval.
        return Verdict(REPRODUCED, ours.reason or "")
    return _difference(cell, value)


def named(differs: Collection[str]) -> list[str]:
    """Return the kinds of differences that forbid a verdict, in order."""
    return [kind for kind in DECIDING if kind in differs]


def _difference(cell: Cell, ours: float) -> Verdict:
    printed = cell.value or 0.0
    if cell.unit == "%":
        text = f"by {100 * (ours - printed):+.1f} points"
    else:
        text = f"by {ours / printed - 1:+.1%}" if printed else f"by {ours:+,.4g}"
    return Verdict(DIFFERS, text)
