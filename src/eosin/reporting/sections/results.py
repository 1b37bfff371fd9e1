"""Results of the evaluated split: predictions as arrays, confusion matrix and metric tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from eosin.artifacts.metrics import Confusion
from eosin.artifacts.model import EnsembleMember
from eosin.artifacts.predictions import PREFIX
from eosin.core.text import count, percent, quantity
from eosin.core.types import BoolArray, FloatArray, IntArray
from eosin.metrics.catalogue import BY_CLASS, HEADLINE, OF_ONE_CLASS, OF_PARTS
from eosin.metrics.predictions import encode
from eosin.reporting.formatting import ABSENT, metric_label, number, times
from eosin.reporting.rendering import (
    Cell,
    Footnotes,
    Table,
    block_table,
    headline_table,
    text_table,
)
from eosin.reporting.sections import exploration
from eosin.reporting.sections.exploration import MOST_ROWS
from eosin.reporting.style import (
    COLOURS,
    INK,
    RenderedFigure,
    house_style,
    new_figure,
    render_figure,
    series_label,
)
from eosin.reporting.train_test_overlap import threshold_text, units
from eosin.runs.finished import FinishedRun

#: With more classes than this, the matrix carries no numbers.
_MOST_NUMBERED = 12
#: With more classes than this, the axes name only some.
_MOST_NAMED = 40
#: Heading of metrics at thresholds that differ between folds.
_FOLDS_THRESHOLDS = "At each fold's tuned threshold"
#: Metrics that compare ensemble members.
_OF_MEMBERS = HEADLINE[:3]


@dataclass(frozen=True, eq=False)
class Scores:
    """Predictions of one split.

    Attributes:
        split: Name of the split.
        class_names: Class names, C.
        positive: Index of the positive class; ``None`` without one.
        targets: Class indices, shape (N,).
        probabilities: Probabilities, shape (N, C).
        groups: Group numbers, shape (N,).
    """

    split: str
    class_names: tuple[str, ...]
    positive: int | None
    targets: IntArray
    probabilities: FloatArray
    group_codes: IntArray

    @cached_property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.group_codes.max()) + 1

    @property
    def evaluated_classes(self) -> tuple[int, ...]:
        """The positive class, or all without one."""
        return tuple(range(len(self.class_names))) if self.positive is None else (self.positive,)

    @property
    def right(self) -> BoolArray:
        """Correctness of the most probable class, shape (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.targets)

    def is_mixed(self, index: int) -> bool:
        """Return True if there are images of this class and of others."""
        n = int((self.targets == index).sum())
        return 0 < n < len(self.targets)


def scores_of(run: FinishedRun) -> Scores | None:
    """Return the evaluated split's predictions; ``None`` if the run has none."""
    frame = run.predictions
    if frame is None:
        return None
    names = run.class_names
    index = {name: position for position, name in enumerate(names)}
    known = frame[frame["label"].isin(index)]
    if not len(known):
        return None
    positive = run.evaluated.positive
    return Scores(
        split=run.split,
        class_names=names,
        positive=None if positive is None else index[positive],
        targets=np.array([index[label] for label in known["label"]], dtype=np.int64),
        probabilities=known[[PREFIX + name for name in names]].to_numpy(dtype=np.float64),
        group_codes=encode(known["group"]),
    )


def confusion_figure(confusion: Confusion) -> RenderedFigure:
    """Draw the confusion matrix: counts, shaded by the share of their true class."""
    matrix = np.array(confusion.matrix, dtype=np.int64)
    n = len(matrix)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    with house_style():
        side = min(9.2, max(4.6, 2.4 + 0.34 * n))
        figure, axes = new_figure(side, side)
        shades = LinearSegmentedColormap.from_list("eosin", ["#ffffff", COLOURS[0]])
        axes.imshow(shares, cmap=shades, vmin=0, vmax=1)
        if n <= _MOST_NUMBERED:
            _number_cells(axes, matrix, shares)
        _name_axes(axes, confusion.labels)
        return render_figure(
            figure,
            "confusion",
            alt=_alt(confusion.labels, matrix, shares),
            caption="Images by true and predicted class (the most probable one)."
            " Shading: share of the true class.",
        )


