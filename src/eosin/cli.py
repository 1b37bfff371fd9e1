"""The command ``eosin``: parses, calls, prints. Research use only."""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="eosin",
    help="From labelled cancer-microscopy images to a classifier that one can defend and deploy. "
    "Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data = typer.Typer(
    help="Known data sets, manifests, image checks, leak audit.", no_args_is_help=True
)
app.add_typer(data, name="data")

Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="New or empty folder; by default runs/ with the name and time."
    ),
]
AllowSkipped = Annotated[
    bool, typer.Option("--allow-skipped", help="Exit 0 although files could not be read.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LabelColumn = Annotated[str, typer.Option("--label", help="Column of labels.")]
PathColumn = Annotated[str, typer.Option("--path", help="Column of image paths.")]
PatientColumn = Annotated[str, typer.Option("--patient", help="Column of patients.")]
GroupColumn = Annotated[
    str, typer.Option("--group", help="Column of the unit that must not cross a split.")
]
Independent = Annotated[
    bool, typer.Option("--independent", help="No two images are of one patient or slide.")
]
Pseudonymise = Annotated[
    bool, typer.Option("--pseudonymise", help="Pseudonyms for patients, groups and paths.")
]


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Open no socket.")] = False,
) -> None:
    """Take the options of every command; the entry point has acted upon them already."""
    del debug, offline


def say(sentence: str) -> None:
    """Tell what is being done, beside the results."""
    typer.echo(sentence, err=True)


def tell_skipped(n_skipped: int, *where: Path, allowed: bool) -> None:
    """Say how many files were skipped and leave with status 1 unless that is allowed."""
    if n_skipped:
        files = "1 file" if n_skipped == 1 else f"{n_skipped} files"
        lists = " and ".join(map(str, where))
        typer.echo(f"{files} could not be read: see {lists}", err=True)
        if not allowed:
            raise typer.Exit(1)


@app.command()
def demo(output: Output = None) -> None:
    """Run the whole way on simulated patches, under two splits."""
    from eosin.pipeline.demonstration import demo as run_demo
    from eosin.pipeline.telling import tell_split

    result = run_demo(output, say=say)
    for name, run in (("strict", result.strict), ("as-published", result.as_published)):
        typer.echo("\n".join(tell_split(f"{name} test", run.metrics["test"])))
    typer.echo(f"report {result.page}")


@app.command()
def doctor() -> None:
    """Tell versions, devices, where data would be, and mends."""
    from eosin.pipeline.inspection import doctor as look

    checks = look()
    for check in checks:
        typer.echo(f"{check.topic:<18} {check.found}")
        if check.mend:
            typer.echo(f"{'':<18} → {check.mend}")
    raise typer.Exit(1 if any(check.needed for check in checks) else 0)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List every registered model with its size."""
    from eosin.pipeline.inspection import models as list_models

    found = list_models()
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in found]))
        return
    typer.echo(f"{'name':<20}{'paper':<16}{'input':>6}{'params':>13}{'M MACs':>9}  offline weights")
    for m in found:
        size = f"{m.name:<20}{m.paper:<16}{m.input_px:>6}{m.params:>13,}{m.macs / 1e6:>9,.1f}"
        typer.echo(f"{size}  {'yes' if m.offline_weights else 'no'}")


@app.command()
def train(
    recipe: Annotated[Path | None, typer.Argument(help="TOML recipe.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change the recipe: train.epochs=5. Repeatable."
        ),
    ] = None,
    output: Output = None,
    resume: Annotated[Path | None, typer.Option(help="Run folder to go on with.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it would do.")] = False,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Go on although the split leaks.")
    ] = False,
    allow_skipped: AllowSkipped = False,
) -> None:
    """Run one experiment from a recipe to a report."""
    from eosin.pipeline import experiment
    from eosin.pipeline.telling import tell_audit, tell_split

    if plan:
        found, audit = experiment.plan(recipe, overrides=overrides or (), resume=resume, say=say)
        typer.echo("\n".join([*found.lines(), *tell_audit(audit)]))
        return
    result = experiment.train(
        recipe,
        overrides=overrides or (),
        output=output,
        resume=resume,
        allow_leak=allow_leak,
        say=say,
    )
    for name, split in result.metrics.items():
        typer.echo("\n".join(tell_split(name, split)))
    typer.echo(f"report {result.run / 'report.html'}")
    tell_skipped(result.n_skipped, *result.skipped, allowed=allow_skipped)


@app.command()
def evaluate(
    run_or_model: Annotated[Path, typer.Argument(help="Run or model folder.")],
    data: Annotated[Path | None, typer.Option(help="Outside manifest.")] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option("--map", help="An outside label's class, THEIRS=OURS; THEIRS= leaves it out."),
    ] = None,
    label: LabelColumn = "label",
    path_column: PathColumn = "path",
    patient: PatientColumn = "patient",
    group: GroupColumn = "group",
    independent: Independent = False,
    split: Annotated[str, typer.Option(help="Split of the run's manifest.")] = "test",
    features: Annotated[Path | None, typer.Option(help="Table, for a head on features.")] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="Of the positive class, for predictive values.")
    ] = None,
    output: Output = None,
    pseudonymise: Pseudonymise = False,
    allow_skipped: AllowSkipped = False,
) -> None:
    """Judge a model on a split or on an outside manifest."""
    from eosin.artifacts.columns import Columns
    from eosin.pipeline.assessment import evaluate as judge
    from eosin.pipeline.outside import parse_labels
    from eosin.pipeline.telling import tell_drift, tell_overlap, tell_split

    result = judge(
        run_or_model, data=data, labels=parse_labels(pairs or []), label=label,
        columns=Columns(path_column, patient, group, independent), split=split,
        features=features, prevalence=prevalence, output=output, pseudonymise=pseudonymise, say=say,
    )  # fmt: skip
    for name, metrics in result.metrics.items():
        typer.echo("\n".join(tell_split(name, metrics)))
    if result.drift is not None:
        typer.echo("\n".join(tell_drift(result.drift)))
    if data is not None:
        typer.echo("\n".join(tell_overlap(result.audit)))
    typer.echo(f"metrics {result.folder / 'metrics.json'}")
    typer.echo(f"report {result.folder / 'report.html'}")
    tell_skipped(result.n_skipped, result.folder / "skipped.csv", allowed=allow_skipped)


@app.command()
def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="Finished run folders, two at least.")],
    output: Output = None,
) -> None:
    """Average finished runs of one label set, as one model."""
    from eosin.pipeline.ensembling import ensemble as join
    from eosin.pipeline.telling import tell_members, tell_split

    result = join(runs, output=output, say=say)
    for name, metrics in result.metrics.items():
        typer.echo("\n".join([*tell_split(name, metrics), *tell_members(result.members)]))
    typer.echo(f"report {result.run / 'report.html'}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Finished run folders, two at least.")],
    output: Output = None,
    metric: Annotated[str, typer.Option(help="What runs are ranked by.")] = "auc",
    pseudonymise: Pseudonymise = False,
) -> None:
    """Compare finished runs by accuracy and by cost."""
    from eosin.pipeline.comparing import compare as weigh
    from eosin.reporting.noise import tell_comparison

    result = weigh(runs, output=output, metric=metric, pseudonymise=pseudonymise)
    typer.echo("\n".join(tell_comparison(result.comparison)))
    typer.echo(f"page {result.page}")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    pseudonymise: Pseudonymise = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="New folder for a pseudonymised copy.")
    ] = None,
) -> None:
    """Make a run's HTML page again, from the run folder alone."""
    from eosin.pipeline.pages import report as write

    typer.echo(f"report {write(run, pseudonymise=pseudonymise, output=output, say=say)}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    paths: Annotated[list[Path], typer.Argument(help="Images, folders; tables with `path`.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="CSV to write.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are no older predictions.")
    ] = False,
    pseudonymise: Pseudonymise = False,
    allow_skipped: AllowSkipped = False,
) -> None:
    """Predict class probabilities and decisions for images. Research use only."""
    from eosin.pipeline import prediction

    result = prediction.predict(
        model, paths, output=output, overwrite=overwrite, pseudonymise=pseudonymise
    )
    printed, notes, where = prediction.tell_result(result)
    typer.echo(printed)
    for line in notes:
        say(line)
    tell_skipped(len(result.skipped), where, allowed=allow_skipped)


