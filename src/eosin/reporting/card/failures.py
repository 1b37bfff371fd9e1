"""What the model is known to fail at, found in its run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eosin.artifacts.metrics import MetricBlock
from eosin.artifacts.predictions import PREFIX
from eosin.reporting import abstention, decisions, exploration
from eosin.reporting.card.cautions import leak_kinds
from eosin.reporting.card.outline import Section
from eosin.reporting.exposure import caution, exposure, threshold_text
from eosin.reporting.formatting import count, metric_text, quantity, share, times
from eosin.runs.finished import Run

#: A probability from which a prediction counts as sure of itself.
SURE = 0.9
#: What is judged there, where the model itself decides at its threshold.
_TOP = "By the most probable class: "


def failures(run: Run) -> Section:
    """List the known failures."""
    return Section("Known failures", points=tuple(failure_points(run)))


def failure_points(run: Run) -> list[str]:
    """List what the run shows to go wrong, a sentence each; never a patient's name or a path."""
    judged = run.judged
    found = (
        _worst(run, "class", "label", judged.by_class, "recall"),
        _worst(run, "subtype", "subtype", judged.by_subtype, "accuracy"),
        _worst(run, "magnification", "magnification", judged.by_magnification, "accuracy"),
        _worst(run, "site", "site", judged.by_site, "accuracy"),
        _sure_and_wrong(run),
        _lost_patients(run),
        _at_threshold(run),
        _target_missed(run),
        _no_abstention(run),
        _interval(run),
        _leaks(run),
        _skipped(run),
        _unchanged_stain(run),
    )
    return [text for text in found if text]


def _worst(run: Run, what: str, column: str, blocks: dict[str, MetricBlock], name: str) -> str:
    """Tell the part that is judged worst beside the best; empty unless there are two."""
    known = {
        key: metric
        for key, block in blocks.items()
        if (metric := block.get(name)) is not None and metric.value is not None
    }
    if len(known) < 2:
        return ""
    order = sorted(known, key=lambda key: known[key].value or 0.0)
    sizes = exploration.sizes_by(run, column) or {}

    def told(key: str) -> str:
        written = times(key) if column == "magnification" else key
        n = f", {quantity(sizes[key], 'image')}" if key in sizes else ""
        return f"{written} ({name} {metric_text(known[key])}{n})"

    return f"{_TOP}worst {what} {told(order[0])}, best {told(order[-1])}."


def _sure_and_wrong(run: Run) -> str:
    frame = run.predictions
    if frame is None:
        return ""
    top = frame[[PREFIX + name for name in run.class_names]].max(axis=1)
    sure = frame[top >= SURE]
    wrong = int((sure["label"] != sure["predicted"]).sum())
    if not len(sure):
        return f"No prediction has a probability of {SURE:g} or more."
    return (
        f"{_TOP}of {quantity(len(sure), 'image')} judged with a probability of at least"
        f" {SURE:g}, {count(wrong)} ({share(wrong / len(sure))}) were judged wrongly."
    )


def _lost_patients(run: Run) -> str:
    lost = "" if run.predictions is None else _mostly_wrong(run, run.predictions["predicted"])
    return f"{_TOP}{lost}." if lost else ""


def _mostly_wrong(run: Run, decided: Any) -> str:
    """Count patients of whom most images are decided wrongly; empty where there is none."""
    frame = run.predictions
    if run.judged.n_patients is None:
        return ""
    right = (frame["label"] == decided).groupby(frame["patient"]).mean()
    lost = int((right < 0.5).sum())
    text = f"{count(lost)} of {quantity(len(right), 'patient')} had more than half of the images"
    return f"{text} judged wrongly" if lost else ""


def _at_threshold(run: Run) -> str:
    """Tell how the model's own decisions fail; empty where it has no threshold."""
    judged, threshold = run.judged, run.judged.threshold
    specificity, positive = judged.at_threshold.get("specificity"), judged.positive
    is_cut = threshold.value is not None or (run.split == "oof" and bool(threshold_text(run)))
    if not is_cut or positive is None or specificity is None or specificity.value is None:
        return ""
    negative = decisions.negative_class(run)
    told = [
        f"{100 * (1 - specificity.value):.0f} of 100 {negative} are called {positive}"
        f" (specificity {metric_text(specificity)})"
    ]
    if threshold.value is not None and run.predictions is not None:
        called = run.predictions[PREFIX + positive] >= threshold.value
        told.append(_mostly_wrong(run, called.map({True: positive, False: negative})))
    rate = judged.abstention.abstention_rate.value if judged.abstention else None
    told.append(f"it abstains on {share(rate)}" if rate else "")
    at = "At the locked threshold" if threshold.value is not None else "At the folds' thresholds"
    return f"{at} {'; '.join(text for text in told if text)}."


def _target_missed(run: Run) -> str:
    threshold, recall = run.judged.threshold, run.judged.at_threshold.get("recall")
    target = threshold.target_recall
    told = []
    if threshold.reason:
        told.append(f"Threshold, not as the recipe wishes: {threshold.reason.rstrip('.')}.")
    reached = recall.value if recall is not None else None
    if target is not None and reached is not None and reached < target:
        told.append(f"The threshold aimed at a recall of {target:.2f}, got {metric_text(recall)}.")
    return " ".join(told)


def _no_abstention(run: Run) -> str:
    rule = abstention.rule_of(run)
    return f"It never abstains: {rule.reason.rstrip('.')}." if rule and rule.reason else ""


def _interval(run: Run) -> str:
    return " ".join(caution(run) or ())


def _leaks(run: Run) -> str:
    found, kinds = exposure(run), leak_kinds(run)
    told = (
        [f"{quantity(found.n_groups, 'group')} on both sides"] if found and found.n_groups else []
    )
    told += [kind.replace("_", " ") for kind in kinds]
    return f"Leaks that the figures above include: {', '.join(told)}." if told else ""


def _skipped(run: Run) -> str:
    n = len(run.skipped)
    return f"{quantity(n, 'image')} could not be read and took no part." if n else ""


def _unchanged_stain(run: Run) -> str:
    parts: Iterable[tuple[int, int]] = (
        [(part.n_images, sum(part.unchanged.values())) for part in run.stain.parts.values()]
        if run.stain
        else []
    )
    n, unchanged = (sum(column) for column in zip(*parts, strict=True)) if parts else (0, 0)
    if not unchanged:
        return ""
    return (
        f"The stain of {count(unchanged)} of {quantity(n, 'image')} could not be normalised: the"
        " model sees such images as they are."
    )
