"""Decision threshold and abstention, tuned before the test is evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.metrics import Abstention, Metric, Threshold
from eosin.core.types import BoolArray, FloatArray, IntArray, Samples
from eosin.metrics.conformal import calibrate, prediction_sets
from eosin.metrics.predictions import Predictions
from eosin.metrics.summary import summarise
from eosin.metrics.thresholds import choose_threshold, choose_threshold_by_bound
from eosin.recipe.schema import EvaluateSection

#: Source of the abstention of a model that joins folds.
_POOLED = "the held-out predictions of all folds' models, not of the ensemble itself"
_CROSSED = "the held-out predictions of the other folds' models, for each fold"


def tune_threshold(
    samples: Samples,
    probabilities: FloatArray,
    section: EvaluateSection,
    source: str,
    seed: int = 0,
) -> Threshold:
    """Tune the decision threshold on a subset other than the test.

    Args:
        samples: The subset's rows.
        probabilities: Calibrated, shape (N, K).
        section: The recall to reach, and whether by its interval's lower end.
        source: Name of the subset, to be recorded.
        seed: The run's seed.

    Returns:
        The threshold, without a value where the task has no positive class or the subset none of
        its images.
    """
    if samples.positive is None or len(samples.class_names) != 2:
        return Threshold(value=None, source="no positive class", target_recall=None)
    positive = samples.class_names.index(samples.positive)
    target, is_positive = section.target_recall, samples.targets == positive
    value = choose_threshold(probabilities[:, positive], is_positive, target)
    if value is None:
        reason = (
            f"no image of {samples.positive!r} in {source}: the more probable class is predicted"
        )
        return Threshold(value=None, source=source, target_recall=None, reason=reason)
    predictions = Predictions(
        probabilities=probabilities,
        targets=samples.targets,
        predicted=np.argmax(probabilities, axis=1),
        groups=samples.groups,
        positive=positive,
        class_names=samples.class_names,
    )
    draw: dict[str, Any] = {"resamples": section.resamples, "seed": seed}
    bound = section.recall_bound
    if bound == "lower":
        safer = choose_threshold_by_bound(predictions, target, **draw)
        bound, value = ("point", value) if safer is None else ("lower", safer)
    decided = np.where(probabilities[:, positive] >= value, positive, 1 - positive)
    recall = summarise(replace(predictions, predicted=decided), names=("recall",), **draw)["recall"]
    missed = None
    if bound != section.recall_bound:
        why = recall.reason if recall.low is None else f"no interval reaches {target:g}"
        missed = f"chosen by the point estimate of recall: {why}"
    return Threshold(
        value=value,
        source=source,
        target_recall=target,
        bound=bound,
        recall=Metric.of(recall),
        reason=missed,
    )


def join_thresholds(thresholds: Sequence[Threshold], source: str, members: str) -> Threshold:
    """Summarise the thresholds of several models; the joint value is left open."""
    known = [one for one in thresholds if one.value is not None]
    recalls = [one.target_recall for one in known if one.target_recall is not None]
    reasons = Counter(one.reason for one in thresholds if one.reason)
    shown = [f"{n} of {len(thresholds)} {members}: {reason}" for reason, n in reasons.items()]
    # The joint threshold reaches the bound only if every single one does.
    reached = bool(known) and all(one.bound == "lower" for one in known)
    return Threshold(
        value=None,
        source=source,
        target_recall=min(recalls, default=None),
        bound="lower" if reached else "point",
        reason="; ".join(shown) or None,
    )


def calibrate_abstention(
    samples: Samples,
    probabilities: FloatArray,
    section: EvaluateSection,
    source: str = _POOLED,
) -> Abstention | None:
    """Calibrate a model's abstention on a subset other than the test.

    Args:
        samples: The subset's rows.
        probabilities: Calibrated, shape (N, K).
        section: Whether to abstain, and alpha.
        source: Name of the subset, to be recorded.

    Returns:
        The rule, or the reason why there is none; ``None`` where the recipe wants none.
    """
    if not section.abstain:
        return None
    names, alpha = samples.class_names, section.alpha
    rule = calibrate(probabilities, samples.targets, samples.groups, names, alpha)
    undecided = None
    if rule.quantiles is not None:
        sets = prediction_sets(probabilities, [rule.quantiles[name] for name in names])
        undecided = _undecided(sets)
    return Abstention(alpha=alpha, source=source, undecided=undecided, **asdict(rule))


def _undecided(sets: BoolArray) -> float:
    """Return the share of sets (N, K) that do not hold exactly one class."""
    return float((sets.sum(axis=1) != 1).mean())


def cross_calibrate(
    folds: Sequence[tuple[Samples, FloatArray]],
    section: EvaluateSection,
    passed: Sequence[BoolArray] = (),
) -> tuple[Abstention | None, BoolArray | None]:
    """Calibrate each fold on the other folds of its repeat, without the groups that it holds.

    This is cross-conformal prediction (Vovk, "Cross-conformal predictors", 2015): the calibrating
    models are not the evaluated one, so that the guarantee holds approximately.

    Args:
        folds: The held-out samples of each fold and their calibrated probabilities (N, K), by the
            fold's own model.
        section: Whether to abstain, and alpha.
        passed: Of each fold the rows (N,) that pass the gate, which alone calibrate; all by
            default.

    Returns:
        The common part of the folds' rules, refused where one fold's is; the sets of the
        out-of-fold rows (sum of N, K).
    """
    if not section.abstain:
        return None, None
    everything = pd.concat([samples.frame for samples, _ in folds], ignore_index=True)
    pooled = replace(folds[0][0], frame=everything)
    shown = np.concatenate([probabilities for _, probabilities in folds])
    repeats = _repeats(pooled)
    usable = np.concatenate([*passed]) if passed else np.ones(len(pooled), dtype=bool)
    rules, sets = [], []
    for samples, probabilities in folds:
        others = usable & (repeats == _repeats(samples)[0]) & ~_is_in(pooled, samples)
        rule = calibrate_abstention(pooled.where(others), shown[others], section, _CROSSED)
        rules += [rule] if rule is not None else []
        if rule is not None and rule.quantiles is not None:
            quantiles = [rule.quantiles[name] for name in samples.class_names]
            sets.append(prediction_sets(probabilities, quantiles))
    scarcest = min(rules, key=lambda rule: min(rule.n_groups.values()))
    all_sets = np.concatenate(sets) if len(sets) == len(folds) else None
    common = Abstention(
        alpha=section.alpha,
        quantiles=None,
        n_groups={name: min(rule.n_groups[name] for rule in rules) for name in rules[0].n_groups},
        source=_CROSSED,
        reason=scarcest.reason,
        undecided=None if all_sets is None else _undecided(all_sets),
    )
    return common, all_sets


def _is_in(pooled: Samples, samples: Samples) -> BoolArray:
    """Return True where a row is of a group of ``samples``, shape (N,)."""
    # By hash: NumPy compares each name with each.
    return np.asarray(pooled.frame["group"].isin(set(samples.frame["group"])))


def _repeats(samples: Samples) -> IntArray:
    """Return the repeat (drawing of the folds) of each row, shape (N,)."""
    column = samples.frame.get("repeat", "0")
    return np.broadcast_to(np.asarray(column, dtype=str), len(samples)).astype(np.int64)
