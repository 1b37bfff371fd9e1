"""Pages: which topics stand on which page, and on the terminal, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eosin.artifacts.comparison import Comparison
from eosin.artifacts.integrity import replace_texts
from eosin.artifacts.layout import (
    AS_PUBLISHED,
    OUT_OF_FOLD,
    STRICT,
    ComparisonFolder,
    ModelFolder,
    RunFolder,
)
from eosin.artifacts.manifest import write_table
from eosin.artifacts.metrics import SplitMetrics
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError
from eosin.core.files import write_bytes
from eosin.core.text import TextTable, quantity
from eosin.reporting.card.cautions import cautions, failures, licences, use
from eosin.reporting.card.items import reporting_items
from eosin.reporting.description import description, title
from eosin.reporting.formatting import amount, metric_text
from eosin.reporting.outline import Page, Section, Text, gather_notes
from eosin.reporting.rendering import to_html, to_markdown, write_page
from eosin.reporting.sections import (
    abstention,
    audit,
    calibration,
    compared,
    costs,
    curves,
    data,
    decisions,
    differences,
    disagreements,
    drift,
    errors,
    evidence,
    gate,
    int8,
    learning,
    model,
    overview,
    protocols,
    provenance,
    ranges,
    results,
    robustness,
    split,
    subgroups,
    training,
)
from eosin.reporting.train_test_overlap import verdict
from eosin.runs.finished import FinishedRun, read_run


def write_report(run: Path) -> Path:
    """Write a run's page, its figures, tables and errors, and the card, from the run folder alone.

    Of the run folder only ``metrics.json`` is required.

    Raises:
        ArtifactError: The folder is missing, is no finished run, or holds a damaged file.
        OutputError: The page cannot be written.
    """
    finished = read_run(Path(run))
    page, folder = run_page(finished), finished.folder
    table = errors.list_errors(finished)
    if table is not None:
        write_table(folder.errors, table)
    _save_card(finished)
    return write_page(folder.report, page)


def run_page(run: FinishedRun) -> Page:
    """Return the page of one run: the result, and all else folded away."""
    threshold = decisions.section(run)
    version = f" {run.environment.eosin}" if run.environment else ""
    details = (
        results.section(run),
        threshold,
        calibration.section(run, with_scores=not threshold),
        abstention.section(run),
        gate.section(run),
        subgroups.section(run),
        errors.section(run),
        evidence.section(run),
        drift.section(run),
        robustness.section(run),
        data.section(run),
        split.section(run),
        audit.section(run),
        training.section(run),
        provenance.section(run),
    )
    return Page(
        kind="Eosin report",
        name=title(run),
        tab=f"{title(run)} · Eosin report",
        verdict=verdict(run),
        masthead=Section("", audit.not_checked(run.audit), Text(description(run), look="about")),
        simulated=run.simulated,
        sections=gather_notes([overview.section(run), *(one.folded() for one in details)]),
        footer=f"Created by Eosin{version} from the run folder.",
    )


def write_card(
    run: Path, pending: Mapping[str, Any] | None = None, folder: ModelFolder | None = None
) -> None:
    """Write ``model/card.html`` and ``model/card.md`` from the run folder; nothing without a model.

    Args:
        run: The run folder.
        pending: Documents of the finished run that are not written yet, by
            the names of :class:`~eosin.runs.finished.FinishedRun`.
        folder: The model folder to write into; the run's own by default.

    Raises:
        ArtifactError: The folder is missing, is no finished run, or holds a damaged file.
        OutputError: The card cannot be written.
    """
    if pending is None:
        return _save_card(read_run(Path(run)))
    finished = FinishedRun(Path(run))
    vars(finished).update(pending)
    return _save_card(finished, folder)


def _save_card(run: FinishedRun, folder: ModelFolder | None = None) -> None:
    if run.model is None:
        return
    page, folder = card_page(run), folder or ModelFolder(run.folder.model)
    replace_texts(folder, {folder.card: to_html(page), folder.card_text: to_markdown(page)})


def card_page(run: FinishedRun) -> Page:
    """Return the model card of a run, without patient names or paths."""
    warnings = (Text("", look="caution", head=text) for text in cautions(run))
    return Page(
        kind="Model card · research use only",
        name=title(run),
        tab=f"{title(run)} · Eosin model card",
        simulated=run.simulated,
        look="wordy",
        sections=gather_notes(
            (
                # Cautions come before any number.
                Section("", *warnings, Text(verdict(run), look="lead"), description(run)),
                model.brief(run),
                int8.brief(run),
                use(run),
                data.brief(run),
                licences(run),
                training.brief(run),
                results.brief(run),
                decisions.brief(run),
                calibration.brief(run),
                abstention.brief(run),
                robustness.brief(run),
                evidence.brief(run),
                gate.brief(run),
                failures(run),
                reporting_items(run),
            )
        ),
        footer="Created by Eosin from the run folder; card.md has the same text.",
    )


def write_comparison_page(folder: Path) -> Path:
    """Write ``comparison.html``, figures and tables from the folder that ``compare`` made.

    Raises:
        ArtifactError: The folder holds no comparison.
        OutputError: The page cannot be written.
    """
    place = ComparisonFolder(Path(folder))
    comparison = read_document(place.document, Comparison)
    page = comparison_page(comparison, place.root.resolve().name, place.samples)
    return write_page(place.page, page)


def comparison_page(comparison: Comparison, name: str, samples: Path) -> Page:
    """Return the page of a comparison.

    ``name`` is its title, ``samples`` the folder of its thumbnails.
    """
    n_runs = len(comparison.runs)
    details = (
        differences.section(comparison),
        disagreements.section(comparison, samples),
        costs.section(comparison),
        curves.compared_section(comparison),
        learning.compared_section(comparison),
        ranges.section(comparison),
        compared.section(comparison),
    )
    return Page(
        kind=f"Eosin report · {n_runs} runs compared",
        name=name,
        tab=f"{name}: {n_runs} runs compared · Eosin report",
        verdict=differences.headline(comparison),
        simulated=any(run.simulated for run in comparison.runs),
        sections=gather_notes(
            [differences.result(comparison), *(section.folded() for section in details)]
        ),
        footer="Created by Eosin from comparison.json and its thumbnails.",
    )


def write_protocols_page(folder: Path) -> Path:
    """Join ``DIR/strict`` and ``DIR/as-published`` in one page, ``DIR/report.html``.

    A run without a page gets one, so that the links work.

    Raises:
        ArtifactError: One of the two runs is missing or damaged.
        OutputError: The page cannot be written.
    """
    root, both = RunFolder(Path(folder)), _read_protocols(Path(folder))
    for protocol in both:
        if not protocol.run.folder.report.exists():
            write_report(protocol.run.root)
    page = protocols.protocols_page(Path(folder).resolve().name, *both)
    return write_page(root.report, page)


def protocols_figure(folder: Path, path: Path) -> Path:
    """Write the dot-and-interval chart of both splits in ``folder``, with a title, as PNG.

    Raises:
        ArtifactError: A run is missing or damaged, or they have no metric to draw.
        OutputError: The figure cannot be written.
    """
    chart = protocols.chart(_read_protocols(Path(folder)), "The same model under two splits")
    if chart is None:
        raise ArtifactError(f"the runs in {folder} have no metric with a value to draw")
    write_bytes(Path(path), chart.png)
    return Path(path)


def _read_protocols(folder: Path) -> tuple[protocols.Protocol, protocols.Protocol]:
    strict, published = (
        protocols.protocol(key, read_run(folder / key)) for key in (STRICT, AS_PUBLISHED)
    )
    return strict, published


def format_splits(splits: Mapping[str, SplitMetrics]) -> list[str | TextTable]:
    """Return the results of several splits for the terminal."""
    return [part for name, split in splits.items() for part in format_split(name, split)]


def format_split(name: str, split: SplitMetrics) -> list[str | TextTable]:
    """Return the results of one split for the terminal: a title and facts."""
    sizes = [
        quantity(split.n_images, "image"),
        "unknown patients" if split.n_patients is None else quantity(split.n_patients, "patient"),
        *([quantity(split.n_groups, "group")] if split.unit == "group" else []),
    ]
    title = "out-of-fold" if name == OUT_OF_FOLD else name.replace("_", " ")
    facts = (
        *results.headline_facts(split),
        *decisions.terminal_facts(split),
        *calibration.terminal_facts(split),
        *abstention.terminal_facts(split, name),
        *gate.terminal_facts(split),
        *results.support_facts(split),
    )
    plain = [f"  {fact:<18} {value}" for fact, value in facts]
    return [f"{title}: {', '.join(sizes)}", TextTable([("", ""), *facts], plain=plain)]


def format_comparison(comparison: Comparison) -> list[str | TextTable]:
    """Return the terminal output of a comparison: its verdict, the runs, cautions."""
    runs = compared.honest(comparison)
    runs += [run for run in comparison.runs if run not in runs]
    width = max(len(run.name) for run in runs)
    label = compared.label(comparison)
    rows, plain = [("run", label, "size", "latency", "")], []
    for run in runs:
        size, time = run.deployed.onnx_bytes, run.deployed.latency
        cells = (
            metric_text(run.image[comparison.metric]),
            f"{amount(size / 1e6, 1)} MB" if size else "",
            f"{amount(1e3 * time.median, 1)} ms per image" if time else "",
            "over-optimistic: train-test overlap" if run.is_flattered else "",
        )
        rows.append((run.name, *cells))
        plain.append(f"  {run.name:<{width}}  {label} {', '.join(filter(None, cells))}")
    return [
        f"{compared.units(comparison)} in common",
        differences.headline(comparison),
        TextTable(rows, plain=plain),
        *(f"caution  {head} {words}" for head, words in compared.cautions(comparison)),
    ]