@data.command("list")
def list_data() -> None:
    """List the known data sets."""
    from eosin.pipeline.inspection import list_datasets
    from eosin.pipeline.telling import tell_datasets

    typer.echo("\n".join(tell_datasets(list_datasets())))


@data.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="Public data set.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; by default $EOSIN_DATA/NAME.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept its licence without being asked.")
    ] = False,
    keep_archive: Annotated[
        bool, typer.Option("--keep-archive", help="Keep archives once they are unpacked.")
    ] = False,
) -> None:
    """Download a public data set; go on where it was cut."""
    from eosin.pipeline.fetching import fetch_dataset

    confirm = functools.partial(typer.confirm, err=True) if sys.stdin.isatty() else None
    result = fetch_dataset(
        name,
        output,
        accept_licence=accept_licence,
        keep_archive=keep_archive,
        confirm=confirm,
        say=say,
    )
    told = f"fetched {len(result.fetched)}, complete before {len(result.kept)}"
    typer.echo(f"{name} is in {result.folder} ({told}): {result.unpacks_to}")
    typer.echo(f"next: {result.next_step}")


@data.command("manifest")
def make_manifest(
    name: Annotated[str, typer.Argument(help="Known data set.")],
    root: Annotated[Path, typer.Argument(help="Its folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV or Parquet to write.")],
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the data set. Repeatable."),
    ] = None,
) -> None:
    """Write a manifest from a data set's own folder tree.

    Tells what of the published data set is missing.
    """
    from eosin.pipeline.inspection import make_manifest as make
    from eosin.pipeline.telling import tell_samples
    from eosin.recipe import parse_overrides

    # As in a recipe, so that one hint works in both places.
    texts = [text.removeprefix("data.options.") for text in options or ()]
    samples, told = make(name, root, output, options=parse_overrides(texts, schema=None))
    typer.echo("\n".join([f"wrote {output}: {tell_samples(samples)}", *told]))


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="A .pth, .pt, .ckpt or the engine's .npz file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The .safetensors file to write.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights; kept with them.")] = None,
) -> None:
    """Turn foreign weights into safetensors.

    None of their code is run.
    """
    from eosin.pipeline.conversion import convert as run_convert

    made = run_convert(file, output=output, licence=licence)
    typer.echo(f"wrote {made.path}: {made.n_tensors} tensors, {made.n_values:,} values")


