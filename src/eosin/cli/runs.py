"""Commands on finished runs, models and papers: evaluate, ensemble, compare, reproduce, report."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from eosin.cli.options import (
    AllowSkipped,
    AsJson,
    DryRun,
    GroupColumn,
    Independent,
    LabelColumn,
    Output,
    PathColumn,
    PatientColumn,
    Pseudonymise,
    RunFolders,
)
from eosin.cli.printing import dump_skipped, message, print_result, report_skipped


def evaluate(
    run_or_model: Annotated[Path, typer.Argument(help="Run or model folder.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="SOURCE", help="External data: folder of images or table."),
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
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also under changes: stain, blur, noise and more.")
    ] = False,
    output: Output = None,
    pseudonymise: Pseudonymise = False,
    allow_skipped: AllowSkipped = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model on a split or on external data."""
    from eosin.commands.evaluate import evaluate as run_evaluation
    from eosin.data.external import parse_labels
    from eosin.reporting.pages import format_splits
    from eosin.reporting.sections.audit import format_overlap
    from eosin.reporting.sections.drift import format_drift
    from eosin.reporting.sections.robustness import format_robustness

    result = run_evaluation(
        run_or_model, data=data, labels=parse_labels(pairs or []), label=label, path=path_column,
        patient=patient, group=group, independent=independent, split=split, features=features,
        prevalence=prevalence, robustness=robustness, output=output, pseudonymise=pseudonymise,
        allow_skipped=True,
    )  # fmt: skip
    page = result.folder / "report.html"
    shown = [
        *format_splits(result.metrics),
        *(format_drift(result.drift) if result.drift is not None else ()),
        *(format_overlap(result.audit) if data is not None else ()),
        *(format_robustness(result.robustness) if result.robustness is not None else ()),
        f"metrics {result.folder / 'metrics.json'}",
        f"report {page}",
    ]
    document = {
        "folder": result.folder,
        "report": page,
        "metrics": result.metrics,
        "drift": result.drift,
        "audit": result.audit,
        "robustness": result.robustness,
        "skipped": dump_skipped(result.skipped),
    }
    print_result(shown, document, as_json=as_json)
    report_skipped(len(result.skipped), result.folder / "skipped.csv", allowed=allow_skipped)


def explain(
    run_or_model: Annotated[Path, typer.Argument(help="Run or model folder.")],
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Image files, folders, or tables with a column path; default: the run's most "
            "confident wrong and right decisions."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="cam, gradcam, integrated_gradients, occlusion or rise; default: cam if "
            "possible, else occlusion."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Class to explain; default: the decision."),
    ] = None,
    masks: Annotated[
        int | None, typer.Option(metavar="N", help="Random masks of rise; default: 500.")
    ] = None,
    feature_maps: Annotated[
        bool, typer.Option("--feature-maps", help="Draw the feature maps, layer by layer, too.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check the default method on the run's held-out images."),
    ] = False,
    output: Output = None,
    pseudonymise: Pseudonymise = False,
    allow_skipped: AllowSkipped = False,
    as_json: AsJson = False,
) -> None:
    """Show where an image speaks for a class, and where against."""
    if check:
        has_more = any(
            (images, method, target, masks, feature_maps, output, pseudonymise, allow_skipped)
        )
        return _check_explanations(run_or_model, has_more, as_json)
    from eosin.commands.explain import explain as run_explanation
    from eosin.commands.explain import format_explanations

    result = run_explanation(
        run_or_model, images or None, method=method, target=target, masks=masks,
        feature_maps=feature_maps, output=output, pseudonymise=pseudonymise,
        allow_skipped=True,
    )  # fmt: skip
    shown, notes = format_explanations(result)
    document = {"folder": result.folder, "record": result.record}
    document["skipped"] = dump_skipped(result.skipped)
    print_result(shown, document, as_json=as_json)
    for line in notes:
        message(line)
    report_skipped(len(result.skipped), result.folder / "skipped.csv", allowed=allow_skipped)
    return None