def _number_cells(axes: Axes, matrix: IntArray, shares: FloatArray) -> None:
    n = len(matrix)
    for row, column in np.ndindex(*matrix.shape):
        colour = "white" if shares[row, column] > 0.55 else INK
        text = count(int(matrix[row, column]))
        if n <= 4:
            text += "\n" + percent(float(shares[row, column]), 0)
        size = 12 if n <= 4 else 9.5 if n <= 8 else 8
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


def _name_axes(axes: Axes, labels: list[str]) -> None:
    n = len(labels)
    every = -(-n // _MOST_NAMED)
    ticks = list(range(0, n, every))
    names = [series_label(labels[tick], 20 if n <= 4 else 16) for tick in ticks]
    size = 9 if n <= 16 else 7
    longest = max(len(name) for name in names)
    slanted = longest > 12 or (n > 3 and longest > 3)
    axes.set_xticks(ticks, names, fontsize=size, rotation=45 if slanted else 0)
    if slanted:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names, fontsize=size)
    axes.grid(visible=False)
    axes.set_xticks(np.arange(n - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(n - 1) + 0.5, minor=True)
    axes.grid(visible=True, which="minor", color="white", linewidth=2 if n <= 8 else 0.6)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(True)
    axes.set_title("Confusion matrix")
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class")


def _alt(labels: list[str], matrix: IntArray, shares: FloatArray) -> str:
    rows = [
        f"of {quantity(int(matrix[row].sum()), 'image')} of {name}, {count(int(matrix[row, row]))} "
        f"({number(float(shares[row, row]))}) were recognised"
        for row, name in enumerate(labels[:12])
    ]
    return f"Confusion matrix: {'; '.join(rows)}."


def headline_tables(run: FinishedRun) -> list[Table]:
    """Build the metric tables of the evaluated split: by image, and by patient if known."""
    evaluated = run.evaluated
    blocks = {"Most probable class": evaluated.image}
    if threshold_text(run):
        value = evaluated.threshold.value
        at = f"At the tuned threshold {number(value)}" if value is not None else _FOLDS_THRESHOLDS
        blocks[at] = evaluated.at_threshold
    caption = f"Metrics of {units(run)} with 95 % intervals"
    kind = (
        f"; positive class: {evaluated.positive}."
        if evaluated.positive is not None
        else "; means over the classes, one against the rest."
    )
    votes = votes_table(run)
    return [headline_table(caption + kind, blocks), *([votes] if votes else [])]


def other_tables(run: FinishedRun) -> list[Table]:
    """Build a metric table for each other split of the run."""
    at = "At the tuned threshold"
    return [
        headline_table(
            f"Split “{name}”: {block.n_images:,} images in {block.n_groups:,} groups.",
            {
                "Most probable class": block.image,
                **({at: block.at_threshold} if threshold_text(run) else {}),
            },
        )
        for name, block in run.metrics.items()
        if name != run.split
    ]


def part_tables(run: FinishedRun) -> list[Table]:
    """Build the metric tables by class, magnification, site and subtype, where known."""
    evaluated = run.evaluated
    tables = [
        block_table(
            "Each class against the rest.",
            "Class",
            evaluated.by_class,
            BY_CLASS,
            exploration.sizes_by(run, "label"),
        ),
        block_table(
            "By magnification.",
            "Magnification",
            {
                times(key): evaluated.by_magnification[key]
                for key in sorted(evaluated.by_magnification, key=exploration.magnification_order)
            },
            OF_PARTS,
            exploration.sizes_by(run, "magnification", write=times),
        ),
        block_table(
            "By site.", "Site", evaluated.by_site, OF_PARTS, exploration.sizes_by(run, "site")
        ),
        block_table(
            "By subtype.",
            "Subtype",
            evaluated.by_subtype,
            OF_ONE_CLASS,
            exploration.sizes_by(run, "subtype"),
        ),
    ]
    return [table for table in tables if table is not None]


def votes_table(run: FinishedRun) -> Table | None:
    """Build the table of metrics by patient; ``None`` if there are none.

    A vote is right or wrong for a whole patient: Wilson's interval, which needs no resampling,
    stands beside the clustered one.
    """
    blocks, notes = run.evaluated.patient, Footnotes()
    if all(metric.value is None for metric in blocks.values()):
        return None
    has_wilson = any(metric.wilson for metric in blocks.values())
    rows = []
    for name, metric in blocks.items():
        n = metric.n if metric.n is not None else run.evaluated.n_patients
        shown = [Cell(count(n) if n is not None and metric.value is not None else ABSENT)]
        shown.append(notes.cell(metric))
        if has_wilson:
            shown.append(Cell("–".join(map(number, metric.wilson)) if metric.wilson else ABSENT))
        rows.append((Cell(metric_label(name)), *shown))
    wilson = ("Wilson's interval",) if has_wilson else ()
    columns = ("Metric", "Patients", "Value with 95 % interval", *wilson)
    return Table("The same by patient.", columns, tuple(rows), notes.notes)


def patients_table(run: FinishedRun) -> tuple[Table | None, int]:
    """Build the table of patients by recognition rate, the worst first, and count those left out.

    The table is ``None`` if patients are unknown.
    """
    frame = run.predictions
    if frame is None or not (frame["patient"] != "").any():
        return None, 0
    frame = frame[frame["patient"] != ""]
    right = (frame["label"] == frame["predicted"]).rename("right")
    groups = pd.concat([frame[["patient", "label"]], right], axis=1).groupby("patient")
    summary = groups.agg(
        labels=("label", lambda labels: ", ".join(sorted(set(labels)))),
        n=("right", "size"),
        right=("right", "sum"),
    )
    summary["rate"] = summary["right"] / summary["n"]
    summary = summary.sort_values(["rate", "n"], ascending=[True, False], kind="stable")
    rows = [
        (str(row.Index), row.labels, int(row.n), int(row.right), number(float(row.rate)))
        for row in summary.head(MOST_ROWS).itertuples()
    ]
    table = text_table(
        "Patients by recognition rate (the share of a patient's images that are right),"
        " the hardest first.",
        ("Patient", "Class", "Images", "Right", "Rate"),
        rows,
        texts=(0, 1),
    )
    return table, max(0, len(summary) - MOST_ROWS)


def members_of(run: FinishedRun) -> list[EnsembleMember]:
    """Return the members of an ensemble of finished runs; empty for any other run."""
    return run.model.members if run.model else []


def members_table(run: FinishedRun) -> Table | None:
    """Build the table of members beside the ensemble; ``None`` if the run is no ensemble."""
    members, notes = members_of(run), Footnotes()
    if not members:
        return None
    rows = [
        (
            Cell(member.run),
            Cell(member_network(member)),
            Cell(f"{member.input_px[0]} px"),
            Cell(count(member.params)),
            *(notes.cell(member.metrics.get(name)) for name in _OF_MEMBERS),
        )
        for member in members
    ]
    mean = Cell("Their mean"), Cell("ensemble"), Cell(f"{max(m.input_px[0] for m in members)} px")
    weights = Cell(count(sum(member.params for member in members)))
    rows.append(
        (*mean, weights, *(notes.cell(run.evaluated.image.get(name)) for name in _OF_MEMBERS))
    )
    names = [metric_label(name, short=True) for name in _OF_MEMBERS]
    columns = ("Run", "Network", "Input", "Weights", *names)
    caption = "The members and the mean of their probabilities, evaluated on the same images."
    return Table(caption, columns, tuple(rows), notes.notes, texts=frozenset({0, 1}))


def member_network(member: EnsembleMember) -> str:
    """Return the name of a member's network; cross-validation is several of a kind."""
    if member.architecture == "ensemble":
        return f"{member.arguments['members']} × {member.arguments['architecture']}"
    return member.architecture
