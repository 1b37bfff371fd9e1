"""Train-test overlap of a run, and the sentences of its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from eosin.artifacts.layout import OUT_OF_FOLD
from eosin.artifacts.metrics import Metric
from eosin.core.text import count, quantity
from eosin.core.types import APPEARANCE, SPLITS
from eosin.metrics.catalogue import LEADING, OF_DECISIONS
from eosin.reporting.formatting import (
    capitalised,
    metric_label,
    metric_text,
    number,
    sentence,
    source_words,
)
from eosin.runs.finished import FinishedRun

#: Caution for external images that a model folder alone was evaluated on.
UNKNOWN_OVERLAP = (
    "A model folder does not record its training images: whether the model was trained on these "
    "images, or on others of these patients, is unknown."
)

#: Names of the splits in running text.
_SPLIT_NAMES = {
    "test": "test images",
    OUT_OF_FOLD: "out-of-fold predictions",
    "external": "external images",
}


@dataclass(frozen=True)
class TrainTestOverlap:
    """Groups on both sides of a split.

    Attributes:
        n_groups: Evaluated groups of which other images were trained on.
        n_images: Evaluated images of those groups; ``None`` if unknown.
    """

    n_groups: int
    n_images: int | None = None


def train_test_overlap(run: FinishedRun) -> TrainTestOverlap | None:
    """Count the evaluated groups that were also trained on; ``None`` if unknown."""
    if run.split == "external":
        return _from_overlap(run)
    if run.split == OUT_OF_FOLD:
        return _between_folds(run) or _from_split_report(run) or _from_audit(run)
    return _from_manifest(run) or _from_split_report(run) or _from_audit(run)


def _from_manifest(run: FinishedRun) -> TrainTestOverlap | None:
    frame = run.manifest
    if frame is None or "split" not in frame:
        return None
    evaluated = frame[frame["split"] == run.split]
    others = frame[frame["split"].isin([part for part in SPLITS if part != run.split])]
    if not len(evaluated) or not len(others):
        return None
    shared = set(evaluated["group"]) & set(others["group"])
    return TrainTestOverlap(len(shared), int(evaluated["group"].isin(shared).sum()))


def _between_folds(run: FinishedRun) -> TrainTestOverlap | None:
    frame = run.predictions
    if frame is None or "fold" not in frame:
        return None
    keys = ["repeat", "group"] if "repeat" in frame else ["group"]
    n_folds = frame.groupby(keys)["fold"].transform("nunique")
    shared = frame[n_folds > 1]
    return TrainTestOverlap(int(shared["group"].nunique()), int(shared["path"].nunique()))


def _from_split_report(run: FinishedRun) -> TrainTestOverlap | None:
    if run.split_report is None:
        return None
    parts = {name: set(part.groups) for name, part in run.split_report.parts.items()}
    if run.split in parts:
        others = set().union(*(parts[name] for name in parts if name != run.split))
        return TrainTestOverlap(len(parts[run.split] & others))
    if run.split != OUT_OF_FOLD:
        return None
    shared: set[str] = set()
    for a, b in combinations(parts, 2):
        if a.partition("-")[0] == b.partition("-")[0]:  # folds of one repeat
            shared |= parts[a] & parts[b]
    return TrainTestOverlap(len(shared))


def _from_audit(run: FinishedRun) -> TrainTestOverlap | None:
    if run.audit is None:
        return None
    # The audit gives one example pair for each group that two subsets share; that of an ensemble
    # repeats it for each member.
    pairs = [pair for f in run.audit.leaks if f.kind == "same_group" for pair in f.pairs]
    evaluated = [pair.b for pair in pairs if pair.split_b != "val"]
    frame = run.predictions
    groups = {} if frame is None else dict(zip(frame["path"], frame["group"], strict=True))
    return TrainTestOverlap(len({groups.get(path, path) for path in evaluated}))


def _from_overlap(run: FinishedRun) -> TrainTestOverlap | None:
    """Count the external groups with an image that the audit matched with training images."""
    frame = run.predictions
    if run.audit is None or frame is None:
        return None
    found = {pair.b for finding in run.audit.leaks for pair in finding.pairs}
    shared = set(frame.loc[frame["path"].isin(found), "group"])
    return TrainTestOverlap(len(shared), int(frame["group"].isin(shared).sum()))


def leading_metric(run: FinishedRun) -> tuple[str, Metric] | None:
    """Return the metric of the verdict; ``None`` if none has a value."""
    for name in LEADING:
        metric = run.evaluated.decided.get(name)
        if metric is not None and metric.value is not None:
            return name, metric
    return None


def leading_name(name: str, run: FinishedRun) -> str:
    """Return the name of the leading metric in a sentence."""
    label = metric_label(name, short=True)
    return f"macro {label}" if run.evaluated.positive is None and name == "auc" else label


def split_name(run: FinishedRun) -> str:
    """Return the name of the evaluated split in running text."""
    return _SPLIT_NAMES.get(run.split, f"images of the split “{run.split}”")


def units(run: FinishedRun) -> str:
    """Return the size of the evaluated split, e.g. ``"110 images of 6 patients"``."""
    evaluated = run.evaluated
    is_fused = run.model is not None and bool(run.model.preprocessing.magnifications)
    images = quantity(evaluated.n_images, "stack" if is_fused else "image")
    if run.recipe is not None and run.recipe.augment.copies_before_split:
        # Not of new images: other copies of the same may have been trained on.
        images = quantity(evaluated.n_images, "augmented copy", "augmented copies")
    if evaluated.n_patients is not None:
        return f"{images} of {quantity(evaluated.n_patients, 'patient')}"
    return f"{images} of {quantity(evaluated.n_groups, 'group')}" if has_units(run) else images


def unit_name(run: FinishedRun) -> str:
    """Return the noun of a unit: ``patient`` where each patient is one group, else ``group``."""
    if not has_units(run):
        return "image"
    return "patient" if run.evaluated.n_patients == run.evaluated.n_groups else "group"


def verdict(run: FinishedRun) -> str:
    """Return the verdict: one sentence with the leading metric and its data."""
    lead = leading_metric(run)
    if lead is None:
        first = run.evaluated.image.get(LEADING[0])
        why = (first.reason if first else None) or "nothing could be measured"
        return f"No headline figure: {why} (evaluated on {units(run)})."
    name, metric = lead
    at = decided_at(run) if name in OF_DECISIONS else ""
    value = metric_text(metric) + (", without an interval," if metric.low is None else "")
    value += f" {at}" if at else ""
    return f"{capitalised(leading_name(name, run))} {value} on {units(run)}{_seen(run)}."


def _seen(run: FinishedRun) -> str:
    found = train_test_overlap(run)
    outside = " from an external data set" if run.split == "external" else ""
    if outside and not (found and found.n_groups):
        return outside
    if found is None:
        return f" (split “{run.split}”)"
    if found.n_groups:
        was = "was" if found.n_groups == 1 else "were"
        seen = f"{count(found.n_groups)} of these {unit_name(run)}s {was} also in training"
        return f"{outside}; {seen}"
    other = "; but the leak audit found train-test overlap" if run.audit and run.audit.leaks else ""
    if run.split == OUT_OF_FOLD:
        return f", each predicted by a model not trained on it{other}"
    return f" not used in training{other}"


def has_units(run: FinishedRun) -> bool:
    """Return True if patients or other groups of the images are known."""
    return run.evaluated.n_patients is not None or run.evaluated.n_groups != run.evaluated.n_images


def caution(run: FinishedRun) -> tuple[str, str] | None:
    """Return heading and text of what invalidates the headline's interval; ``None`` if nothing."""
    lead = leading_metric(run)
    if lead is None:
        return None
    metric = lead[1]
    if metric.low is None:
        return "The headline figure has no interval.", sentence(metric.reason or "unknown why")
    if has_units(run):
        return None
    # Images are resampled one by one: their correlation within a patient is not seen.
    text = (
        "Every image counts as its own group. If several images come from one patient, they may be"
        " on both sides of the split, and the intervals are too narrow."
    )
    return "No patients or groups are known.", f"{text} {appearance_words(run)}".strip()


