"""Page of a reproduction: the paper's tables and figures beside ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from eosin.artifacts.layout import AS_PUBLISHED, STRICT
from eosin.artifacts.metrics import Metric
from eosin.artifacts.reproduction import STAND_IN, ReproducedRun, ReproducedValue, Reproduction
from eosin.core.text import duration, quantity
from eosin.papers import Item, Paper
from eosin.papers.schema import UNITS
from eosin.reporting.formatting import amount, metric_text
from eosin.reporting.outline import (
    Block,
    Cell,
    Facts,
    Figures,
    Page,
    Points,
    RenderedFigure,
    Section,
    Table,
    Text,
    make_table,
)
from eosin.reproduction.verdicts import EXACTLY, REPRODUCED, VERDICTS

_COLUMNS = (
    "", "Printed", "Recomputed from the paper", "Ours, as published", "Ours, strict",
    "Verdict and notes",
)  # fmt: skip
#: Those of text.
_TEXTS = {0, 5}
_SIZES = {
    "full": "",
    "reduced": "Reduced for two cores without a GPU: smaller images, fewer epochs or repetitions.",
    "quick": "A quick run, which only shows that everything works: its figures have no meaning, "
    "and there are no verdicts.",
}
#: Figures and further blocks of each item, by its name.
Drawn = Mapping[str, tuple[Sequence[RenderedFigure], Sequence[Block]]]


def reproduction_page(paper: Paper, found: Reproduction, drawn: Drawn) -> Page:
    """Return the page of a reproduction; ``drawn`` are the figures of its items."""
    items = [item for item in paper.items if item.id in found.items]
    return Page(
        kind=f"Eosin report · reproduction of {paper.id}",
        name=f"{paper.id}: {paper.title}",
        tab=f"Reproduction of {paper.id} · Eosin report",
        verdict=summary(found),
        masthead=Section("", Text(f"{paper.reference}. {paper.summary}", look="about")),
        simulated=found.simulated,
        sections=(
            Section("", *_cautions(found)),
            Section("How to read this page", *_legend()).folded(),
            Section("Experiments", *_experiments(paper, found.runs)),
            *(_item(item, found.values, *drawn.get(item.id, ((), ()))) for item in items),
            _demands(found),
            _settings(paper),
            _contradictions(paper),
            _undescribed(paper),
        ),
        footer="Created by Eosin from the run folders.",
    )


def summary(found: Reproduction) -> str:
    """Return the numbers of verdicts in a sentence."""
    if found.size == "quick":
        return "Quick run: no verdicts."
    counts = Counter(value.verdict for value in found.values)
    said = {EXACTLY: f"{EXACTLY} (counts and settings)"}
    parts = [f"{counts[name]} {said.get(name, name)}" for name in VERDICTS if counts[name]]
    n_values = sum(counts[name] for name in VERDICTS)
    return f"Of {quantity(n_values, 'printed value')}: {', '.join(parts)}."


def _cautions(found: Reproduction) -> Iterable[Text]:
    if _SIZES[found.size]:
        yield Text(_SIZES[found.size], look="caution")
    if any(run.differs.get("data", "").startswith(STAND_IN) for run in found.runs):
        yield Text(
            "The paper's data were not available. Images of another task were used instead: none "
            "of our figures is for the paper's task.",
            look="caution",
        )
    strict = [run for run in found.runs if run.protocol == STRICT and run.folder]
    if strict and all(run.n_patients is None for run in strict):
        yield Text(
            "The patients of these images are unknown: no column estimates performance on new "
            "patients.",
            look="caution",
        )


def _legend() -> Iterable[str]:
    yield (
        "Each row has a printed value, the same value recomputed from other numbers in the paper "
        "(if there are any), our value under the paper's own protocol, and our value under the "
        "strict protocol, in which no known patient is in both training and test data. In "
        "parentheses: 95 % intervals, clustered by patient where patients are known."
    )
    yield (
        f"“{REPRODUCED.capitalize()}” requires the paper's data, split, epochs and initial "
        "weights, a printed value within our interval, and an interval of at most ±0.03. "
        f"“{EXACTLY.capitalize()}” is used for counts and settings, which do not depend on "
        "training. “Not comparable” lists the differences."
    )
    yield (
        f"“{REPRODUCED.capitalize()}” means that we obtained the paper's number, not that this "
        "number estimates performance on new patients: under a paper's own protocol, images of one "
        "patient may be in both training and test data. The strict column is such an estimate "
        "where the table of experiments lists patients."
    )


def _experiments(paper: Paper, runs: Sequence[ReproducedRun]) -> Iterable[Block | None]:
    yield make_table(
        "Trained networks.",
        (
            "Experiment", "Protocol", "Recipe", "Evaluated images", "Patients", "Epochs",
            "Input (px)", "Time", "Run",
        ),
        [_run_row(paper, run) for run in runs],
        texts=(0, 1, 2, 8),
        look="many",
        name="experiments",
    )  # fmt: skip
    seeds = {run.seed for run in runs if run.seed is not None}
    if seeds:
        yield f"Seed: {', '.join(map(str, sorted(seeds)))}."
    differs = {
        paper.experiment(run.experiment).title: "; ".join(
            f"{kind}: {text}" for kind, text in run.differs.items()
        )
        for run in runs
        if run.protocol == AS_PUBLISHED and run.differs
    }
    title = "Differences from the paper's experiments"
    yield Section(title, Facts(list(differs.items())), fold="closed")


def _run_row(paper: Paper, run: ReproducedRun) -> tuple[str | int | Cell | None, ...]:
    experiment = paper.experiment(run.experiment)
    link = Cell("report", href=f"{run.folder}/report.html") if run.folder else run.failure
    return (
        experiment.title,
        run.protocol.replace("-", " "),
        run.recipe or f"mean of {', '.join(experiment.members)}",
        run.n_images,
        run.n_patients,
        None if run.epochs is None else amount(run.epochs, 0),
        run.input_px,
        None if run.seconds is None else duration(run.seconds),
        link,
    )


def item_name(item: Item) -> str:
    """Return the name of a table or figure: ``Table 3.1``."""
    kind, _, number = item.id.partition("-")
    return f"{kind.capitalize()} {number.replace('-', ', ')}".strip()


def _item(
    item: Item,
    values: Sequence[ReproducedValue],
    figures: Sequence[RenderedFigure],
    blocks: Sequence[Block],
) -> Section:
    return Section(
        f"{item_name(item)}: {item.title}",
        Text(item.note),
        Text(f"{item.status.capitalize()}; {item.place}.") if item.status else None,
        _values_table(item, [value for value in values if value.item == item.id]),
        Figures(*figures),
        *blocks,
        nav=item_name(item),
    )


def _values_table(item: Item, values: Sequence[ReproducedValue]) -> Table | None:
    rows = [
        (
            " · ".join(filter(None, (value.row, value.column))),
            value.printed or None,
            _number(value.recomputed, value.printed, cell.unit),
            _measured(value.as_published, value.printed, cell.unit),
            _measured(value.strict, value.printed, cell.unit),
            _verdict_text(value, cell.note),
        )
        for cell, value in zip(item.cells, values, strict=True)
    ]
    # Most tables have nothing to recompute, and the quick form no verdicts.
    kept = [n for n in range(len(_COLUMNS)) if n == 0 or any(row[n] for row in rows)]
    columns = [_COLUMNS[n] for n in kept]
    texts = [place for place, n in enumerate(kept) if n in _TEXTS]
    return make_table(
        f"{item.place}.",
        columns,
        [[row[n] for n in kept] for row in rows],
        texts=texts,
        name=item.id,
    )


def _verdict_text(value: ReproducedValue, note: str) -> str:
    """Return verdict and reason, and the note on the printed value where it is not the reason."""
    found = ": ".join(filter(None, (value.verdict, value.reason)))
    return " · ".join(filter(None, (found, "" if note in value.reason else note)))


def _number(value: float | None, printed: str, unit: str) -> str | None:
    """Return a number in the unit of the printed value, with as many decimals."""
    if value is None:
        return None
    decimals = len(printed.partition(" ")[0].partition(".")[2])
    return f"{value / UNITS[unit]:,.{max(decimals, int(unit == '%'))}f} {unit}".strip()


def _measured(metric: Metric | None, printed: str, unit: str) -> str | None:
    if metric is None or metric.value is None:
        return None
    text = _number(metric.value, printed, unit)
    if metric.low is None or metric.high is None:
        return text
    if unit != "%":
        return metric_text(metric)
    low, high = (f"{100 * end:.1f}" for end in (metric.low, metric.high))
    return f"{text} ({low}–{high})"


def _demands(found: Reproduction) -> Section:
    rows = [
        (one.name, one.place, one.as_published or None, one.strict or None) for one in found.demands
    ]
    table = make_table(
        "Requirements that the paper sets for its model, and whether ours meets them. Within "
        "noise: the 95 % interval contains the limit.",
        ("Requirement", "Place", "As published", "Strict"),
        rows,
        texts=range(4),
        name="requirements",
    )
    return Section("Requirements of the paper", table, nav="Requirements")


def _settings(paper: Paper) -> Section:
    rows = [
        (
            setting.name,
            setting.printed or None,
            setting.place or None,
            f"{setting.key} = {setting.value}" if setting.key else None,
            setting.reading,
        )
        for setting in paper.settings
    ]
    table = make_table(
        "Settings in the paper and in the recipes, and our reading where the paper is unclear.",
        ("Setting", "Printed", "Place", "Recipe", "Our reading"),
        rows,
        texts=range(5),
        look="many",
        name="settings",
    )
    return Section("Settings", table, fold="closed")


def _contradictions(paper: Paper) -> Section:
    rows = [(one.place, one.text, one.resolution) for one in paper.contradictions]
    table = make_table(
        "Contradictions within the paper, and the reading used here.",
        ("Place", "Contradiction", "Used here"),
        rows,
        texts=range(3),
        look="many",
        name="contradictions",
    )
    return Section("Contradictions within the paper", table, fold="closed")


def _undescribed(paper: Paper) -> Section:
    return Section(
        "Not described", Points([Cell(text) for text in paper.undescribed]), fold="closed"
    )


def terminal_lines(found: Reproduction) -> list[str]:
    """Return the result for the terminal: the summary, and what could not be trained."""
    failed = [run for run in found.runs if run.failure]
    return [
        summary(found),
        *(f"not trained  {run.experiment}, {run.protocol}: {run.failure}" for run in failed),
    ]
