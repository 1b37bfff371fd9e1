"""Split into subsets, and the balance of the classes in training."""

from __future__ import annotations

from collections import Counter

from eosin.core.text import count, quantity
from eosin.reporting.formatting import part_name, share
from eosin.reporting.outline import Section, Table, Text, make_table
from eosin.reporting.sections.data import label_counts
from eosin.reporting.train_test_overlap import has_units, train_test_overlap, unit_name
from eosin.runs.finished import FinishedRun

#: Group names per subset; the rest is in ``split.json``.
_MOST_GROUPS = 1000
#: With more classes than this, the table has no column for each.
_MOST_CLASSES = 6
#: Most groups of a subset, and subsets, whose names are shown without being asked for.
_OPEN = (12, 4)
_METHODS = {
    "sampler": "Each epoch drew as many images as there are, each class alike often (“sampler”)",
    "oversample": "Images of smaller classes were repeated until all classes were as large as the"
    " largest (“oversample”)",
    "smote": "New feature vectors were made between neighbours of a class until all classes were"
    " as large as the largest (“smote”)",
}


def section(run: FinishedRun) -> Section:
    """Return the section of the page."""
    return Section(
        "Split",
        split_words(run).strip(),
        _split_table(run),
        *group_lists(run),
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
        shown = [f"{len(got)} parts of {share(min(got))} to {share(max(got))}"]
    unit = run.recipe.data.split.unit if run.recipe else "group"
    by = f" by {unit}" if report.protocol == "folds" or unit != "group" else ""
    return f"protocol “{report.protocol}”{by}: {', '.join(shown)} of the images"


def _disjoint(run: FinishedRun) -> str:
    found, unit = train_test_overlap(run), unit_name(run)
    if found is None:
        return ""
    if found.n_groups:
        return f"image; {quantity(found.n_groups, unit)} on both sides"
    if not has_units(run):
        return "image; whether patients are apart is not known"
    return f"{unit}; none on both sides"


def _balance(run: FinishedRun) -> str:
    total = sum(map(Counter, label_counts(run).values()), Counter[str]())
    shares = ", ".join(f"{name} {count(n)}" for name, n in sorted(total.items()))
    done = balance_words(run) or ("Not evened out." if run.balance is not None else "")
    return f"{shares}. {done}".strip() if shares else ""


def group_lists(run: FinishedRun, most: int = _MOST_GROUPS) -> list[Section]:
    """Return each subset's number of groups and up to ``most`` names, folded.

    Empty if each image is its own group: that would list the images.
    """
    report = run.split_report
    if report is None or all(part.n_groups == part.n_images for part in report.parts.values()):
        return []
    lists = []
    for name, part in report.parts.items():
        shown = part.groups[:most]
        more = f", and {count(part.n_groups - most)} more in split.json"
        is_short = len(shown) <= _OPEN[0] and len(report.parts) <= _OPEN[1]
        names = Text(", ".join(shown) + (more if part.n_groups > most else ""), look="names")
        title = f"{part_name(name)}: {quantity(part.n_groups, 'group')}"
        lists.append(Section(title, names, fold="open" if is_short else "closed"))
    return lists


def _split_table(run: FinishedRun) -> Table | None:
    report = run.split_report
    if report is None:
        return None
    classes = run.class_names if len(run.class_names) <= _MOST_CLASSES else ()
    # Folds and a manifest's own split have no requested share.
    wants = any(part.wanted is not None for part in report.parts.values())
    rows: list[list[str | int]] = [
        [
            part_name(name) + (f": {part.site}" if part.site else ""),
            *([share(part.wanted)] if wants else []),
            share(part.got),
            part.n_images,
            part.n_groups,
            *(part.by_class.get(label, 0) for label in classes),
        ]
        for name, part in report.parts.items()
    ]
    shares = ("Wanted", "Got") if wants else ("Share",)
    return make_table("Parts of the split.", ("Part", *shares, "Images", "Groups", *classes), rows)


def split_words(run: FinishedRun) -> str:
    """Describe the split and how near the shares came to those asked for."""
    report = run.split_report
    if report is None:
        return ""
    apart = "No group crosses the split"
    if not has_units(run):
        apart = "No group is known, so images were divided one by one"
    elif run.recipe is not None and run.recipe.data.split.unit == "image":
        apart = "Images were divided one by one, as the recipe asks: a group may be on both sides"
    ways = {
        "grouped": f"{apart} (protocol “grouped”)",
        "image": "Images were divided one by one, as published (protocol “image”):"
        " a group may be on both sides",
        "column": "The manifest's own split was used (protocol “column”)",
        "folds": "Every image is evaluated once a repeat, in the fold that was held out"
        " (protocol “folds”)",
    }
    if run.folder.folds.is_dir() and "test" in report.parts:
        ways["folds"] = (
            "A test part was held out of all folds: the mean of the folds' networks was evaluated"
            " on it once. Every other image is evaluated once a repeat, in the fold that was held"
            " out (protocol “folds”)"
        )
    text = ways.get(report.protocol, f"Protocol “{report.protocol}”")
    text += ", class shares kept as well as the groups allow. " if report.stratified else ". "
    parts = report.parts.values()
    if gaps := [abs(part.got - part.wanted) for part in parts if part.wanted is not None]:
        text += f"The largest distance between a wanted and a got share is {share(max(gaps))}"
        text += " of the images."
    return text


def balance_words(run: FinishedRun) -> str:
    """Describe the class balancing; empty if each training image is drawn once, unchanged."""
    if run.balance is None or run.balance.is_plain:
        return ""
    shown = [_METHODS.get(run.balance.method, "")]
    if run.balance.copies is not None:
        copies = quantity(run.balance.copies, "copy", "copies")
        shown.insert(0, f"Of each training image {copies} were shown, changed once and for all")
    if run.balance.focal_gamma is not None:
        shown.append(f"The loss was focal, with γ = {run.balance.focal_gamma:g}")
    if any(one.weight != 1 for one in run.balance.classes.values()):
        shown.append("Classes were weighted in the loss")
    return " ".join(f"{text}." for text in shown if text)


def balance_table(run: FinishedRun) -> Table | None:
    """Build the table of one epoch's draws; ``None`` if each image is drawn once, unchanged."""
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
    columns = ("Class", "Training images", "Shown an epoch", *synthetic, "Weight in the loss")
    return make_table("What an epoch of the training showed.", columns, rows)
