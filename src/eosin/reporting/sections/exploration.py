"""Exploration of the data: images by class, subset, patient and magnification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from eosin.core.text import count, listing, quantity
from eosin.core.types import SPLITS, STACKED, TOGETHER, parts_of
from eosin.reporting.formatting import share, times
from eosin.reporting.rendering import Table, text_table
from eosin.reporting.style import (
    COLOURS,
    HATCHES,
    INK,
    RenderedFigure,
    house_style,
    new_figure,
    render_figure,
    series_label,
)
from eosin.reporting.train_test_overlap import has_units
from eosin.runs.finished import FinishedRun

#: More bars than this carry no numbers.
_MOST_NUMBERED = 40


#: With more classes than this, only the label table lists their counts.
_MOST_CLASSES = 6
#: Rows of a table of patients or files; the rest is in the run's files.
MOST_ROWS = 200
#: Group names per subset; the rest is in ``split.json``.
MOST_GROUPS = 1000


def distribution_figure(
    counts: dict[str, dict[str, int]], classes: tuple[str, ...]
) -> RenderedFigure:
    """Draw images (by subset, then class) as horizontal bars, one per subset of each class."""
    parts = list(counts)
    n_bars = len(parts) * len(classes)
    with house_style():
        figure, axes = new_figure(5.6, min(20.0, max(1.9, 0.26 * n_bars + 0.14 * len(classes) + 1)))
        height = 0.82 / len(parts)
        for index, part in enumerate(parts):
            values = [counts[part].get(name, 0) for name in classes]
            bars = axes.barh(
                np.arange(len(classes)) + (index - (len(parts) - 1) / 2) * height,
                values,
                height=0.92 * height,
                color=COLOURS[index % len(COLOURS)],
                hatch=HATCHES[index % len(HATCHES)],
                edgecolor="white",
                linewidth=0,
                label=series_label(part.capitalize()),
            )
            if n_bars <= _MOST_NUMBERED:
                axes.bar_label(bars, [count(v) for v in values], padding=4, fontsize=8.5, color=INK)
        _finish(axes, classes, len(parts))
        return render_figure(
            figure,
            "distribution",
            alt=f"Bar chart of images by class and part. {_in_words(counts, classes)}",
            caption="Images of each class in each part of the data.",
        )


def _finish(axes: Axes, classes: tuple[str, ...], n_parts: int) -> None:
    axes.set_yticks(np.arange(len(classes)), [series_label(name, 28) for name in classes])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Images")
    if n_parts > 1:
        # Above the bars: inside, no corner is free for every distribution.
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(n_parts, 4), borderpad=0)


def _in_words(counts: dict[str, dict[str, int]], classes: tuple[str, ...]) -> str:
    return "; ".join(
        f"{part}: {listing(f'{count(row.get(name, 0))} {name}' for name in classes[:12])}"
        for part, row in counts.items()
    )


def sample_frame(run: FinishedRun) -> Any:
    """Return the manifest, else the predictions; ``None`` if the run has neither."""
    return run.manifest if run.manifest is not None else run.predictions


def availability(run: FinishedRun) -> list[tuple[str, str]]:
    """Return the contents of the data as pairs of name and value."""
    frame = sample_frame(run)
    facts = []
    if frame is not None:
        patients = [name for name in frame["patient"].unique() if name]
        known = bool((frame["patient"] != "").all())
        images = [part for path in frame["path"] for part in parts_of(path) if part]
        is_stacked = frame["path"].str.contains(STACKED, regex=False).any()
        facts = [
            *([("Bundles", count(len(frame)))] if is_stacked else []),
            ("Images", count(len(images))),
            ("Classes", count(frame["label"].nunique())),
            ("Patients", count(len(patients)) if patients and known else _partly(patients)),
            ("Groups", count(frame["group"].nunique())),
        ]
        for column, label in (("slide", "Slides"), ("site", "Sites")):
            if column in frame and (frame[column] != "").any():
                facts.append((label, count(int(frame[column][frame[column] != ""].nunique()))))
        if _has_magnifications(frame):
            taken = {part for text in magnifications(frame) for part in text.split(TOGETHER)}
            in_order = sorted(taken, key=magnification_order)
            facts.append(("Magnifications", ", ".join(times(m) for m in in_order)))
    facts.append(("Unreadable files", count(len(run.skipped))))
    return facts


def _partly(patients: list[str]) -> str:
    return f"{count(len(patients))} + unknown" if patients else "unknown"


def _has_magnifications(frame: Any) -> bool:
    return "magnification" in frame and bool((frame["magnification"] != "").any())


def magnifications(frame: Any) -> list[str]:
    """Return the magnifications, numbers in their order."""
    return sorted({str(m) for m in frame["magnification"] if m != ""}, key=magnification_order)


def magnification_order(text: str) -> tuple[int, float, str]:
    """Return the sort key of a magnification: numbers by size, words after them."""
    try:
        return 0, float(text.rstrip("xX×")), text
    except ValueError:
        return 1, 0.0, text


def label_counts(run: FinishedRun) -> dict[str, dict[str, int]]:
    """Count images by subset and class; one subset ``all`` if the table has no split."""
    frame = sample_frame(run)
    if frame is None:
        return {}
    if run.manifest is None:
        return {run.split: _count(frame)}
    if "split" not in frame or not (frame["split"] != "").any():
        return {"all": _count(frame)}
    return {
        part or "not used": _count(frame[frame["split"] == part])
        for part in (*SPLITS, "")
        if (frame["split"] == part).any()
    }


def _count(frame: Any) -> dict[str, int]:
    return {str(label): int(n) for label, n in frame["label"].value_counts().items()}


def label_order(run: FinishedRun) -> tuple[str, ...]:
    """Return the classes, those that only the table has last."""
    frame = sample_frame(run)
    found = sorted(set(frame["label"])) if frame is not None else []
    return (*run.class_names, *(name for name in found if name not in run.class_names))


def label_table(run: FinishedRun) -> Table | None:
    """Build the table of images and patients by class."""
    counts, frame = label_counts(run), sample_frame(run)
    if not counts:
        return None
    columns = [*(p.capitalize() for p in counts), *(["Total"] if len(counts) > 1 else [])]
    rows: list[list[str | int]] = []
    for name in label_order(run):
        values = [counts[part].get(name, 0) for part in counts]
        total = sum(values)
        row: list[str | int] = [name, *values, *([total] if len(counts) > 1 else [])]
        mine = frame[frame["label"] == name]
        rows.append([*row, share(total / len(frame)), int(mine["group"].nunique())])
    return text_table("Images of each class.", ["Class", *columns, "Share of all", "Groups"], rows)


def magnification_table(run: FinishedRun) -> Table | None:
    """Build the table of images by magnification and class."""
    frame = sample_frame(run)
    if frame is None or not _has_magnifications(frame):
        return None
    table: Any = pd.crosstab(frame["magnification"], frame["label"])
    names = [name for name in label_order(run) if name in table]
    if len(names) > _MOST_CLASSES:
        return _magnifications_by_class(table, names, magnifications(frame))
    rows: list[list[str | int]] = [
        [times(m), *(int(table.loc[m, name]) for name in names), int(table.loc[m].sum())]
        for m in magnifications(frame)
    ]
    return text_table(
        "Images by magnification and class.", ["Magnification", *names, "Total"], rows
    )


def _magnifications_by_class(table: Any, names: list[str], columns: list[str]) -> Table:
    """Build the table with one row per class, for many classes."""
    rows: list[list[str | int]] = [
        [name, *(int(table.loc[m, name]) for m in columns), int(table[name].sum())]
        for name in names
    ]
    heads = ("Class", *(times(m) for m in columns), "Total")
    return text_table("Images by class and magnification.", heads, rows)


def skipped_table(run: FinishedRun) -> Table | None:
    """Build the table of unreadable files."""
    if not run.skipped:
        return None
    rows = [(entry.path, entry.reason) for entry in run.skipped[:MOST_ROWS]]
    return text_table("Files that could not be read.", ("File", "Reason"), rows, texts=(0, 1))


def part_name(name: str) -> str:
    """Return the display name of a subset: folds count from 1."""
    repeat, dash, fold = name.partition("-")
    if dash and repeat.isdecimal() and fold.isdecimal():
        return f"Repeat {int(repeat) + 1}, fold {int(fold) + 1}"
    return name.capitalize()


def split_table(run: FinishedRun) -> Table | None:
    """Build the table of requested and actual shares."""
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
    return text_table("Parts of the split.", ("Part", *shares, "Images", "Groups", *classes), rows)


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
    text = ways.get(report.protocol, f"Protocol “{report.protocol}”")
    text += ", class shares kept as well as the groups allow. " if report.stratified else ". "
    gaps = [
        abs(part.got - part.wanted) for part in report.parts.values() if part.wanted is not None
    ]
    if gaps:
        text += f"The largest distance between a wanted and a got share is {share(max(gaps))}"
        text += " of the images."
    return text


def sizes_by(
    run: FinishedRun, column: str, *, write: Callable[[str], str] = str
) -> dict[str, int] | None:
    """Count evaluated images by a column of the predictions, else of the manifest, if it exists.

    ``write`` formats a value of the column.
    """
    frame, shown = run.predictions, run.manifest
    if frame is None:
        return None
    if column in frame:
        values = frame[column]
    elif shown is not None and column in shown:
        values = frame["path"].map(dict(zip(shown["path"], shown[column], strict=True)))
    else:
        return None
    return {write(str(value)): int(n) for value, n in values.value_counts().items()}


def groups_by_part(
    run: FinishedRun, most: int = MOST_GROUPS
) -> list[tuple[str, str, list[str], str]]:
    """Return each subset's name, number of groups, up to ``most`` names, and how many are left out.

    Empty if each image is its own group: that would list the images.
    """
    report = run.split_report
    if report is None or all(part.n_groups == part.n_images for part in report.parts.values()):
        return []
    return [
        (
            part_name(name),
            quantity(part.n_groups, "group"),
            part.groups[:most],
            count(part.n_groups - most) if part.n_groups > most else "",
        )
        for name, part in report.parts.items()
    ]
