"""Values of a reproduction: each printed one beside ours, with its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from eosin.artifacts.layout import AS_PUBLISHED, STRICT
from eosin.artifacts.metrics import Metric
from eosin.artifacts.reproduction import ReproducedDemand, ReproducedRun, ReproducedValue
from eosin.core.text import duration, percent, quantity
from eosin.papers import Cell, Demand, Item, Paper
from eosin.reproduction.jobs import Job, Size, full_recipe
from eosin.reproduction.quantities import TIMED, is_of_network, kind_of, measure, network_facts
from eosin.reproduction.verdicts import Verdict, compare_with_printed, named, recompute
from eosin.runs.finished import FinishedRun


@dataclass(frozen=True, eq=False)
class Outcome:
    """A job and what became of it.

    Attributes:
        root: Folder of the reproduction.
        failure: Why there is no run; empty if there is one.
    """

    job: Job
    root: Path
    failure: str = ""

    @cached_property
    def run(self) -> FinishedRun | None:
        """The finished run; None without one."""
        return None if self.failure else FinishedRun(self.root / self.job.folder)

    @cached_property
    def differs(self) -> dict[str, str]:
        """Differences from the paper's experiment by kind, the number of images included."""
        found, wanted = dict(self.job.differs), self.job.images
        if self.run is None:
            return found
        texts = [found.get("data", "")]
        if n_skipped := len(self.run.skipped):
            texts.append(f"{quantity(n_skipped, 'image')} could not be read")
        images = measure(self.run, "images").value
        if None not in (images, wanted) and images != wanted:
            texts.append(f"{images:,.0f} images (paper: {wanted:,})")
        if any(texts):
            found["data"] = "; ".join(filter(None, texts))
        return found

    def describe(self) -> ReproducedRun:
        """Return the entry of the document."""
        job, run = self.job, self.run
        entry = ReproducedRun(
            experiment=job.experiment.name,
            protocol=job.protocol,
            recipe=job.experiment.recipe,
            failure=self.failure,
            differs=self.differs,
        )
        if run is None:
            return entry
        environment, split = run.environment, run.evaluated
        return entry.model_copy(
            update={
                "folder": job.folder.as_posix(),
                "n_images": split.n_images,
                "n_patients": split.n_patients,
                "epochs": measure(run, "epochs").value,
                "input_px": run.model.preprocessing.input_px[0] if run.model else None,
                "seconds": measure(run, "seconds").value,
                "seed": environment.seed if environment else None,
                "git": environment.git if environment else None,
            }
        )


#: Outcomes by experiment and protocol.
Outcomes = Mapping[tuple[str, str], Outcome]


def evaluate_items(
    paper: Paper, items: Sequence[Item], outcomes: Outcomes, size: Size
) -> list[ReproducedValue]:
    """Return the values of some tables and figures."""
    facts: dict[str, dict[str, float]] = {}
    return [
        _evaluate(paper, item, cell, outcomes, size, facts) for item in items for cell in item.cells
    ]


def _evaluate(
    paper: Paper,
    item: Item,
    cell: Cell,
    outcomes: Outcomes,
    size: Size,
    facts: dict[str, dict[str, float]],
) -> ReproducedValue:
    recomputed = recompute(cell.recomputed) if cell.recomputed else None
    published: Metric | None
    strict: Metric | None
    if is_of_network(cell.quantity):
        published = strict = _of_network(paper, cell, facts)
        verdict = compare_with_printed(cell, published, recomputed=recomputed)
    else:
        published, strict = (
            _measure(outcomes.get((cell.experiment, protocol)), cell.quantity)
            for protocol in (AS_PUBLISHED, STRICT)
        )
        verdict = _verdict(paper, cell, outcomes, published, recomputed)
    if size == "quick":
        verdict = Verdict("")
    return ReproducedValue(
        item=item.id,
        row=cell.row,
        column=cell.column,
        printed=f"{cell.printed} {cell.unit}".strip() if cell.printed else "",
        recomputed=recomputed,
        as_published=published,
        strict=strict,
        verdict=verdict.verdict,
        reason=verdict.reason,
    )


def _of_network(paper: Paper, cell: Cell, facts: dict[str, dict[str, float]]) -> Metric:
    """Return a count of the paper's network, which needs no training."""
    name = cell.experiment
    if name not in facts:
        facts[name] = network_facts(full_recipe(paper.experiment(name)))
    value = facts[name].get(cell.quantity)
    reason = None if value is not None else f"the network has no {cell.quantity}"
    return Metric(value=value, reason=reason)


def _measure(outcome: Outcome | None, quantity: str) -> Metric | None:
    if outcome is None or outcome.run is None:
        return None
    return measure(outcome.run, quantity)


def _verdict(
    paper: Paper, cell: Cell, outcomes: Outcomes, ours: Metric | None, recomputed: float | None
) -> Verdict:
    outcome = outcomes.get((cell.experiment, AS_PUBLISHED))
    is_unclear = bool(cell.experiment) and paper.experiment(cell.experiment).unclear
    return compare_with_printed(
        cell,
        ours,
        recomputed=recomputed,
        differs=outcome.differs if outcome else {},
        unclear=is_unclear,
        failure=outcome.failure if outcome else "",
    )


def check_demand(demand: Demand, outcomes: Outcomes) -> ReproducedDemand:
    """Return whether a requirement of the paper is met under both protocols."""
    published, strict = (
        "; ".join(filter(None, (_met(demand, outcomes, one), _changed(demand, outcomes, one))))
        for one in (AS_PUBLISHED, STRICT)
    )
    return ReproducedDemand(
        name=demand.name, place=demand.place, as_published=published, strict=strict
    )


def _changed(demand: Demand, outcomes: Outcomes, protocol: str) -> str:
    """Name what differs from the paper's experiments, of all that a requirement compares."""
    names = (demand.experiment, *demand.against)
    found = [one for name in names if (one := outcomes.get((name, protocol))) is not None]
    kinds = named(dict.fromkeys(kind for one in found if one.run for kind in one.differs))
    return f"differs from the paper: {', '.join(kinds)}" if kinds else ""


def _met(demand: Demand, outcomes: Outcomes, protocol: str) -> str:
    mine, *others = (
        _measure(outcomes.get((name, protocol)), demand.quantity)
        for name in (demand.experiment, *demand.against)
    )
    if mine is None or mine.value is None:
        return ""
    if demand.less_by is None:
        answer = "met" if _is_met(demand, mine.value) else "not met"
        shown = _in_words(mine.value, demand.quantity)
        if mine.low is None or mine.high is None:
            return f"{answer}: {shown}"
        if _is_met(demand, mine.low) != _is_met(demand, mine.high):
            answer += ", within noise"
        return f"{answer}: {shown} ({100 * mine.low:.1f}–{100 * mine.high:.1f})"
    known = [other.value for other in others if other is not None and other.value]
    if not known:
        return ""
    less = 1 - mine.value / min(known)
    return f"{'met' if less >= demand.less_by else 'not met'}: {100 * less:.0f} % less"


def _is_met(demand: Demand, value: float) -> bool:
    return (demand.above is None or value > demand.above) and (
        demand.below is None or value < demand.below
    )


def _in_words(value: float, quantity: str) -> str:
    kind = kind_of(quantity)
    if kind == "file_bytes":
        return f"{value / 1e6:.2f} MB"
    if kind in TIMED:
        return f"{1e3 * value:.2f} ms" if value < 0.1 else duration(value)
    return percent(value, 1)
