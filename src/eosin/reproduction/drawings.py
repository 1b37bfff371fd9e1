"""Drawings of a paper's tables and figures, from the runs of a reproduction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.axes import Axes

from eosin.artifacts.comparison import Comparison
from eosin.artifacts.layout import AS_PUBLISHED, STRICT
from eosin.papers import Cell, Item
from eosin.reporting.outline import Block, RenderedFigure, Section, prefixed
from eosin.reporting.sections import data, magnifications, ranges
from eosin.reporting.sections.confusion import confusion_figure
from eosin.reporting.sections.curves import banded_roc, overlaid_roc
from eosin.reporting.sections.learning import learning_figures
from eosin.reporting.sections.model import layers_table
from eosin.reporting.sections.training import history_table
from eosin.reporting.style import COLOURS, INK, MARKERS, MUTED, drawing, render_figure
from eosin.reporting.thumbnails import tiles
from eosin.reproduction.feature_maps import feature_map_figures
from eosin.reproduction.quantities import measure
from eosin.reproduction.values import Outcome, Outcomes
from eosin.runs.comparison import learning_curves
from eosin.runs.finished import FinishedRun

#: Names of drawings that need a comparison of several runs.
JOINT = {"range_test"}
_PROTOCOLS = {AS_PUBLISHED: "As published", STRICT: "Strict"}


@dataclass(frozen=True)
class Drawing:
    """Inputs of a drawing: an item, its runs and their comparisons.

    Attributes:
        item: The table or figure.
        outcomes: The finished runs of its experiments.
        comparisons: Of those runs, by protocol, where there are several.
    """

    item: Item
    outcomes: Sequence[Outcome]
    comparisons: Mapping[str, Comparison]

    def titled(self) -> Iterable[tuple[str, FinishedRun]]:
        """Yield each run with its title, one for both protocols once."""
        for outcome in self.outcomes:
            if outcome.run is not None and not outcome.job.is_repeated:
                yield outcome.job.label, outcome.run


def draw(
    item: Item, outcomes: Outcomes, comparisons: Mapping[str, Comparison]
) -> tuple[list[RenderedFigure], list[Block]]:
    """Return the figures and further blocks that an item asks for."""
    finished = [
        outcome
        for (name, _), outcome in outcomes.items()
        if name in item.needs() and outcome.run is not None
    ]
    figures: list[RenderedFigure] = []
    blocks: list[Block] = []
    for name in item.draw:
        for block in (
            DRAWINGS[name](Drawing(item, finished, comparisons))
            if finished and name in DRAWINGS
            else ()
        ):
            if isinstance(block, RenderedFigure):
                figures.append(block)
            else:
                blocks.append(block)
    own = item.id.replace(".", "-")
    named = [
        replace(figure, name=f"{own}-{number}-{figure.name}")
        for number, figure in enumerate(figures, start=1)
    ]
    return named, [
        prefixed(block, f"{own}-{number}-") for number, block in enumerate(blocks, start=1)
    ]


Drawn = Iterable[RenderedFigure | Block]


def _thumbnails(**titles: str) -> Callable[[Drawing], Drawn]:
    """Return a drawing of the thumbnails of some roles, of one experiment as published."""

    def draw_them(drawing_: Drawing) -> Drawn:
        _, run = next(iter(drawing_.titled()))
        for role, title in titles.items():
            yield Section(title, tiles(run, role))

    return draw_them


def _feature_maps(drawing_: Drawing) -> Drawn:
    for _, run in drawing_.titled():
        if figures := feature_map_figures(run):
            return figures
    return ()


def _printed_bars(drawing_: Drawing) -> Drawn:
    """Draw the printed values, and ours with their intervals where they were measured."""
    cells = [cell for cell in drawing_.item.cells if cell.value is not None and cell.unit == "%"]
    if not cells:
        return
    rows = {f"{cell.row} {cell.column}".strip(): cell for cell in cells}
    with drawing(6.4, 0.42 * len(rows) + 1.2) as (figure, axes):
        for place, cell in enumerate(rows.values()):
            printed = 100 * (cell.value or 0.0)
            label = "Printed" if place == 0 else None
            axes.plot(printed, place, "|", color=INK, markersize=16, markeredgewidth=2, label=label)
        for order, (protocol, title) in enumerate(_PROTOCOLS.items()):
            _plot_ours(axes, drawing_, rows, protocol, title, order)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel("Per cent, with 95 % interval")
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_color(MUTED)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderpad=0)
        alt = "; ".join(f"{name}: {cell.printed} %" for name, cell in rows.items())
        yield render_figure(
            figure, "printed", alt=f"Printed values: {alt}.", caption="Printed values and ours."
        )


def _plot_ours(
    axes: Axes, drawing_: Drawing, rows: Mapping[str, Cell], protocol: str, title: str, order: int
) -> None:
    runs = {o.job.experiment.name: o.run for o in drawing_.outcomes if o.job.protocol == protocol}
    label: str | None = f"{title}, ours"
    for place, cell in enumerate(rows.values()):
        run = runs.get(cell.experiment)
        metric = measure(run, cell.quantity) if run is not None else None
        if metric is None or metric.value is None:
            continue
        y = place + 0.18 * (2 * order - 1)
        if metric.low is not None and metric.high is not None:
            axes.plot((100 * metric.low, 100 * metric.high), (y, y), color=COLOURS[order])
        look: Any = {"color": COLOURS[order], "marker": MARKERS[order], "linestyle": ""}
        axes.plot(100 * metric.value, y, label=label, **look)
        label = None


def _by_protocol(drawing_: Drawing) -> Iterable[tuple[str, dict[str, FinishedRun]]]:
    """Yield the runs of each protocol by the titles of their experiments."""
    for protocol, title in _PROTOCOLS.items():
        runs = {
            o.job.experiment.title: o.run
            for o in drawing_.outcomes
            if o.job.protocol == protocol and o.run is not None and not o.job.is_repeated
        }
        if runs:
            yield title, runs


def _curves(*names: str) -> Callable[[Drawing], Drawn]:
    """Return a drawing of learning curves: of one experiment, or of several over each other."""

    def draw_them(drawing_: Drawing) -> Drawn:
        for title, runs in _by_protocol(drawing_):
            curves = {name: learning_curves(run) for name, run in runs.items()}
            known = {name: found for name, found in curves.items() if found}
            for figure in learning_figures(known, names) if known else ():
                yield _captioned(figure, title)

    return draw_them


def _confusion(drawing_: Drawing) -> Drawn:
    for title, runs in _by_protocol(drawing_):
        matrices = {name: run.evaluated.confusion for name, run in runs.items()}
        yield _captioned(confusion_figure(matrices), title)


def _roc(drawing_: Drawing) -> Drawn:
    for title, runs in _by_protocol(drawing_):
        lines = [line for name, run in runs.items() if (line := banded_roc(name, run))]
        figure = overlaid_roc(lines, "roc", "ROC curves of the evaluated images.")
        if figure is not None:
            yield _captioned(figure, title)


def _by_magnification(
    name: str, single: Callable[[Drawing], Drawn] | None = None
) -> Callable[[Drawing], Drawn]:
    """Return a drawing of one of a run's figures by magnification, by its name.

    ``single`` draws the same of all images, for data of one magnification.
    """

    def draw_it(drawing_: Drawing) -> Drawn:
        drawn = False
        for title, run in drawing_.titled():
            for figure in magnifications.figures(run).items:
                if figure.name == name:
                    drawn = True
                    yield _captioned(figure, title)
        if not drawn and single is not None:
            yield from single(drawing_)

    return draw_it


def _captioned(figure: RenderedFigure, title: str) -> RenderedFigure:
    """Return a figure whose caption and text alternative begin with the protocol."""
    slug = title.lower().replace(" ", "-")
    return replace(
        figure,
        name=f"{figure.name}-{slug}",
        alt=f"{title}. {figure.alt}",
        caption=f"{title}. {figure.caption}",
    )


def _right_and_wrong(drawing_: Drawing) -> Drawn:
    for title, run in drawing_.titled():
        yield Section(f"{title}: correct predictions", tiles(run, "correct"))
        yield Section(f"{title}: wrong predictions", tiles(run, "mistake"))


def _layer_table(drawing_: Drawing) -> Drawn:
    _, run = next(iter(drawing_.titled()))
    yield layers_table(run) or "This run has no table of layers."


def _history_table(drawing_: Drawing) -> Drawn:
    _, run = next(iter(drawing_.titled()))
    yield history_table(run) or "This run has no history."


def _range_test(drawing_: Drawing) -> Drawn:
    for protocol, comparison in drawing_.comparisons.items():
        yield Section(_PROTOCOLS[protocol], *ranges.section(comparison).content)


def _label_distribution(drawing_: Drawing) -> Drawn:
    _, run = next(iter(drawing_.titled()))
    if (figure := data.distribution_figure(run)) is not None:
        yield figure
    yield data.section(run)


#: Drawing of each name that a paper's file may ask for.
DRAWINGS: dict[str, Callable[[Drawing], Drawn]] = {
    "samples": _thumbnails(example="Images"),
    "samples_by_magnification": _thumbnails(example="Images"),
    "augmented": _thumbnails(augmented="Augmented training images"),
    "stain": _thumbnails(before="Before stain normalisation", example="After stain normalisation"),
    "curves": _curves("accuracy", "loss"),
    "accuracy_curves": _curves("accuracy"),
    "loss_curves": _curves("loss"),
    "confusion": _confusion,
    "roc": _roc,
    "bars_by_magnification": _by_magnification("magnification_metrics"),
    "confusion_by_magnification": _by_magnification("magnification_confusion", _confusion),
    "roc_by_magnification": _by_magnification("magnification_roc", _roc),
    "right_and_wrong": _right_and_wrong,
    "layer_table": _layer_table,
    "history_table": _history_table,
    "range_test": _range_test,
    "feature_maps": _feature_maps,
    "printed_bars": _printed_bars,
    "label_distribution": _label_distribution,
}
