"""Split into subsets, and the balance of the classes in training."""

from __future__ import annotations

from collections import Counter

from eosin.artifacts.run import SplitReport
from eosin.core.text import count, quantity
from eosin.reporting.formatting import share, subset_name
from eosin.reporting.outline import Section, Table, Text, make_table
from eosin.reporting.sections.data import label_counts
from eosin.reporting.train_test_overlap import (
    appearance_words,
    has_units,
    train_test_overlap,
    unit_name,
)
from eosin.runs.finished import FinishedRun

#: Group names per subset; the rest is in ``split.json``.
_MOST_GROUPS = 1000
#: With more classes than this, the table has no column for each.
_MOST_CLASSES = 6
_METHODS = {
    "sampler": "Class-balanced sampling: each epoch drew all classes equally often (“sampler”)",
    "oversample": "Smaller classes were oversampled to the size of the largest (“oversample”)",
    "smote": "Smaller classes were extended to the size of the largest with feature vectors"
    " interpolated between neighbours (“smote”)",
}


def section(run: FinishedRun) -> Section:
    """Return the section of the page."""
    return Section(
        "Split",
        split_words(run).strip(),
        _split_table(run),
        group_lists(run),
        balance_words(run),
        balance_table(run),
    )


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    return {"partition": _partition(run), "disjoint": _disjoint(run), "balance": _balance(run)}


def _partition(run: FinishedRun) -> str:
    report = run.split_report
    if report is None:
        return ""
    got = [part.got for part in report.parts.values()]
    shown = [f"{name} {share(part.got)}" for name, part in report.parts.items()]
    if report.protocol == "folds":
        shown = [f"{len(got)} folds of {share(min(got))} to {share(max(got))}"]
    unit = run.recipe.data.split.unit if run.recipe else "group"
    by = f" by {unit}" if report.protocol == "folds" or unit != "group" else ""
    return f"protocol “{report.protocol}”{by}: {', '.join(shown)} of the images"


def _disjoint(run: FinishedRun) -> str:
    found, unit = train_test_overlap(run), unit_name(run)
    if found is None:
        return ""
    if found.n_groups:
        return f"image; {quantity(found.n_groups, unit)} in both training and test data"
    if not has_units(run):
        return "image; patient overlap unknown"
    return f"{unit}; no overlap"


def _balance(run: FinishedRun) -> str:
    total = sum(map(Counter, label_counts(run).values()), Counter[str]())
    shares = ", ".join(f"{name} {count(n)}" for name, n in sorted(total.items()))
    done = balance_words(run) or ("Not balanced." if run.balance is not None else "")
    return f"{shares}. {done}".strip() if shares else ""


def group_lists(run: FinishedRun, most: int = _MOST_GROUPS) -> Section:
    """Return up to ``most`` names of each subset's groups, folded away.

    Empty if each image is its own group: that would list the images.
    """
    report, unit = run.split_report, unit_name(run)
    if report is None or all(part.n_groups == part.n_images for part in report.parts.values()):
        return Section("")
    lists = []
    for name, part in report.parts.items():
        names = ", ".join(part.groups[:most])
        if part.n_groups > most:
            names += f", and {count(part.n_groups - most)} more in split.json"
        head = f"{subset_name(name, report.parts)} ({count(part.n_groups)}):"
        lists.append(Text(names, head=head, look="names"))
    return Section(f"{unit.capitalize()}s of each subset", *lists, fold="closed")


def _split_table(run: FinishedRun) -> Table | None:
    report = run.split_report
    if report is None:
        return None
    classes = run.class_names if len(run.class_names) <= _MOST_CLASSES else ()
    # Folds and a manifest's own split have no target proportion.
    wants = any(part.wanted is not None for part in report.parts.values())
    rows: list[list[str | int]] = [
        [
            subset_name(name, report.parts) + (f": {part.site}" if part.site else ""),
            *([share(part.wanted)] if wants else []),
            share(part.got),
            part.n_images,
            part.n_groups,
            *(part.by_class.get(label, 0) for label in classes),
        ]
        for name, part in report.parts.items()
    ]
    shares = ("Target", "Actual") if wants else ("Proportion",)
    units = "Patients" if unit_name(run) == "patient" else "Groups"
    heads = ("Subset", *shares, "Images", units, *classes)
    return make_table("Subsets of the split.", heads, rows, name="split")


