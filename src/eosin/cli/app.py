"""Command ``eosin``: parse, call, print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from eosin.cli.data import data
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
    echo,
    report_skipped,
)
from eosin.core.errors import EosinError, InterruptedRunError, check_memory


class _Commands(TyperGroup):
    """The commands: Ctrl-C with a way to go on ends like a failure, with one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InterruptedRunError as error:
            # Typer would drop its message.
            raise EosinError(error.message, hint=error.hint) from error


app = typer.Typer(
    name="eosin",
    cls=_Commands,
    help="From labelled cancer-microscopy images to a classifier that one can defend and deploy. "
    "Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data, name="data")


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never access the network.")] = False,
) -> None:
    """Take the options of every command; the entry point has acted upon them already."""
    del debug, offline
    check_memory()


@app.command()
def demo(output: Output = None) -> None:
    """Run the full workflow on simulated patches, with two splits."""
    from eosin.commands.demo import demo as run_demo
    from eosin.reporting.pages import format_split

    result = run_demo(output)
    for name, run in (("strict", result.strict), ("as-published", result.as_published)):
        echo(format_split(f"{name} test", run.metrics["test"]))
    echo(f"report {result.page}")


@app.command()
def doctor() -> None:
    """Show versions, devices and data paths, and suggest fixes."""
    from eosin.commands.doctor import doctor as look

    checks = look()
    for check in checks:
        echo(f"{check.topic:<18} {check.found}")
        if check.hint:
            echo(f"{'':<18} → {check.hint}")
    raise typer.Exit(1 if any(check.needed for check in checks) else 0)


