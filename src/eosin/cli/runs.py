"""Commands on finished runs, models and papers: evaluate, ensemble, compare, reproduce, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eosin.cli.options import (
    AllowSkipped,
    AsJson,
    GroupColumn,
    Independent,
    LabelColumn,
    Output,
    PathColumn,
    PatientColumn,
    Pseudonymise,
)
from eosin.cli.printing import (
    dump,
    dump_metrics,
    dump_skipped,
    echo,
    print_json,
    print_split,
    report_skipped,
)


def evaluate(
    run_or_model: Annotated[Path, typer.Argument(help="Run or model folder.")],
    data: Annotated[
        Path | None, typer.Option(help="Manifest of external data (CSV or Parquet).")
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="THEIRS=OURS",
            help="Map an external label to a class; THEIRS= excludes its rows (repeatable).",
        ),
    ] = None,
    label: LabelColumn = "label",
    path_column: PathColumn = "path",
    patient: PatientColumn = "patient",
    group: GroupColumn = "group",
    independent: Independent = False,
    split: Annotated[str, typer.Option(help="Split of the run to evaluate.")] = "test",
    features: Annotated[
        Path | None, typer.Option(help="Table of features, for a model that takes features.")
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(help="Prevalence of the positive class, for predictive values (0 to 1)."),
    ] = None,
    output: Output = None,
    pseudonymise: Pseudonymise = False,
    allow_skipped: AllowSkipped = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model on a split or on external data."""
    from eosin.commands.evaluate import evaluate as run_evaluation
    from eosin.data.external import parse_labels
    from eosin.reporting.sections.audit import format_overlap
    from eosin.reporting.sections.drift import format_drift

    result = run_evaluation(
        run_or_model, data=data, labels=parse_labels(pairs or []), label=label, path=path_column,
        patient=patient, group=group, independent=independent, split=split, features=features,
        prevalence=prevalence, output=output, pseudonymise=pseudonymise, allow_skipped=True,
    )  # fmt: skip
    listed = result.folder / "skipped.csv"
    if as_json:
        print_json(
            {
                "folder": result.folder,
                "report": result.folder / "report.html",
                "metrics": dump_metrics(result.metrics),
                "drift": dump(result.drift),
                "audit": dump(result.audit),
                "skipped": dump_skipped(result.skipped),
            }
        )
        return report_skipped(len(result.skipped), listed, allowed=allow_skipped)
    for name, metrics in result.metrics.items():
        print_split(name, metrics)
    if result.drift is not None:
        echo(format_drift(result.drift))
    if data is not None:
        echo(format_overlap(result.audit))
    echo(f"metrics {result.folder / 'metrics.json'}")
    echo(f"report {result.folder / 'report.html'}")
    return report_skipped(len(result.skipped), listed, allowed=allow_skipped)


def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="At least two finished run folders.")],
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Merge finished runs with the same classes into one model."""
    from eosin.commands.ensemble import ensemble as join
    from eosin.reporting.sections.results import format_members

    result = join(runs, output=output)
    if as_json:
        return print_json(
            {
                "run": result.run,
                "report": result.run / "report.html",
                "metrics": dump_metrics(result.metrics),
                "members": [dump(member) for member in result.members],
            }
        )
    for name, metrics in result.metrics.items():
        print_split(name, metrics)
        echo(format_members(result.members))
    return echo(f"report {result.run / 'report.html'}")


def compare(
    runs: Annotated[list[Path], typer.Argument(help="At least two finished run folders.")],
    output: Output = None,
    metric: Annotated[str, typer.Option(help="Metric by which the runs are ranked.")] = "auc",
    pseudonymise: Pseudonymise = False,
    as_json: AsJson = False,
) -> None:
    """Compare the accuracy and cost of finished runs."""
    from eosin.commands.compare import compare as weigh
    from eosin.reporting.pages import format_comparison

    result = weigh(runs, output=output, metric=metric, pseudonymise=pseudonymise)
    if as_json:
        return print_json({"page": result.page, **dump(result.comparison)})
    echo(format_comparison(result.comparison))
    return echo(f"page {result.page}")


def reproduce(
    paper: Annotated[str, typer.Argument(help="P1, P2, P3, P4 or P5.")],
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Folder of data sets, or NAME=FOLDER (repeatable)."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Dry run: show the trainings, their time and disk space.")
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Short run, by default on simulated images; gives no verdicts."
        ),
    ] = False,
    reduced: Annotated[
        bool, typer.Option("--reduced", help="Smaller training, for two cores without a GPU.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Only this table or figure, e.g. table-2 (repeatable)."),
    ] = None,
    output: Output = None,
    allow_skipped: AllowSkipped = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild a paper's tables and figures beside the printed ones."""
    from eosin.commands import reproduce as command
    from eosin.reproduction.page import terminal_lines

    if plan:
        lines = command.plan(paper, data=data or (), quick=quick, reduced=reduced, only=only or ())
        return print_json({"plan": lines}) if as_json else echo(lines)
    result = command.reproduce(
        paper, data=data or (), quick=quick, reduced=reduced, only=only or (), output=output,
        allow_skipped=True,
    )  # fmt: skip
    if as_json:
        print_json({"page": result.page, **dump(result.reproduction)})
    else:
        echo(terminal_lines(result.reproduction))
        echo(f"report {result.page}")
    report_skipped(len(result.skipped), *result.skipped_lists, allowed=allow_skipped)
    if result.failures:
        raise typer.Exit(1)
    return None


def report(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    pseudonymise: Pseudonymise = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="New folder for a pseudonymised copy.")
    ] = None,
) -> None:
    """Rebuild a run's HTML report from the run folder."""
    from eosin.commands.report import report as write

    echo(f"report {write(run, pseudonymise=pseudonymise, output=output)}")
