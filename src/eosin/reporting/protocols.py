"""HTML page of one model under two splits, strict and as published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eosin.artifacts.layout import AS_PUBLISHED, STRICT, RunFolder
from eosin.artifacts.metrics import Metric
from eosin.core.errors import ArtifactError
from eosin.core.files import write_bytes
from eosin.core.text import count, quantity
from eosin.metrics.catalogue import COMPARED, LEADING, METRIC_NAMES
from eosin.reporting.formatting import ABSENT, metric_label, metric_text, number, share, signed
from eosin.reporting.pages import write_report
from eosin.reporting.rendering import Cell, Footnotes, Table, render, write_figures, write_page
from eosin.reporting.sections import provenance
from eosin.reporting.sections.intervals import Series, interval_figure
from eosin.reporting.sections.ranking import overlaid_roc
from eosin.reporting.sections.results import scores_of
from eosin.reporting.style import RenderedFigure
from eosin.reporting.train_test_overlap import (
    TrainTestOverlap,
    leading_name,
    train_test_overlap,
    unit_name,
)
from eosin.runs.finished import FinishedRun, read_run

#: Names of the two splits, in the order of the page.
LABELS = {STRICT: "Strict split, by group", AS_PUBLISHED: "As published, by image"}

_TITLE = "The same model under two splits"


def write_protocols_page(folder: Path) -> Path:
    """Join ``DIR/strict`` and ``DIR/as-published`` in one page, ``DIR/report.html``.

    A run without a page gets one, so that the links work.

    Raises:
        ArtifactError: One of the two runs is missing or damaged.
        OutputError: The page cannot be written.
    """
    both = _gather(Path(folder))
    for protocol in both:
        if not protocol.run.folder.report.exists():
            write_report(protocol.run.root)
    chart, roc = _chart(both), _roc(both)
    pictures = [thumbnail for thumbnail in (chart, roc) if thumbnail is not None]
    html = render("protocols.html.j2", **_context(Path(folder), both, pictures))
    root = RunFolder(Path(folder))
    write_figures(root.figures, pictures)
    return write_page(root.report, html)


def protocols_figure(folder: Path, path: Path) -> Path:
    """Write the dot-and-interval chart of both splits in ``folder``, with a title, as PNG.

    Raises:
        ArtifactError: A run is missing or damaged, or they have no metric to draw.
        OutputError: The figure cannot be written.
    """
    chart = _chart(_gather(Path(folder)), title=_TITLE)
    if chart is None:
        raise ArtifactError(f"the runs in {folder} have no metric with a value to draw")
    write_bytes(Path(path), chart.png)
    return Path(path)


def _gather(folder: Path) -> tuple[Protocol, Protocol]:
    strict, published = (
        Protocol(key, LABELS[key], run, train_test_overlap(run))
        for key in (STRICT, AS_PUBLISHED)
        for run in (read_run(folder / key),)
    )
    return strict, published


def _chart(both: tuple[Protocol, ...], title: str = "") -> RenderedFigure | None:
    return interval_figure(
        [Series(protocol.label, protocol.run.evaluated.image) for protocol in both],
        name="protocols",
        caption="Each metric under both splits, with its 95 % interval.",
        title=title,
        only=COMPARED,
    )


def _roc(both: tuple[Protocol, ...]) -> RenderedFigure | None:
    return overlaid_roc(
        [
            (protocol.label, scores, protocol.run.evaluated)
            for protocol in both
            if (scores := scores_of(protocol.run)) is not None
        ]
    )


def _context(
    folder: Path, both: tuple[Protocol, Protocol], pictures: list[RenderedFigure]
) -> dict[str, Any]:
    strict, published = both
    return {
        "name": folder.resolve().name,
        "both": both,
        "figures": pictures,
        "simulated": any(protocol.run.simulated for protocol in both),
        "verdict": protocols_verdict(strict, published),
        "meaning": meaning(strict, published),
        "size_table": _size_table(both),
        "metric_table": _metric_table(both),
        "leaks": [(p.label, leak_words(p), provenance.findings(p.run)) for p in both],
        "links": [(p.label, f"{p.key}/{p.run.folder.report.name}") for p in both],
    }


def _size_table(both: tuple[Protocol, ...]) -> Table:
    seen = [(p.seen.n_groups, p.seen.n_images) if p.seen else (None, None) for p in both]
    rows = (
        ("Images", [count(p.run.evaluated.n_images) for p in both]),
        ("Patients", [_or_unknown(p.run.evaluated.n_patients) for p in both]),
        ("Groups", [count(p.run.evaluated.n_groups) for p in both]),
        (
            "Evaluated groups also trained on",
            [_or_unknown(groups) for groups, _ in seen],
        ),
        (
            "Evaluated images of those",
            [_or_unknown(images) for _, images in seen],
        ),
        ("Leaks that the audit found", [_n_leaks(p) for p in both]),
    )
    return Table(
        "What each split evaluates.",
        ("", *(p.label for p in both)),
        tuple((Cell(head), *(Cell(value) for value in values)) for head, values in rows),
    )


def _or_unknown(value: int | None) -> str:
    return "unknown" if value is None else count(value)


def _n_leaks(protocol: Protocol) -> str:
    return ABSENT if protocol.run.audit is None else count(len(protocol.run.audit.leaks))


def _metric_table(both: tuple[Protocol, ...]) -> Table:
    notes = Footnotes()
    rows = []
    for name in METRIC_NAMES:
        metrics = [p.run.evaluated.image.get(name) for p in both]
        if all(metric is None for metric in metrics):
            continue
        rows.append((Cell(metric_label(name)), *map(notes.cell, metrics), Cell(_gap(*metrics))))
    return Table(
        "Metrics of the most probable class with 95 % intervals.",
        ("Metric", *(p.label for p in both), "Difference"),
        tuple(rows),
        notes.notes,
    )


def _gap(strict: Metric | None, published: Metric | None) -> str:
    if strict is None or published is None or strict.value is None or published.value is None:
        return ABSENT
    gap = published.value - strict.value
    return signed(gap)


@dataclass(frozen=True, eq=False)
class Protocol:
    """Run under one of the two splits; ``seen`` is its train-test overlap, None if unknown."""

    key: str
    label: str
    run: FinishedRun
    seen: TrainTestOverlap | None


def _leading(strict: Protocol, published: Protocol) -> tuple[str, Metric, Metric] | None:
    """Return the first metric that both runs have."""
    for name in LEADING:
        a, b = (p.run.evaluated.image.get(name) for p in (strict, published))
        if a is not None and b is not None and a.value is not None and b.value is not None:
            return name, a, b
    return None


def protocols_verdict(strict: Protocol, published: Protocol) -> str:
    """Return one sentence with both values."""
    found = _leading(strict, published)
    if found is None:
        return "The two runs share no metric that has a value."
    name, a, b = found
    label = leading_name(name, strict.run)
    return (
        f"{label[0].upper()}{label[1:]} {metric_text(a)} when whole groups are held out; "
        f"{metric_text(b)} when images are divided one by one, as published."
    )


def meaning(strict: Protocol, published: Protocol) -> list[str]:
    """Explain the difference in plain words."""
    found = _leading(strict, published)
    words = []
    if found is not None:
        name, a, b = found
        words.append(_difference(leading_name(name, strict.run), a, b))
        words.append(_overlap(a, b))
    words.append(
        "The strict number is the one to expect on patients whom nobody has seen before; the other"
        " one also rewards recognising a patient's slides, stain and scanner. Each interval tells"
        " how much the number would vary with other test groups; it does not cover a bias of the"
        " split itself, and the two test sets are not the same images."
    )
    return words


def _difference(label: str, strict: Metric, published: Metric) -> str:
    gap = (published.value or 0.0) - (strict.value or 0.0)
    if abs(gap) < 0.0005:
        return f"In this experiment both splits give the same {label} to three decimals."
    if gap > 0:
        return (
            f"In this experiment the published split reports {number(gap)} more {label} than"
            " the strict one, for the same network, recipe and images."
        )
    return (
        f"In this experiment the published split reports {number(-gap)} less {label} than the"
        " strict one: it does not flatter here."
    )


def _overlap(a: Metric, b: Metric) -> str:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return "At least one of the two has no interval, so chance cannot be ruled out."
    if a.low <= b.high and b.low <= a.high:
        return (
            "The two intervals overlap: at this sample size the difference may be chance, and this"
            " experiment alone does not show that the splits differ."
        )
    return "The two intervals do not overlap: chance alone is an unlikely explanation."


def leak_words(protocol: Protocol) -> str:
    """Describe the train-test overlap of a run."""
    seen, run = protocol.seen, protocol.run
    if seen is None:
        return "This run does not tell which groups were trained on."
    unit = unit_name(run)
    if not seen.n_groups:
        return f"No evaluated {unit} was also trained on."
    total = run.evaluated.n_groups
    text = f"{_shared_share(seen.n_groups, total)} evaluated {unit}s were also trained on"
    if seen.n_images is not None:
        text += f", with {quantity(seen.n_images, 'evaluated image')}"
        if run.evaluated.n_images >= seen.n_images:
            text += f" ({share(seen.n_images / run.evaluated.n_images)})"
    return f"{text}."


def _shared_share(n: int, total: int) -> str:
    """Format ``n`` of ``total`` with the share."""
    return f"{count(n)} of {count(total)} ({share(n / total)})" if total else count(n)
