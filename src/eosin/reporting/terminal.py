"""Terminal output of results, as short lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.metrics import Metric, SplitMetrics
from eosin.artifacts.model import EnsembleMember
from eosin.artifacts.predictions import NORMALISED, PredictionRecord
from eosin.artifacts.profile import Drift, explain_quantity
from eosin.core.text import duration, quantity
from eosin.core.types import SPLITS, Samples
from eosin.data.audit import list_joined
from eosin.metrics.catalogue import HEADLINE
from eosin.reporting.formatting import metric_text, number, of_hundred
from eosin.reporting.train_test_overlap import UNKNOWN_OVERLAP

_INDENT = " " * 21
_MOST_PAIRS = 3
_MOST_CLASSES = 8
_ALONE = (
    "no patient or group is known, so each image stands for itself: where images share one, "
    "intervals are too narrow"
)


def format_metric(metric: Metric) -> str:
    """Format ``0.834 (0.701–0.942)``, or the reason for a missing value."""
    if metric.value is None:
        return f"undefined ({metric.reason})"
    return metric_text(metric) + (" (no interval)" if metric.low is None else "")


def format_split(name: str, split: SplitMetrics) -> list[str]:
    """Return the headline of one split: its size and the main metrics with intervals."""
    patients = "unknown patients"
    if split.n_patients is not None:
        patients = quantity(split.n_patients, "patient")
    images, groups = quantity(split.n_images, "image"), quantity(split.n_groups, "group")
    lines = [f"{name}: {images}, {patients}, {groups}"]
    lines += [f"  {metric:<18} {format_metric(split.image[metric])}" for metric in HEADLINE]
    lines += _format_threshold(split) + _format_calibration(split) + _format_abstention(split)
    return lines + _format_support(split)


def _format_support(split: SplitMetrics) -> list[str]:
    """Return the support of intervals, and once each reason for a missing one."""
    shown = [split.image[metric] for metric in HEADLINE]
    if split.threshold.target_recall is not None:
        shown += [split.at_threshold[metric] for metric in ("recall", "specificity")]
    known = [metric for metric in shown if metric.value is not None and metric.reason]
    support = [str(metric.reason) for metric in known if metric.low is not None][:1]
    lacks = dict.fromkeys(str(metric.reason) for metric in known if metric.low is None)
    lines = [f"  rests on           {reason}" for reason in support]
    lines += [f"  no interval        {reason}" for reason in lacks]
    if split.n_patients is None and split.n_groups == split.n_images:
        lines.append(f"  caution            {_ALONE}")
    return lines


def _format_threshold(split: SplitMetrics) -> list[str]:
    found = split.threshold
    if found.target_recall is None:
        return []
    at = "each fold's threshold" if found.value is None else number(found.value)
    recall, specificity = (
        format_metric(split.at_threshold[name]) for name in ("recall", "specificity")
    )
    lines = [f"  at threshold       {at}: recall {recall}, specificity {specificity}"]
    if split.decisions is not None:
        wrong, negative = split.decisions.false_positives, _negative(split)
        if wrong.value is not None:
            lines.append(f"{_INDENT}{of_hundred(wrong, 1)} false positives per 100 {negative}")
    return [*lines, f"{_INDENT}{found.reason}"] if found.reason else lines


def _negative(split: SplitMetrics) -> str:
    return next(name for name in split.confusion.labels if name != split.positive)


def _format_calibration(split: SplitMetrics) -> list[str]:
    if split.calibration is None:
        return []
    shown = f"  calibration        ece {metric_text(split.image['ece'])}"
    raw, temperature = split.calibration.uncalibrated.get("ece"), split.calibration.temperature
    if raw is None or raw.value is None:
        return [shown]
    by = "" if temperature is None else f" (temperature {temperature:.2f})"
    return [f"{shown}; {number(raw.value)} before scaling{by}"]


def _format_abstention(split: SplitMetrics) -> list[str]:
    found = split.abstention
    if found is None:
        return []
    if found.abstention_rate.value is None:
        return [f"  abstention         none: {found.rule.reason}"]
    accuracy, least = found.kept["accuracy"], _least_covered(found.coverage_by_class)
    kept = "" if accuracy.value is None else f"; accuracy of the rest {metric_text(accuracy)}"
    return [
        f"  abstention         on {metric_text(found.abstention_rate)} of the images{kept}",
        f"{_INDENT}label in the set {metric_text(found.coverage)}{least}; "
        f"{1 - found.rule.alpha:.2f} of each class was asked for",
    ]


def _least_covered(by_class: Mapping[str, Metric]) -> str:
    known = [(m.value, name) for name, m in by_class.items() if m.value is not None]
    return f", least of {min(known)[1]} {number(min(known)[0])}" if len(known) > 1 else ""


def format_drift(drift: Drift) -> list[str]:
    """Return the drift of external from training images, one line per drifted quantity."""
    if drift.verdict == "unknown":
        return [f"drift: unknown: {drift.reason}"]
    off = {name: one for name, one in drift.shifts.items() if one.verdict in {"shifted", "far off"}}
    lines = [f"drift: {drift.verdict}"]
    if off:
        lines = [
            f"{lines[0]} in {len(off)} of {len(drift.shifts)} quantities (distance in standard "
            "deviations of training; share of images beyond its 1st or 99th percentile)"
        ]
    for name, one in sorted(off.items(), key=lambda pair: -pair[1].distance):
        shown = f"{one.verdict:<8} {one.distance:>4.1f} {one.beyond:>5.0%}"
        lines.append(f"  {explain_quantity(name, drift.predicted):<24} {shown}")
    return lines


def format_overlap(audit: AuditReport | None) -> list[str]:
    """Return the train-test overlap with external images, and what was not compared."""
    if audit is None:
        return [f"caution  {UNKNOWN_OVERLAP}"]
    lines = [f"caution  {finding.message}" for finding in audit.findings]
    if audit.leaks:
        lines.append("         results are over-optimistic: the model was trained on some of these")
    if not lines:
        lines.append("overlap: none found between the model's training and the external data")
    lines += [f"         {sentence}" for sentence in audit.reach]
    return [*lines, *([f"not checked: {audit.unchecked}"] if audit.unchecked else [])]


def format_members(members: Iterable[EnsembleMember]) -> list[str]:
    """Return the metrics of each ensemble member on the same images, one line each."""
    shown = [
        # The reasons for a missing interval are given with the ensemble's own.
        (
            m.run,
            [format_metric(m.metrics[name]).partition(" (no")[0] for name in ("auc", "accuracy")],
        )
        for m in members
    ]
    width = max(len(name) for name, _ in shown)
    return [f"  {name:<{width}}  alone: auc {auc}, accuracy {acc}" for name, (auc, acc) in shown]


def format_audit(audit: AuditReport) -> list[str]:
    """Return the audit's findings, one line each, with some example pairs."""
    parts = ", ".join(f"{name} {size.n_images}" for name, size in audit.splits.items())
    sizes = f"{quantity(audit.n_images, 'image')}, {quantity(audit.n_groups, 'group')}"
    lines = [sizes + (f" ({parts})" if parts else "")]
    if audit.n_groups == audit.n_images:
        lines.append(
            "every image is its own group: where patients have several images, name them in a "
            "column `patient`"
        )
    lines += list_joined(audit.repair)
    for finding in audit.findings:
        lines.append(f"{finding.severity:<8} {finding.kind}: {finding.message}")
        for pair in finding.pairs[:_MOST_PAIRS]:
            is_named = finding.kind in {"alike_names", "same_group"}
            score = "" if is_named else f", {pair.score:.2f}"
            how = f"  ({pair.how}{score})" if pair.how else ""
            lines.append(f"           {pair.a}  ~  {pair.b}{how}")
        if len(finding.pairs) > _MOST_PAIRS:
            lines.append(f"           … and {len(finding.pairs) - _MOST_PAIRS} more pairs")
    if audit.unchecked:
        lines += [] if audit.findings else ["no copies found"]
        lines.append(f"not checked: {audit.unchecked}")
    elif not audit.findings:
        lines.append("nothing found")
    return [*lines, *audit.reach]