@data.command("check")
def check(
    path: Annotated[Path, typer.Argument(help="Image, folder or manifest.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="New or empty folder for a table and a gallery."),
    ] = None,
    pseudonymise: Pseudonymise = False,
    as_json: AsJson = False,
) -> None:
    """List unreadable files, and flag images of doubtful quality.

    Leaves with status 1 where a file cannot be read; flags are advice.
    """
    from eosin.pipeline.checking import check_images, quality_json, tell_quality

    found = check_images(path, output=output, pseudonymise=pseudonymise)
    typer.echo(json.dumps(quality_json(found)) if as_json else "\n".join(tell_quality(found)))
    if output is not None:
        say(f"wrote {output / 'quality.csv'} and {output / 'quality.html'}")
    raise typer.Exit(1 if found.unreadable else 0)


@data.command("audit")
def audit(
    manifest: Annotated[Path, typer.Argument(help="Manifest.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="New or empty folder for audit.json and a page."),
    ] = None,
    label: LabelColumn = "label",
    path_column: PathColumn = "path",
    patient: PatientColumn = "patient",
    group: GroupColumn = "group",
    independent: Independent = False,
    quick: Annotated[bool, typer.Option("--quick", help="Look for copies only.")] = False,
    repair: Annotated[
        Path | None,
        typer.Option(
            "--repair",
            metavar="NEW.csv",
            help="New table with the groups joined that belong together; it is audited again.",
        ),
    ] = None,
    pseudonymise: Pseudonymise = False,
    allow_skipped: AllowSkipped = False,
    as_json: AsJson = False,
) -> None:
    """Find the same material on both sides of a split.

    Leaves with status 1 where there is any, and where a file cannot be read.
    """
    from eosin.artifacts.columns import Columns
    from eosin.pipeline.auditing import audit_manifest
    from eosin.pipeline.telling import tell_audit

    found, skipped = audit_manifest(
        manifest, output=output, quick=quick, repair=repair, pseudonymise=pseudonymise,
        label=label, columns=Columns(path_column, patient, group, independent), say=say,
    )  # fmt: skip
    for path, reason in skipped:
        say(f"not compared by its pixels: {path}: {reason}")
    typer.echo(found.model_dump_json(indent=2) if as_json else "\n".join(tell_audit(found)))
    where = Path("the lines above") if output is None else output / "skipped.csv"
    tell_skipped(len(skipped), where, allowed=allow_skipped)
    raise typer.Exit(1 if found.leaks else 0)


@data.command("cache")
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove what no process uses.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the images and stages kept on the disk, or remove them."""
    from eosin.pipeline import caching

    if not clear:
        stores, stages = caching.list_cache(), caching.list_kept()
        typer.echo("\n".join(caching.tell_cache(stores, stages, as_json=as_json)))
        return
    found, stages = caching.clear_cache()
    typer.echo("\n".join(caching.tell_cleared(found, stages, as_json=as_json)))
    raise typer.Exit(1 if found.in_use else 0)