@app.command()
def models(
    name: Annotated[
        str | None, typer.Argument(help="A network whose layers are listed, e.g. ernet18.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="List every layer, not blocks of a deep network.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the registered networks, or the layers of one."""
    from pydantic import TypeAdapter

    from eosin.commands.models import ModelLine
    from eosin.commands.models import models as list_models
    from eosin.reporting.terminal import format_layers

    found = list_models(name)
    if as_json:
        lines = TypeAdapter(list[ModelLine]).dump_python(found, mode="json", exclude_none=True)
        echo(json.dumps(lines))
        return
    echo(f"{'name':<20}{'paper':<16}{'input':>6}{'params':>13}{'M MACs':>9}  offline weights")
    for m in found:
        size = f"{m.name:<20}{m.paper:<16}{m.input_px:>6}{m.params:>13,}{m.macs / 1e6:>9,.1f}"
        echo(f"{size}  {'yes' if m.offline_weights else 'no'}")
    for table in filter(None, (line.layer_table for line in found)):
        echo(["", *format_layers(table, every=every)])


@app.command()
def train(
    recipe: Annotated[Path | None, typer.Argument(help="TOML recipe.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a recipe setting, e.g. train.epochs=5 (repeatable).",
        ),
    ] = None,
    output: Output = None,
    resume: Annotated[Path | None, typer.Option(help="Run folder to resume.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Dry run: show what would be done, time and memory.")
    ] = False,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Continue despite leakage.")
    ] = False,
    allow_skipped: AllowSkipped = False,
) -> None:
    """Run one experiment from a recipe to a report."""
    from eosin.commands import train as experiment
    from eosin.reporting.sections.audit import format_audit

    if plan:
        found, audit = experiment.plan(
            recipe, overrides=overrides or (), resume=resume, allow_leak=allow_leak
        )
        echo([*found.lines(), *format_audit(audit)])
        return
    result = experiment.train(
        recipe,
        overrides=overrides or (),
        output=output,
        resume=resume,
        allow_leak=allow_leak,
        allow_skipped=True,
    )
    from eosin.reporting.pages import format_split

    for name, split in result.metrics.items():
        echo(format_split(name, split))
    echo(f"report {result.run / 'report.html'}")
    report_skipped(len(result.skipped), *result.skipped_lists, allowed=allow_skipped)


@app.command()
def evaluate(
    run_or_model: Annotated[Path, typer.Argument(help="Run or model folder.")],
    data: Annotated[Path | None, typer.Option(help="External manifest.")] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="Map an external label: THEIRS=OURS; THEIRS= leaves its rows out."
        ),
    ] = None,
    label: LabelColumn = "label",
    path_column: PathColumn = "path",
    patient: PatientColumn = "patient",
    group: GroupColumn = "group",
    independent: Independent = False,
    split: Annotated[str, typer.Option(help="Split of the run's manifest.")] = "test",
    features: Annotated[
        Path | None, typer.Option(help="Table of features, for a model on features.")
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="Prevalence of the positive class, for predictive values.")
    ] = None,
    output: Output = None,
    pseudonymise: Pseudonymise = False,
    allow_skipped: AllowSkipped = False,
) -> None:
    """Evaluate a model on a split or on an external manifest."""
    from eosin.commands.evaluate import evaluate as run_evaluation
    from eosin.data.external import parse_labels
    from eosin.reporting.pages import format_split
    from eosin.reporting.sections.audit import format_overlap
    from eosin.reporting.sections.drift import format_drift

    result = run_evaluation(
        run_or_model, data=data, labels=parse_labels(pairs or []), label=label, path=path_column,
        patient=patient, group=group, independent=independent, split=split, features=features,
        prevalence=prevalence, output=output, pseudonymise=pseudonymise, allow_skipped=True,
    )  # fmt: skip
    for name, metrics in result.metrics.items():
        echo(format_split(name, metrics))
    if result.drift is not None:
        echo(format_drift(result.drift))
    if data is not None:
        echo(format_overlap(result.audit))
    echo(f"metrics {result.folder / 'metrics.json'}")
    echo(f"report {result.folder / 'report.html'}")
    report_skipped(len(result.skipped), result.folder / "skipped.csv", allowed=allow_skipped)


@app.command()
def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="Finished run folders, two at least.")],
    output: Output = None,
) -> None:
    """Merge finished runs with the same classes into one model."""
    from eosin.commands.ensemble import ensemble as join
    from eosin.reporting.pages import format_split
    from eosin.reporting.sections.results import format_members

    result = join(runs, output=output)
    for name, metrics in result.metrics.items():
        echo([*format_split(name, metrics), *format_members(result.members)])
    echo(f"report {result.run / 'report.html'}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Finished run folders, two at least.")],
    output: Output = None,
    metric: Annotated[str, typer.Option(help="Metric that runs are ranked by.")] = "auc",
    pseudonymise: Pseudonymise = False,
) -> None:
    """Compare the accuracy and cost of finished runs."""
    from eosin.commands.compare import compare as weigh
    from eosin.reporting.pages import format_comparison

    result = weigh(runs, output=output, metric=metric, pseudonymise=pseudonymise)
    echo(format_comparison(result.comparison))
    echo(f"page {result.page}")


@app.command()
def reproduce(
    paper: Annotated[str, typer.Argument(help="P1, P2, P3, P4 or P5.")],
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Folder of data sets, or NAME=FOLDER (repeatable)."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Dry run: show what would be trained, time and disk.")
    ] = False,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Minutes, on simulated images by default; no verdicts."),
    ] = False,
    reduced: Annotated[
        bool, typer.Option("--reduced", help="Sizes for two cores without a GPU.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A table or figure: table-2 (repeatable).")
    ] = None,
    output: Output = None,
    allow_skipped: AllowSkipped = False,
) -> None:
    """Rebuild a paper's tables and figures beside the printed ones."""
    from eosin.commands import reproduce as command
    from eosin.reproduction.page import terminal_lines

    if plan:
        echo(command.plan(paper, data=data or (), quick=quick, reduced=reduced, only=only or ()))
        return
    result = command.reproduce(
        paper, data=data or (), quick=quick, reduced=reduced, only=only or (), output=output,
        allow_skipped=True,
    )  # fmt: skip
    echo(terminal_lines(result.reproduction))
    echo(f"report {result.page}")
    report_skipped(len(result.skipped), *result.skipped_lists, allowed=allow_skipped)
    if result.failures:
        raise typer.Exit(1)


@app.command()
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


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    paths: Annotated[list[Path], typer.Argument(help="Images, folders, tables (column path).")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="CSV to write.")] = None,
    format: Annotated[  # noqa: A002 - named as the option
        str | None, typer.Option("--format", help="csv, parquet or kaggle (id,label).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    pseudonymise: Pseudonymise = False,
    allow_skipped: AllowSkipped = False,
) -> None:
    """Predict class probabilities and decisions for images. Research use only."""
    from eosin.commands.predict import format_result
    from eosin.commands.predict import predict as run_model

    result = run_model(
        model, paths, output=output, format=format, overwrite=overwrite,
        pseudonymise=pseudonymise, allow_skipped=True,
    )  # fmt: skip
    printed, notes, where = format_result(result)
    echo(printed.split("\n"))
    for line in notes:
        echo(line, err=True)
    report_skipped(len(result.skipped), where, allowed=allow_skipped)


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="A .pth, .pt, .ckpt or the engine's .npz file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The .safetensors file to write.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights, stored in the file.")
    ] = None,
) -> None:
    """Convert third-party weights to safetensors.

    None of their code is run.
    """
    from eosin.commands.convert import convert as run_convert

    made = run_convert(file, output=output, licence=licence)
    echo(f"wrote {made.path}: {made.n_tensors} tensors, {made.n_values:,} values")