def appearance_words(run: FinishedRun) -> str:
    """State that subsets were drawn by clusters of appearance; empty where they were not."""
    report, frame = run.split_report, run.manifest
    if run.recipe is None or run.recipe.data.split.by != "appearance" or report is None:
        return ""
    if all(part.wanted is None for part in report.parts.values()):
        return ""  # the table's own subsets
    what = "Validation images were" if report.protocol == "column" else "The subsets were"
    n = frame[APPEARANCE].nunique() if frame is not None and APPEARANCE in frame else None
    clusters = "clusters" if n is None else quantity(n, "cluster")
    return (
        f"{what} drawn from {clusters} of similar stain, background and encoding, which are not"
        " patients."
    )


def decided_at(run: FinishedRun) -> str:
    """Return where the model decides, ``at the tuned threshold 0.312``; empty without one."""
    if not threshold_text(run):
        return ""
    value = run.evaluated.threshold.value
    return (
        "at each fold's tuned threshold"
        if value is None
        else (f"at the tuned threshold {number(value)}")
    )


def threshold_text(run: FinishedRun) -> str:
    """Describe the tuned threshold, its source and target recall; empty without one."""
    threshold = run.evaluated.threshold
    if threshold.value is None and threshold.target_recall is None:
        return ""
    where = "" if threshold.value is None else f"{number(threshold.value)}, chosen on "
    text = f"{where}{source_words(threshold.source)}"
    if threshold.target_recall is not None:
        of = "recall with the lower end of its interval" if threshold.bound == "lower" else "recall"
        text += f" for {of} of at least {threshold.target_recall:.2f}"
    return text