def split_words(run: FinishedRun) -> str:
    """Describe the split and the largest deviation from the target proportions."""
    report = run.split_report
    if report is None:
        return ""
    head, _, rest = _protocol_words(run, report).partition(":")
    text = head + (", stratified by class" if report.stratified else "")
    text += f":{rest}. " if rest else ". "
    parts = report.parts.values()
    if gaps := [abs(part.got - part.wanted) for part in parts if part.wanted is not None]:
        text += f"Largest deviation from the target proportion: {share(max(gaps))}."
    return f"{text} {appearance_words(run)}".strip()


def _protocol_words(run: FinishedRun, report: SplitReport) -> str:
    """Describe the protocol of a split, without its full stop."""
    unit = unit_name(run)
    apart = f"Split by {unit}: no {unit} is in more than one subset"
    if not has_units(run):
        by = "appearance" if appearance_words(run) else "image"
        apart = f"Split by {by}; patients are unknown and may be in several subsets"
    elif run.recipe is not None and run.recipe.data.split.unit == "image":
        apart = "Split by image, as requested: a patient may be in several subsets"
    ways = {
        "grouped": apart,
        "image": "Split by image, as published: a patient may be in several subsets",
        "column": "The manifest's own split",
        "folds": _folds_words(run, report),
    }
    return ways.get(report.protocol, f"Protocol “{report.protocol}”")


def _folds_words(run: FinishedRun, report: SplitReport) -> str:
    split = run.recipe.data.split if run.recipe is not None else None
    by = unit_name(run) if split is None or split.by == "group" else split.by
    k = len({name.partition("-")[2] for name in report.parts if "-" in name})
    text = f"{k}-fold cross-validation by {by}"
    if split is not None and split.repeats > 1:
        text += f", repeated {split.repeats} times"
    if run.folder.folds.is_dir() and "test" in report.parts:
        text += "; a test subset was held out of all folds and evaluated once, with the mean of"
        text += " the folds' networks"
    return text


def balance_words(run: FinishedRun) -> str:
    """Describe the class balancing; empty if each training image is used once, unchanged."""
    if run.balance is None or run.balance.is_plain:
        return ""
    shown = [_METHODS.get(run.balance.method, "")]
    if run.balance.copies is not None:
        copies = quantity(run.balance.copies, "copy", "copies")
        shown.insert(0, f"Each training image was used as {copies}, augmented once (fixed copies)")
    if run.balance.focal_gamma is not None:
        shown.append(f"Focal loss with γ = {run.balance.focal_gamma:g}")
    if any(one.weight != 1 for one in run.balance.classes.values()):
        shown.append("The loss is weighted by class")
    return " ".join(f"{text}." for text in shown if text)


def balance_table(run: FinishedRun) -> Table | None:
    """Build the table of an epoch's images; ``None`` if each is used once, unchanged."""
    if run.balance is None or run.balance.is_plain:
        return None
    classes = run.balance.classes
    has_synthetic = any(one.synthetic for one in classes.values())
    rows: list[list[str | int]] = [
        [
            name,
            one.images,
            round(one.shown),
            *([one.synthetic] if has_synthetic else []),
            f"{one.weight:.2f}",
        ]
        for name, one in classes.items()
    ]
    synthetic = ("Synthetic",) if has_synthetic else ()
    columns = ("Class", "Training images", "Images per epoch", *synthetic, "Weight in the loss")
    return make_table("Class balance of a training epoch.", columns, rows, name="balance")
