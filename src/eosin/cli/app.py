"""Command ``eosin``: parse, call, print."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from eosin.cli import runs
from eosin.cli.data import data
from eosin.cli.options import AllowSkipped, AsJson, DryRun, Output, Pseudonymise
from eosin.cli.printing import (
    dump_skipped,
    echo,
    message,
    print_result,
    report_skipped,
)
from eosin.cli.shared import CONTEXT, Group
from eosin.core.errors import UsageError, check_memory
from eosin.core.text import Content, TextTable

app = typer.Typer(
    name="eosin",
    cls=Group,
    context_settings=CONTEXT,
    help="Train, evaluate and deploy classifiers of cancer-microscopy images. Research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data, name="data")


def _print_version(is_given: bool) -> None:
    if is_given:
        echo(f"eosin {metadata.version('eosin')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Check that there is memory for what a command imports."""
    check_memory()


@app.command()
def demo(output: Output = None, as_json: AsJson = False) -> None:
    """Run the full workflow on simulated patches, with two splits."""
    from eosin.artifacts.layout import OUT_OF_FOLD
    from eosin.commands.demo import demo as run_demo
    from eosin.reporting.pages import format_splits

    result = run_demo(output)
    metrics = {"strict": result.strict.metrics, "as-published": result.as_published.metrics}
    shown = {f"{name}, out-of-fold": splits[OUT_OF_FOLD] for name, splits in metrics.items()}
    lines = [*format_splits(shown), f"report {result.page}"]
    print_result(lines, {"report": result.page, "metrics": metrics}, as_json=as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Show versions, devices and data paths, and suggest fixes."""
    from eosin.commands.doctor import doctor as look

    checks = look()
    rows = [("check", "result")]
    for check in checks:
        rows.append((check.topic, check.found))
        rows += [("", f"→ {check.hint}")] if check.hint else []
    print_result([TextTable(rows)], checks, as_json=as_json)
    raise typer.Exit(1 if any(check.needed for check in checks) else 0)


@app.command()
def models(
    name: Annotated[
        str | None, typer.Argument(help="Network whose layers are listed, e.g. ernet18.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="List every layer, not blocks of a deep network.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the registered networks, or the layers of one."""
    from eosin.commands.models import models as list_models
    from eosin.reporting.terminal import layer_rows

    found = list_models(name)
    rows = [("name", "paper", "offline weights", "input", "params", "M MACs")]
    for m in found:
        size = (str(m.input_px), f"{m.params:,}", f"{m.macs / 1e6:,.1f}")
        rows.append((m.name, m.paper, "yes" if m.offline_weights else "no", *size))
    shown: list[str | TextTable] = [TextTable(rows, right=3)]
    for table in filter(None, (line.layer_table for line in found)):
        layers = layer_rows(table, every=every)
        shown += ["", TextTable(layers, right=2)]
        if len(layers) - 2 < len(table.layers):
            shown.append(f"Each block is one row; --all lists all {len(table.layers):,} layers.")
    print_result(shown, [line.as_dict() for line in found], as_json=as_json)


@app.command()
def recipes(
    name: Annotated[
        str | None, typer.Argument(help="A recipe to show, or to copy with -o.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File or folder to copy the recipe to.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List, show or copy the shipped recipes."""
    from eosin.commands.recipes import recipes as list_recipes

    if name is None and output is not None:
        raise UsageError("no recipe was given to copy", hint="Name one: eosin recipes NAME -o FILE")
    found = list_recipes(name, output=output)
    shown: Content = ()
    if name is None:
        shown = [TextTable([("name", "description"), *((r.name, r.description) for r in found)])]
    elif output is None:
        shown = found[0].path.read_text(encoding="utf-8").splitlines()
    print_result(shown, found, as_json=as_json)


@app.command()
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Folder of images or table, for which a recipe is chosen; or a recipe: a TOML "
            "file, or a name that `eosin recipes` lists.",
        ),
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Positive class of a binary task.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Recipe chosen for a folder or table: quick, good or best."),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Choose a training that takes at most, e.g., 10m."),
    ] = None,
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
    plan: DryRun = False,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Continue despite leakage.")
    ] = False,
    allow_skipped: AllowSkipped = False,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate a model, from images or a recipe."""
    from eosin.commands import train as experiment
    from eosin.reporting.pages import format_splits
    from eosin.reporting.sections.audit import format_audit

    given: dict[str, Any] = {
        "positive": positive, "preset": preset, "time_limit": time_limit,
        "overrides": overrides or (), "resume": resume, "allow_leak": allow_leak,
    }  # fmt: skip
    if plan:
        found, audit = experiment.plan(recipe, **given)
        shown = [found.table(), *format_audit(audit)]
        return print_result(shown, {**vars(found), "audit": audit}, as_json=as_json)
    result = experiment.train(recipe, output=output, allow_skipped=True, **given)
    page = result.run / "report.html"
    document = {"run": result.run, "report": page, "metrics": result.metrics}
    document["skipped"] = dump_skipped(result.skipped)
    print_result([*format_splits(result.metrics), f"report {page}"], document, as_json=as_json)
    return report_skipped(len(result.skipped), *result.skipped_lists, allowed=allow_skipped)


for _command in (
    *(runs.evaluate, runs.explain, runs.ensemble, runs.compare, runs.reproduce, runs.report),
    *(runs.export, runs.bench),
):
    app.command()(_command)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Model folder, or run folder with a model.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Image files, folders, or tables with a column path."),
    ] = None,
    selftest: Annotated[
        bool,
        typer.Option("--selftest", help="Run the model's own test images, and compare and time."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File to write: .csv, .parquet, .json, .jsonl."),
    ] = None,
    format: Annotated[  # noqa: A002 - named as the option
        str | None,
        typer.Option("--format", help="csv, parquet, json, jsonl or kaggle (id, label)."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    pseudonymise: Pseudonymise = False,
    allow_skipped: AllowSkipped = False,
    as_json: AsJson = False,
) -> None:
    """Predict class probabilities and decisions for images. Research use only."""
    from eosin.commands.predict import format_result, result_document
    from eosin.commands.predict import predict as run_model

    if selftest:
        if paths or output or format:
            raise UsageError("--selftest takes no images, output or format, only the model")
        from eosin.commands.load import load

        tested = load(model).selftest()
        return print_result(tested.lines(), tested, as_json=as_json)
    result = run_model(
        model, paths or [], output=output, format=format, overwrite=overwrite,
        pseudonymise=pseudonymise, allow_skipped=True,
    )  # fmt: skip
    printed, notes, where = format_result(result)
    # Made only for --json: it holds every row.
    document = result_document(result) if as_json else None
    print_result(printed.split("\n"), document, as_json=as_json)
    for line in notes:
        message(line)
    return report_skipped(len(result.skipped), where, allowed=allow_skipped)


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="A .pth, .pt, .ckpt or the engine's .npz file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The .safetensors file to write.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights, stored in the file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert third-party weights to safetensors.

    Code in the file is never run.
    """
    from eosin.commands.convert import convert as run_convert

    made = run_convert(file, output=output, licence=licence)
    line = f"wrote {made.path}: {made.n_tensors} tensors, {made.n_values:,} values"
    print_result(line, made, as_json=as_json)
