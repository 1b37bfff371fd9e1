"""One model under two splits, strict and as published, and the difference between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eosin.artifacts.layout import AS_PUBLISHED, STRICT
from eosin.artifacts.metrics import Metric
from eosin.core.text import count, quantity
from eosin.core.types import Estimate
from eosin.metrics.catalogue import COMPARED, LEADING, MAIN_METRICS
from eosin.reporting.formatting import (
    capitalised,
    metric_label,
    metric_text,
    number,
    share,
    signed,
)
from eosin.reporting.outline import (
    Cell,
    Figures,
    Page,
    Points,
    RenderedFigure,
    Section,
    Table,
    make_table,
)
from eosin.reporting.sections import audit
from eosin.reporting.sections.curves import banded_roc, overlaid_roc
from eosin.reporting.sections.results import Series, interval_figure
from eosin.reporting.train_test_overlap import (
    TrainTestOverlap,
    leading_name,
    train_test_overlap,
    unit_name,
)
from eosin.runs.comparison import compare_splits
from eosin.runs.finished import FinishedRun


@dataclass(frozen=True, eq=False)
class Protocol:
    """Run under one of the two splits; ``seen`` is its train-test overlap, None if unknown."""

    key: str
    label: str
    run: FinishedRun
    seen: TrainTestOverlap | None


def protocol(key: str, run: FinishedRun) -> Protocol:
    """Return a run with its overlap; ``key`` is the name of its folder."""
    labels = {
        STRICT: f"Strict split, by {unit_name(run)}",
        AS_PUBLISHED: "As published, by image",
    }
    return Protocol(key, labels[key], run, train_test_overlap(run))


def protocols_page(name: str, strict: Protocol, published: Protocol) -> Page:
    """Return the page of both splits; ``name`` is its title."""
    both = (strict, published)
    gaps = compare_splits(strict.run, published.run)
    words, figures = _meaning(strict, published, gaps), Figures(chart(both), _roc(both))
    links = [Cell(p.label, href=f"{p.key}/{p.run.folder.report.name}") for p in both]
    leaks = (
        Section(p.label, _leak_words(p), *audit.findings(p.run)).prefixed(f"{p.key}_") for p in both
    )
    return Page(
        kind="Eosin report · one model, two splits",
        name=name,
        tab=f"{name}: one model, two splits · Eosin report",
        verdict=_protocols_verdict(strict, published),
        simulated=any(protocol.run.simulated for protocol in both),
        sections=(
            Section("Interpretation", *words, figures),
            Section("Metrics", _size_table(both), _metric_table(both, gaps)),
            Section("Train-test overlap", *leaks, nav="Overlap"),
            Section("Reports of both runs", Points(links), nav="Both runs"),
        ),
        footer="Created by Eosin from the two run folders.",
    )


def chart(both: Sequence[Protocol], title: str = "") -> RenderedFigure | None:
    """Draw the metrics of both splits with their intervals."""
    return interval_figure(
        [Series(protocol.label, protocol.run.evaluated.image) for protocol in both],
        name="protocols",
        caption="Metrics under both splits, with 95 % intervals.",
        title=title,
        only=COMPARED,
    )


def _roc(both: Sequence[Protocol]) -> RenderedFigure | None:
    lines = [banded_roc(protocol.label, protocol.run) for protocol in both]
    drawn = [line for line in lines if line is not None]
    return overlaid_roc(drawn, "protocols_roc", "ROC curves under both splits.")


def _size_table(both: Sequence[Protocol]) -> Table | None:
    columns = [_sizes(one) for one in both]
    heads = ("", *(one.label for one in both))
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return make_table("Test data under each split.", heads, rows, name="test_data")


def _sizes(one: Protocol) -> dict[str, str | int | None]:
    evaluated, seen = one.run.evaluated, one.seen
    known = {
        "Images": evaluated.n_images,
        "Patients": evaluated.n_patients,
        "Groups": evaluated.n_groups,
        f"Test {_units(one.run)} also in training": seen.n_groups if seen else None,
        "Test images of those": seen.n_images if seen else None,
    }
    if evaluated.n_patients == evaluated.n_groups:
        del known["Groups"]
    found = len(one.run.audit.leaks) if one.run.audit else None
    sizes = {name: "unknown" if value is None else value for name, value in known.items()}
    return {**sizes, "Leaks found by the audit": found}


def _units(run: FinishedRun) -> str:
    return "groups" if unit_name(run) == "group" else "patients"


def _metric_table(both: Sequence[Protocol], gaps: Mapping[str, Estimate]) -> Table | None:
    rows = []
    for name in MAIN_METRICS:
        strict, published = (protocol.run.evaluated.image.get(name) for protocol in both)
        if strict is not None or published is not None:
            gap = _gap(gaps[name]) if name in gaps else None
            rows.append((metric_label(name), strict, published, gap))
    caption = (
        "Metrics of the most probable class with 95 % intervals. Difference: published less "
        "strict; the patients of both are resampled together."
    )
    columns = ("Metric", *(p.label for p in both), "Difference")
    return make_table(caption, columns, rows, name="metrics")


def _gap(gap: Estimate) -> str | None:
    if gap.value is None:
        return None
    if gap.low is None or gap.high is None:
        return signed(gap.value)
    return f"{signed(gap.value)} ({signed(gap.low)} to {signed(gap.high)})"


def _leading(strict: Protocol, published: Protocol) -> tuple[str, Metric, Metric] | None:
    """Return the first metric that both runs have."""
    for name in LEADING:
        a, b = (p.run.evaluated.image.get(name) for p in (strict, published))
        if a is not None and b is not None and a.value is not None and b.value is not None:
            return name, a, b
    return None


def _protocols_verdict(strict: Protocol, published: Protocol) -> str:
    """Return one sentence with both values."""
    found = _leading(strict, published)
    if found is None:
        return "The two runs have no metric in common."
    name, a, b = found
    label = leading_name(name, strict.run)
    return (
        f"{capitalised(label)} {metric_text(a)} with a split by {unit_name(strict.run)}; "
        f"{metric_text(b)} with a split by image, as published."
    )


def _meaning(strict: Protocol, published: Protocol, gaps: Mapping[str, Estimate]) -> list[str]:
    """Explain the difference in plain words."""
    found = _leading(strict, published)
    words = []
    if found is not None:
        name, a, b = found
        words.append(_difference(leading_name(name, strict.run), a, b))
        words.append(_chance(gaps.get(name)))
    same = _evaluated_paths(strict) == _evaluated_paths(published)
    words.append(
        "The strict figure estimates performance on new patients; the other one also rewards"
        " recognising a patient's slides, stain and scanner. The intervals describe sampling of"
        f" {_units(strict.run)}; they do not cover the bias of a split"
        + (". Both figures are of the same images." if same else ", and the two test sets differ.")
    )
    return words


def _evaluated_paths(protocol: Protocol) -> set[str]:
    frame = protocol.run.predictions
    return set() if frame is None else set(frame["path"])


def _difference(label: str, strict: Metric, published: Metric) -> str:
    gap = (published.value or 0.0) - (strict.value or 0.0)
    if abs(gap) < 0.0005:
        return f"Both splits give the same {label} to three decimals."
    than = f"{number(abs(gap))} {'higher' if gap > 0 else 'lower'} under the published split"
    what = ", for the same network, recipe and images"
    if gap <= 0:
        what = ": it is not optimistic here"
    return f"{capitalised(label)} is {than}{what}."


def _chance(gap: Estimate | None) -> str:
    """Return whether the interval of the difference includes 0."""
    if gap is None or gap.low is None or gap.high is None:
        return "The difference has no interval, so chance cannot be ruled out."
    ends = f"{signed(gap.low)} to {signed(gap.high)}"
    if gap.low <= 0 <= gap.high:
        return (
            f"The 95 % interval of the difference, {ends}, includes 0: at this sample size the "
            "difference may be due to chance."
        )
    return f"The 95 % interval of the difference, {ends}, excludes 0."


def _leak_words(protocol: Protocol) -> str:
    """Describe the train-test overlap of a run."""
    seen, run = protocol.seen, protocol.run
    if seen is None:
        return "This run does not record its training groups."
    unit = unit_name(run)
    if not seen.n_groups:
        return f"No test {unit} is also in training."
    n, total = seen.n_groups, run.evaluated.n_groups
    of = f" of {count(total)} ({share(n / total)})" if total else ""
    text = f"{count(n)}{of} test {unit}s are also in training"
    if seen.n_images is not None:
        text += f", with {quantity(seen.n_images, 'test image')}"
        if run.evaluated.n_images >= seen.n_images:
            text += f" ({share(seen.n_images / run.evaluated.n_images)})"
    return f"{text}."
