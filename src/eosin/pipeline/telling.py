"""Results as short lines for the terminal."""

from __future__ import annotations

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.metrics import Metric, SplitMetrics

_TOLD = ("auc", "accuracy", "balanced_accuracy", "recall", "specificity")
_MOST_PAIRS = 3


def tell_metric(metric: Metric) -> str:
    """Return ``0.83 (0.70–0.94)``, or why there is no number."""
    if metric.value is None:
        return f"undefined ({metric.reason})"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f} (no interval: {metric.reason})"
    return f"{metric.value:.3f} ({metric.low:.3f}–{metric.high:.3f})"


def tell_split(name: str, split: SplitMetrics) -> list[str]:
    """Return the headline of one split: on how many, and the main metrics with intervals."""
    patients = "unknown patients" if split.n_patients is None else f"{split.n_patients} patients"
    lines = [f"{name}: {split.n_images} images, {patients}, {split.n_groups} groups"]
    lines += [f"  {metric:<18} {tell_metric(split.image[metric])}" for metric in _TOLD]
    found = split.threshold
    if found.target_recall is not None:
        at = "each fold's threshold" if found.value is None else f"{found.value:.3f}"
        recall = tell_metric(split.at_threshold["recall"])
        specificity = tell_metric(split.at_threshold["specificity"])
        lines.append(f"  at threshold       {at}: recall {recall}, specificity {specificity}")
    caution = next((m.reason for m in split.image.values() if m.value is not None and m.reason), "")
    return [*lines, f"  caution            {caution}"] if caution else lines


def tell_audit(audit: AuditReport) -> list[str]:
    """Return the audit's findings, a line each, with some example pairs."""
    parts = ", ".join(f"{name} {size.n_images}" for name, size in audit.splits.items())
    lines = [f"{audit.n_images} images, {audit.n_groups} groups" + (f" ({parts})" if parts else "")]
    for finding in audit.findings:
        lines.append(f"{finding.severity:<8} {finding.kind}: {finding.message}")
        lines += [f"           {pair.a}  ~  {pair.b}" for pair in finding.pairs[:_MOST_PAIRS]]
        if len(finding.pairs) > _MOST_PAIRS:
            lines.append(f"           … and {len(finding.pairs) - _MOST_PAIRS} more pairs")
    return lines if audit.findings else [*lines, "nothing found"]