def format_datasets(datasets: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a table of data sets from their facts, one line each."""
    head = ("name", "title", "licence", "modality", "classes")
    rows = [head] + [
        (d["name"], d["title"], d["licence"], d["modality"], str(len(d["classes"]) or "–"))
        for d in datasets
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def format_prediction(record: PredictionRecord) -> str:
    """Return the number of predicted images, the model, the engine and the time taken."""
    images = quantity(record.n_images, "image")
    return (
        f"{images} predicted by {record.model} (SHA-256 {record.network_sha256[:12]}) "
        f"with {record.engine} in {duration(record.seconds)}"
    )


def format_abstained(table: Any) -> list[str]:
    """Return the number of abstentions in a table of predictions; empty if none."""
    n = int(table["abstained"].sum())
    shown = f"abstained on {n} of {len(table)} images: their decision is not to be used"
    return [shown] if n else []


def format_samples(samples: Samples) -> str:
    """Return the number of images, groups and classes of a table, and the sizes of its splits."""
    frame = samples.frame
    groups = frame["group"].nunique()
    shown = f"{len(samples):,} images, {quantity(groups, 'group')}"
    sizes = frame["label"].value_counts()
    named = ", ".join(f"{name} {sizes[name]:,}" for name in samples.class_names if name in sizes)
    shown += f" ({named})" if len(sizes) <= _MOST_CLASSES else f", {len(sizes)} classes"
    if "split" not in frame:
        return shown
    sizes = frame["split"].value_counts()
    return shown + "; " + ", ".join(f"{name} {sizes[name]:,}" for name in SPLITS if name in sizes)


def format_unchanged(table: Any) -> list[str]:
    """Return the reasons why stain normalisation left images unchanged."""
    reasons = Counter(table["stain"]) if "stain" in table else Counter()
    shown = ", ".join(
        f"{n} {reason}" for reason, n in reasons.most_common() if reason != NORMALISED
    )
    return [f"stain not normalised: {shown}; evaluated as they are"] if shown else []