def _check_explanations(run: Path, has_more: bool, as_json: bool) -> None:
    from eosin.commands.check_explanations import check_explanations
    from eosin.core.errors import UsageError
    from eosin.reporting.sections.evidence import check_facts

    if has_more:
        raise UsageError("--check takes no images and no other option, only the run folder")
    result = check_explanations(run)
    lines = [f"{name}: {text}" for name, text in check_facts(result.checks)]
    document = {"run": result.run, "report": result.page, "checks": result.checks}
    print_result([*lines, f"report {result.page}"], document, as_json=as_json)


def ensemble(
    runs: RunFolders,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Merge finished runs with the same classes into one model."""
    from eosin.commands.ensemble import ensemble as join
    from eosin.reporting.pages import format_split
    from eosin.reporting.sections.results import format_members

    result = join(runs, output=output)
    page, members = result.run / "report.html", format_members(result.members)
    parts = [[*format_split(*split), *members] for split in result.metrics.items()]
    document = {
        "run": result.run,
        "report": page,
        "metrics": result.metrics,
        "members": result.members,
    }
    print_result([*chain(*parts), f"report {page}"], document, as_json=as_json)


def compare(
    runs: RunFolders,
    output: Output = None,
    metric: Annotated[str, typer.Option(help="Metric by which the runs are ranked.")] = "auc",
    pseudonymise: Pseudonymise = False,
    as_json: AsJson = False,
) -> None:
    """Compare the accuracy and cost of finished runs."""
    from eosin.commands.compare import compare as weigh
    from eosin.reporting.pages import format_comparison

    result = weigh(runs, output=output, metric=metric, pseudonymise=pseudonymise)
    shown = [*format_comparison(result.comparison), f"page {result.page}"]
    document = {"page": result.page, **dict(result.comparison)}
    print_result(shown, document, as_json=as_json)


def reproduce(
    paper: Annotated[str, typer.Argument(help="P1, P2, P3, P4 or P5.")],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER", help="Folder of data sets, or NAME=FOLDER (repeatable)."),
    ] = None,
    plan: DryRun = False,
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
        typer.Option(metavar="ITEM", help="Only this table or figure, e.g. table-2 (repeatable)."),
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
        return print_result(lines, {"plan": lines}, as_json=as_json)
    result = command.reproduce(
        paper, data=data or (), quick=quick, reduced=reduced, only=only or (), output=output,
        allow_skipped=True,
    )  # fmt: skip
    shown = [*terminal_lines(result.reproduction), f"report {result.page}"]
    document = {"page": result.page, **dict(result.reproduction)}
    print_result(shown, document, as_json=as_json)
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
    as_json: AsJson = False,
) -> None:
    """Rebuild a run's HTML report from the run folder."""
    from eosin.commands.report import report as write

    page = write(run, pseudonymise=pseudonymise, output=output)
    print_result(f"report {page}", {"report": page}, as_json=as_json)


def export(
    run_or_model: Annotated[Path, typer.Argument(help="Run or model folder.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="onnx: one file, from RGB images on; torchscript; wsinfer, for QuPath.",
        ),
    ],
    mpp: Annotated[
        float | None,
        typer.Option(help="µm per pixel at the network's input, if the model does not know it."),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="With onnx: 8-bit weights, calibrated on the run's images."),
    ] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Export a model for other programs."""
    from eosin.commands.export import export as run_export
    from eosin.commands.export import format_result

    result = run_export(run_or_model, to=to, mpp=mpp, int8=int8, output=output)
    print_result(format_result(result), result, as_json=as_json)


def bench(
    networks: Annotated[
        list[str], typer.Argument(help="Names of networks, model folders or run folders.")
    ],
    as_json: AsJson = False,
) -> None:
    """Measure size, speed and memory of networks on this machine."""
    from eosin.commands.bench import bench as run_bench
    from eosin.commands.bench import format_result

    result = run_bench(networks)
    print_result(format_result(result), result, as_json=as_json)
