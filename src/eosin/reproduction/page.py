"""Page of a reproduction: the paper's tables and figures beside ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from eosin.artifacts.layout import AS_PUBLISHED, STRICT
from eosin.artifacts.metrics import Metric
from eosin.artifacts.reproduction import ReproducedValue
from eosin.core.text import duration, quantity
from eosin.papers import Demand, Item, Paper
from eosin.papers.schema import UNITS
from eosin.reporting.formatting import amount, metric_text
from eosin.reporting.outline import (
    Block,
    Cell,
    Facts,
    Figures,
    Page,
    RenderedFigure,
    Section,
    Table,
    Text,
    make_table,
)
from eosin.reproduction.drawings import draw
from eosin.reproduction.jobs import Size
from eosin.reproduction.quantities import kind_of, measure
from eosin.reproduction.values import Outcome, Outcomes
from eosin.reproduction.verdicts import EXACTLY, REPRODUCED, VERDICTS

_COLUMNS = (
    "", "Printed", "Recomputed from the paper's counts", "As published, ours", "Strict, ours",
    "Verdict",
)  # fmt: skip
_SIZES = {
    "full": "",
    "reduced": "Reduced for two cores without a GPU: smaller images, fewer epochs or rounds.",
    "quick": "A quick form that only shows that everything runs: its figures have no meaning, and "
    "there are no verdicts.",
}


def reproduction_page(
    paper: Paper,
    items: Sequence[Item],
    outcomes: Outcomes,
    values: Sequence[ReproducedValue],
    size: Size,
) -> Page:
    """Return the page of a reproduction.

    Args:
        paper: The paper.
        items: Tables and figures, in the paper's order.
        outcomes: What became of each training.
        values: The values of all items.
        size: How much was trained.
    """
    return Page(
        kind=f"Eosin report · {paper.id} reproduced",
        name=f"{paper.id}: {paper.title}",
        tab=f"{paper.id} reproduced · Eosin report",
        verdict=_summary(values, size),
        masthead=Section("", Text(f"{paper.reference}. {paper.summary}", look="about")),
        simulated=any(o.run is not None and o.run.simulated for o in outcomes.values()),
        sections=(
            Section("How to read this page", *_legend(size), nav="Reading"),
            Section("Experiments", *_experiments(outcomes)),
            *(_item(item, values, outcomes) for item in items),
            _demands(paper.demands, outcomes),
            _settings(paper),
            _contradictions(paper),
            Section(
                "Named without a description",
                "The paper names these parts and does not describe them, so that nobody can "
                "implement them: " + "; ".join(paper.undescribed) + "."
                if paper.undescribed
                else None,
                nav="Not described",
            ),
        ),
        footer="Made by Eosin from the run folders alone.",
    )


def _summary(values: Sequence[ReproducedValue], size: Size) -> str:
    if size == "quick":
        return "Quick form: no verdicts."
    counts = Counter(value.verdict for value in values)
    parts = [f"{counts[name]} {name}" for name in VERDICTS if counts[name]]
    return f"Of {quantity(len(values), 'printed value')}: {', '.join(parts)}."


def _legend(size: Size) -> Iterable[str | Text]:
    if _SIZES[size]:
        yield Text(_SIZES[size], look="caution")
    yield (
        "Each printed value stands beside the same figure recomputed from other numbers that the "
        "paper prints, beside ours under the paper's own protocol, and beside ours under the "
        "strict protocol, in which no patient is in both training and test. Brackets are 95 % "
        "intervals, clustered by patient where patients are known."
    )
    yield (
        f"“{REPRODUCED.capitalize()}” needs the paper's data, split, epochs and initial weights, a "
        "printed value within our interval, and an interval of at most ±0.03. "
        f"“{EXACTLY.capitalize()}” is said of counts and of figures that follow from the paper's "
        "own numbers. “Not comparable” lists what differs."
    )


def _experiments(outcomes: Outcomes) -> Iterable[Block | None]:
    yield make_table(
        "What was trained.",
        (
            "Experiment",
            "Protocol",
            "Recipe",
            "Evaluated images",
            "Patients",
            "Epochs",
            "Time",
            "Run",
        ),
        [_experiment_row(outcome) for outcome in outcomes.values()],
        texts=(0, 1, 2, 7),
    )
    differs = {
        o.job.experiment.title: "; ".join(f"{k}: {text}" for k, text in o.differs.items())
        for o in outcomes.values()
        if o.job.protocol == AS_PUBLISHED and o.differs
    }
    yield Section("What differs from the paper's experiments", Facts(list(differs.items())))


def _experiment_row(outcome: Outcome) -> tuple[str | int | Cell | None, ...]:
    job, run = outcome.job, outcome.run
    first = (job.experiment.title, job.protocol.replace("-", " "))
    recipe = job.experiment.recipe or f"mean of {', '.join(job.experiment.members)}"
    if run is None:
        return (*first, recipe, None, None, None, None, outcome.failure)
    split, seconds = run.evaluated, measure(run, "seconds").value
    epochs = measure(run, "epochs").value
    return (
        *first,
        recipe,
        split.n_images,
        split.n_patients,
        None if epochs is None else amount(epochs, 0),
        None if seconds is None else duration(seconds),
        Cell("report", href=f"{job.folder.as_posix()}/{run.folder.report.name}"),
    )


def _item(item: Item, values: Sequence[ReproducedValue], outcomes: Outcomes) -> Section:
    mine = [value for value in values if value.item == item.id]
    figures, tables = draw(item, outcomes)
    return Section(
        f"{_name(item)}: {item.title}",
        Text(item.note),
        Text(f"{item.status.capitalize()}; printed in {item.place}.") if item.status else None,
        _values_table(item, mine),
        Figures(*(_renamed(item, number, one) for number, one in enumerate(figures))),
        *tables,
        nav=_name(item),
    )


def _name(item: Item) -> str:
    kind, _, number = item.id.partition("-")
    return f"{kind.capitalize()} {number}".strip()


def _renamed(item: Item, number: int, figure: RenderedFigure) -> RenderedFigure:
    return replace(figure, name=f"{item.id.replace('.', '-')}-{number}-{figure.name}")


def _values_table(item: Item, values: Sequence[ReproducedValue]) -> Table | None:
    rows = [
        (
            " · ".join(filter(None, (value.row, value.column))),
            value.printed or None,
            _number(value.recomputed, value, cell.unit),
            _text(value.as_published, value, cell.unit, cell.quantity),
            _text(value.strict, value, cell.unit, cell.quantity),
            ": ".join(filter(None, (value.verdict, value.reason))),
        )
        for cell, value in zip(item.cells, values, strict=True)
    ]
    return make_table(f"{item.place}.", _COLUMNS, rows, texts=(0, 5))


def _number(value: float | None, shown: ReproducedValue, unit: str) -> str | None:
    """Return a number in the unit of the printed value, with as many decimals."""
    if value is None:
        return None
    decimals = len(shown.printed.partition(" ")[0].partition(".")[2])
    return f"{value / UNITS[unit]:,.{max(decimals, unit == '%')}f} {unit}".strip()


def _text(metric: Metric | None, shown: ReproducedValue, unit: str, quantity: str) -> str | None:
    if metric is None or metric.value is None:
        return None
    text = _number(metric.value, shown, unit)
    if metric.low is None or metric.high is None or kind_of(quantity) == "history":
        return text
    if unit != "%":
        return metric_text(metric)
    low, high = (f"{100 * end:.1f}" for end in (metric.low, metric.high))
    return f"{text} ({low}–{high})"


def _demands(demands: Sequence[Demand], outcomes: Outcomes) -> Section:
    rows = [
        (d.name, d.place, *(_met(d, outcomes, protocol) for protocol in (AS_PUBLISHED, STRICT)))
        for d in demands
    ]
    table = make_table(
        "What the paper demands of its model, met or not by ours.",
        ("Requirement", "Place", "As published", "Strict"),
        rows,
        texts=range(4),
    )
    return Section("Requirements of the paper", table, nav="Requirements")


def _met(demand: Demand, outcomes: Outcomes, protocol: str) -> str | None:
    """Return whether a requirement is met, with the measured value."""
    values = [
        _measured(outcomes, name, protocol, demand.quantity)
        for name in (demand.experiment, *demand.against)
    ]
    if values[0] is None:
        return None
    mine, others = values[0], [value for value in values[1:] if value]
    if demand.less_by is not None:
        if not others:
            return None
        less = 1 - mine / min(others)
        return f"{'met' if less >= demand.less_by else 'not met'}: {100 * less:.0f} % less"
    is_met = (demand.above is None or mine > demand.above) and (
        demand.below is None or mine < demand.below
    )
    return f"{'met' if is_met else 'not met'}: {mine:,.4g}"


def _measured(outcomes: Outcomes, name: str, protocol: str, quantity: str) -> float | None:
    outcome = outcomes.get((name, protocol))
    if outcome is None or outcome.run is None:
        return None
    return measure(outcome.run, quantity).value


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
        "What the paper prints, and what the recipes have; where it is silent, our reading.",
        ("Setting", "Printed", "Place", "Recipe", "Our reading"),
        rows,
        texts=range(5),
        look="many",
    )
    return Section("Settings", table, fold="closed")


def _contradictions(paper: Paper) -> Section:
    rows = [(one.place, one.text, one.resolution) for one in paper.contradictions]
    table = make_table(
        "What contradicts what, and what is taken.",
        ("Place", "Contradiction", "What is taken"),
        rows,
        texts=range(3),
        look="many",
    )
    return Section("Contradictions within the paper", table, nav="Contradictions")


def terminal_lines(
    values: Sequence[ReproducedValue], outcomes: Mapping[tuple[str, str], Outcome], size: Size
) -> list[str]:
    """Return the result for the terminal: the summary, and what could not be trained."""
    lines = [_summary(values, size)]
    lines += [
        f"not trained  {outcome.job.label}: {outcome.failure}"
        for outcome in outcomes.values()
        if outcome.failure
    ]
    return lines
