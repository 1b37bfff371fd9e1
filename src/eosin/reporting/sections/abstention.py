"""Abstention: the rule, its guarantee, its effect, and that of other values of alpha."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eosin.artifacts.layout import OUT_OF_FOLD
from eosin.artifacts.metrics import Abstention, AbstentionMetrics, Metric, SplitMetrics
from eosin.artifacts.predictions import PREFIX
from eosin.core.text import count, listing, quantity
from eosin.core.types import BoolArray, FloatArray, Samples
from eosin.evaluation.gate import find_passed
from eosin.evaluation.thresholds import calibrate_abstention, cross_calibrate
from eosin.metrics import prediction_sets
from eosin.metrics.catalogue import HEADLINE, OF_DECISIONS
from eosin.metrics.conformal import abstains
from eosin.recipe.schema import EvaluateSection
from eosin.reporting.formatting import (
    ABSENT,
    many_undecided,
    metric_text,
    number,
    plain_reason,
    rate_text,
    share,
    source_words,
)
from eosin.reporting.outline import Pair, Section, Table, headline_table, make_table
from eosin.reporting.sections.errors import with_decisions
from eosin.reporting.train_test_overlap import split_name, unit_name
from eosin.runs.finished import FinishedRun

#: Metrics of all images and of those that are not abstained on.
_COMPARED = tuple(name for name in HEADLINE if name in OF_DECISIONS)
#: Alphas of a recipe are smaller.
_MOST_ALPHA = 0.5


def section(run: FinishedRun) -> Section:
    """Return the section of the page; empty if the rule is unknown."""
    return _section(run, _coverage_table(run), _kept_table(run), _alphas_table(run))


def brief(run: FinishedRun) -> Section:
    """Return the section of the card; empty if the rule is unknown."""
    return _section(run, _coverage_table(run), _alphas_table(run))


def _section(run: FinishedRun, *tables: Table | None) -> Section:
    words = _abstention_words(run)
    if not words:
        return Section("Abstention")
    return Section("Abstention", " ".join(words), many_undecided(rule_of(run)), *tables)


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    rule = rule_of(run)
    abstains = "it never abstains" if rule is None or rule.reason else "it may abstain"
    gate = run.model.gate if run.model is not None else None
    has_gate = gate is not None and gate.distance is not None
    kinds = "other channels or modality" + (" and outside the gate's limits" if has_gate else "")
    refused = f"images of {kinds} are refused; {abstains}"
    return {"refusals": refused if run.model is not None else ""}


def terminal_facts(split: SplitMetrics, name: str = "") -> list[Pair]:
    """Return rate and coverage of abstention for the terminal; ``name`` is that of the split."""
    found = split.abstention
    if found is None:
        return []
    if found.abstention_rate.value is None:
        return [("abstention", f"none: {plain_reason(found.rule.reason, split.unit)}")]
    accuracy, lowest = found.kept["accuracy"], _lowest_coverage(found.coverage_by_class)
    kept = "" if accuracy.value is None else f"; accuracy on the others {metric_text(accuracy)}"
    facts = [
        ("abstention", f"on {rate_text(found.abstention_rate)} of images{kept}"),
        (
            "",
            f"conformal coverage {metric_text(found.coverage)} "
            f"({lowest}target {1 - found.rule.alpha:.2f})",
        ),
    ]
    # Once: not of the calibration images themselves.
    why = "" if name == found.rule.source else many_undecided(found.rule)
    return [*facts, *([("", why)] if why else [])]


def _lowest_coverage(by_class: Mapping[str, Metric]) -> str:
    known = [(m.value, name) for name, m in by_class.items() if m.value is not None]
    return f"lowest: {min(known)[1]} {number(min(known)[0])}; " if len(known) > 1 else ""


def rule_of(run: FinishedRun) -> Abstention | None:
    """Return the abstention rule; ``None`` if the run does not record it.

    Measurements on folds belong to each fold's own rule.
    """
    own, measured = run.model.abstention if run.model else None, run.evaluated.abstention
    return measured.rule if own is None and measured is not None else own


def _abstention_words(run: FinishedRun) -> list[str]:
    """Describe the abstention rule, or why the model never abstains; empty if unknown."""
    own, measured = rule_of(run), run.evaluated.abstention
    if own is None:
        return []
    rule = own if measured is None else measured.rule
    if rule.source == own.source:
        return _words(run, rule, "The model never abstains")
    words = _words(run, rule, "No abstention in the folds")
    if own.reason is not None:
        why = plain_reason(own.reason, unit_name(run)).rstrip(".")
        return [*words, f"The model itself never abstains: {why}."]
    return [*words, f"The model's own rule was calibrated on {own.source}."]


def _words(run: FinishedRun, rule: Abstention, never: str) -> list[str]:
    """Describe a rule and its effect, or, after ``never``, why there is none."""
    measured = run.evaluated.abstention
    if rule.reason is not None:
        return [f"{never}: {plain_reason(rule.reason, unit_name(run)).rstrip('.')}."]
    words = [
        "Class-conditional conformal prediction: the model abstains unless the prediction set"
        " contains exactly the class that it decides for. The sets were calibrated on"
        f" {source_words(rule.source)} to contain the true class of at least"
        f" {share(1 - rule.alpha)} of the images of each class (alpha {rule.alpha:g})."
    ]
    return [*words, _measured(run, measured)] if measured is not None else words


def _measured(run: FinishedRun, measured: AbstentionMetrics) -> str:
    kinds = {
        "several classes in the set": measured.n_several,
        "no class in the set": measured.n_empty,
        "another class in the set than decided at the threshold": measured.n_contradicted,
    }
    found = {text: n for text, n in kinds.items() if n}
    why = listing(
        f"{count(n)} with {text}" if len(found) > 1 else f"with {text}" for text, n in found.items()
    )
    rate = measured.abstention_rate
    value = ABSENT if rate.value is None else rate_text(rate)
    text = f"On the {split_name(run)}, it abstains on {value}"
    n_images = quantity(sum(kinds.values()), "image")
    if not found:
        return f"{text}."
    return f"{text}: {n_images} {why}." if len(found) == 1 else f"{text}: {n_images}, {why}."


def _coverage_table(run: FinishedRun) -> Table | None:
    measured = run.evaluated.abstention
    if measured is None or measured.rule.reason is not None:
        return None
    wanted = f"{1 - measured.rule.alpha:.2f}"
    rows = [
        (name, measured.rule.n_groups.get(name, 0), wanted, metric)
        for name, metric in measured.coverage_by_class.items()
    ]
    unit = "patients" if unit_name(run) == "patient" else "groups"
    caption = "Coverage: proportion of images whose prediction set contains the true class."
    heads = ("Class", f"Calibration {unit}", "Target", "Measured")
    return make_table(caption, heads, rows, name="coverage")


def _kept_table(run: FinishedRun) -> Table | None:
    measured = run.evaluated.abstention
    if measured is None or measured.rule.reason is not None:
        return None
    decided = run.evaluated.at_threshold or run.evaluated.image
    kept = {name: measured.kept[name] for name in _COMPARED if name in measured.kept}
    blocks = {
        "All images": {name: decided[name] for name in kept if name in decided},
        "Not abstained": kept,
    }
    caption = "Decisions on all images and on those that are not abstained on."
    return headline_table(caption, blocks, name="abstention")


def _alphas_table(run: FinishedRun) -> Table | None:
    """Build the table of abstention at three values of alpha; ``None`` if not computable."""
    rule, frame = rule_of(run), with_decisions(run)
    if rule is None or frame is None or rule.alpha >= _MOST_ALPHA:
        return None
    rows: list[tuple[str, str, str]] = []
    larger = min(2 * rule.alpha, (_MOST_ALPHA + rule.alpha) / 2)
    for alpha in (rule.alpha / 2, rule.alpha, larger):
        found = _at_alpha(run, frame, alpha)
        if found is None:
            return None
        abstained, right = found
        kept = right[~abstained]
        accuracy = number(float(kept.mean())) if len(kept) else ABSENT
        is_refused = not len(abstained)
        rate = "too few patients" if is_refused else share(float(abstained.mean()))
        rows.append((f"{alpha:g}", rate, ABSENT if is_refused else accuracy))
    caption = (
        "Abstention at other values of evaluate.alpha, without intervals: a choice by these figures"
        " is optimistic."
    )
    heads = ("Alpha", "Abstained", "Accuracy of the rest")
    return make_table(caption, heads, rows, name="alphas")


def _at_alpha(run: FinishedRun, frame: Any, alpha: float) -> tuple[BoolArray, BoolArray] | None:
    """Return where the model abstains and where it decides correctly, (N,) both.

    Empty where the rule is refused; ``None`` without calibration images.
    """
    section = EvaluateSection(alpha=alpha)
    if run.split == OUT_OF_FOLD and {"repeat", "fold"} <= set(frame):
        parts = [part for _, part in frame.groupby(["repeat", "fold"], sort=False)]
        passed = [~_refused(part) for part in parts]
        _, sets = cross_calibrate([_scored(run, part) for part in parts], section, passed)
        rows = frame.loc[np.concatenate([part.index for part in parts])]
    else:
        held = run.predictions_of("val")
        held = run.predictions_of(OUT_OF_FOLD) if held is None else held
        if held is None or run.split != "test":
            return None
        samples, probabilities = _scored(run, held)
        kept = find_passed(held.get("gate"), samples.targets)
        rule = calibrate_abstention(samples.where(kept), probabilities[kept], section)
        rows = frame
        sets = None
        if rule is not None and rule.quantiles is not None:
            quantiles = [rule.quantiles[name] for name in run.class_names]
            sets = prediction_sets(_scored(run, rows)[1], quantiles)
    if sets is None:
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
    index = {name: place for place, name in enumerate(run.class_names)}
    decided = rows["decision"].map(index).to_numpy(dtype=np.int64)
    abstained = abstains(sets, decided) | _refused(rows)
    return abstained, np.asarray(rows["decision"] == rows["label"])


def _refused(frame: Any) -> BoolArray:
    """Return True where the gate refused a row of predictions, (N,)."""
    return np.asarray(frame["gate"] != "") if "gate" in frame else np.zeros(len(frame), dtype=bool)


def _scored(run: FinishedRun, frame: Any) -> tuple[Samples, FloatArray]:
    """Return predictions as samples and probabilities (N, K)."""
    samples = Samples(frame.reset_index(drop=True), run.root, run.class_names)
    columns = [PREFIX + name for name in run.class_names]
    return samples, frame[columns].to_numpy(dtype=np.float64)
