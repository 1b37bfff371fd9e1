"""The page that puts one model under two splits side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eosin.artifacts.layout import AS_PUBLISHED, STRICT, RunFolder
from eosin.artifacts.metrics import METRIC_NAMES, Metric
from eosin.core.errors import ArtifactError
from eosin.core.files import write_bytes
from eosin.reporting import provenance
from eosin.reporting.contrast import Protocol, leak_words, meaning, protocols_verdict
from eosin.reporting.exposure import exposure
from eosin.reporting.figures.comparison import Series, interval_figure
from eosin.reporting.figures.ranking import overlaid_roc
from eosin.reporting.figures.style import Picture
from eosin.reporting.formatting import (
    ABSENT,
    count,
    metric_label,
)
from eosin.reporting.pages import write_report
from eosin.reporting.rendering import render, write_figures, write_page
from eosin.reporting.scores import scores_of
from eosin.reporting.tables import Cell, Footnotes, Table
from eosin.runs.finished import gather

#: What the two splits are called, in the order of the page.
LABELS = {STRICT: "Strict split, by group", AS_PUBLISHED: "As published, by image"}

#: What the chart shows: the metrics that papers print.
_CHARTED = ("auc", "accuracy", "balanced_accuracy", "recall", "specificity", "f1")
_TITLE = "The same model under two splits"


def write_protocols_page(folder: Path) -> Path:
    """Join ``DIR/strict`` and ``DIR/as-published`` in one page.

    A run that has no page of its own yet gets one, so that the links lead somewhere.

    Args:
        folder: The folder that holds both run folders.

    Returns:
        The page, ``DIR/report.html``.

    Raises:
        ArtifactError: One of the two runs is missing or damaged.
        OutputError: The page cannot be written.
    """
    both = _gather(Path(folder))
    for protocol in both:
        if not protocol.run.folder.report.exists():
            write_report(protocol.run.root)
    chart, roc = _chart(both), _roc(both)
    pictures = [picture for picture in (chart, roc) if picture is not None]
    html = render("protocols.html.j2", **_context(Path(folder), both, pictures))
    root = RunFolder(Path(folder))
    write_figures(root.figures, pictures)
    return write_page(root.report, html)


def protocols_figure(folder: Path, path: Path) -> Path:
    """Write the dot-and-interval chart of both splits alone, with a title of its own.

    Args:
        folder: The folder that holds both run folders.
        path: The PNG to write.

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
        Protocol(key, LABELS[key], run, exposure(run))
        for key in (STRICT, AS_PUBLISHED)
        for run in (gather(folder / key),)
    )
    return strict, published


def _chart(both: tuple[Protocol, ...], title: str = "") -> Picture | None:
    return interval_figure(
        [Series(protocol.label, protocol.run.judged.image) for protocol in both],
        name="protocols",
        caption="Each metric under both splits, with its 95 % interval.",
        title=title,
        only=_CHARTED,
    )


def _roc(both: tuple[Protocol, ...]) -> Picture | None:
    return overlaid_roc(
        [
            (protocol.label, scores, protocol.run.judged)
            for protocol in both
            if (scores := scores_of(protocol.run)) is not None
        ]
    )


def _context(
    folder: Path, both: tuple[Protocol, Protocol], pictures: list[Picture]
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
        ("Images", [count(p.run.judged.n_images) for p in both]),
        ("Patients", [_or_unknown(p.run.judged.n_patients) for p in both]),
        ("Groups", [count(p.run.judged.n_groups) for p in both]),
        (
            "Judged groups also trained on",
            [_or_unknown(groups) for groups, _ in seen],
        ),
        (
            "Judged images of those",
            [_or_unknown(images) for _, images in seen],
        ),
        ("Leaks that the audit found", [_n_leaks(p) for p in both]),
    )
    return Table(
        "What each split judges.",
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
        metrics = [p.run.judged.image.get(name) for p in both]
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
    sign = "" if abs(gap) < 0.005 else "+" if gap > 0 else "−"
    return f"{sign}{abs(gap):.2f}"
