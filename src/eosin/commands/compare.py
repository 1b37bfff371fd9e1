"""Command ``compare``: comparison of finished runs on the images that all of them held out."""

from __future__ import annotations

import io
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image as PillowImage

from eosin.artifacts.comparison import (
    ComparedRun,
    Comparison,
    Cost,
    Disagreement,
    Latency,
    find_fronts,
)
from eosin.artifacts.layout import ComparisonFolder, ModelFolder
from eosin.artifacts.manifest import write_table
from eosin.artifacts.metrics import Confusion
from eosin.artifacts.model import Embedding
from eosin.artifacts.pseudonyms import load_pseudonyms
from eosin.artifacts.versioned import write_document
from eosin.commands.data_check import read_thumbnails
from eosin.core.display import Shown
from eosin.core.errors import ArtifactError, UnknownNameError, close_matches
from eosin.core.files import check_output, prepare_output, write_bytes
from eosin.core.text import as_list
from eosin.core.types import Samples, parts_of
from eosin.data.external import EXTERNAL
from eosin.evaluation.comparison import (
    ComparedModel,
    compare_pairs,
    estimate_optimism,
    measure_alone,
)
from eosin.evaluation.evaluate import roc_points
from eosin.experiment.environment import default_output, version_of
from eosin.exporting.costs import (
    THREADS,
    TIMED_IMAGES,
    Models,
    find_models,
    measure_latencies,
    read_cost,
    training_seconds,
)
from eosin.metrics.catalogue import COMPARED, METRICS, own_metrics
from eosin.metrics.comparison import FLIPS
from eosin.metrics.summary import count_patients
from eosin.privacy.pseudonymise import hide_document
from eosin.privacy.release import know, list_files
from eosin.recipe.schema import EvaluateSection, Recipe
from eosin.reporting import write_comparison_page
from eosin.reporting.formatting import metric_label, metric_text
from eosin.reporting.train_test_overlap import train_test_overlap, unit_name
from eosin.runs.comparison import (
    find_disagreements,
    find_ranges,
    learning_curves,
    make_compared_models,
)
from eosin.runs.finished import FinishedRun
from eosin.runs.matching import find_shared, read_comparable

_SEED = 0
#: Thumbnails of images on which the runs disagree, and their largest side.
_MOST_PICTURES, _PICTURE_PX = 14, 160


@dataclass(frozen=True, repr=False)
class ComparisonResult(Shown):
    """Result of ``compare``.

    Attributes:
        folder: Folder of ``comparison.html``, ``comparison.json`` and ``comparison.csv``.
        page: Path of the HTML page.
        comparison: The contents of ``comparison.json``.
    """

    folder: Path
    page: Path
    comparison: Comparison

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        metric = self.comparison.metric
        name = metric_label(metric, short=True)
        runs = {
            run.name: f"{name} {metric_text(run.image[metric])}" for run in self.comparison.runs
        }
        return {"page": self.page, "images": self.comparison.n_images, **runs}


def compare(
    runs: Path | str | Iterable[Path | str],
    *,
    output: Path | str | None = None,
    metric: str = "auc",
    pseudonymise: bool = False,
) -> ComparisonResult:
    """Compare finished runs by their metrics on the same images, and by their costs.

    Args:
        runs: At least two folders of runs or evaluations with one label set.
        output: Output folder; ``runs/compare-<UTC time>`` by default.
        metric: Ranks the runs; accuracy is used instead where it is undefined for one of them, with
            a remark on the page.
        pseudonymise: Whether patients, groups and paths get pseudonyms, also in a run's name.

    Raises:
        UsageError: Fewer than two runs, one of them twice, or no such metric.
        EosinError: A run is not finished or of another task, or no image is common to all.
    """
    ranking = [name for name, row in METRICS.items() if row.higher_is_better]
    if metric not in ranking:
        why = ", of which lower is better" if metric in METRICS else ""
        raise UnknownNameError(
            f"runs cannot be ranked by {metric!r}{why}", hint=close_matches(metric, ranking)
        )
    folder = Path(output or default_output("compare"))
    check_output(folder)
    found = read_comparable(as_list(runs))
    shared = find_shared(found, "Evaluate all runs on one table of labels", by_content=True)
    if not shared.paths:
        raise ArtifactError(
            f"no image was evaluated in all of {', '.join(run.short_name for run in found)}",
            hint="Train them on the same data with the same split and seed, or with folds; or "
            "evaluate each on the same manifest: eosin evaluate RUN --data MANIFEST.csv -o DIR",
        )
    frame, compared_models = shared.frame, make_compared_models(shared)
    resamples = EvaluateSection().resamples
    samples = Samples(frame, found[0].root.resolve(), found[0].class_names)
    models = [find_models(run) for run in found]
    latencies = _time(models, samples)
    shown = [
        _describe(run, compared_model, model, latencies, resamples)
        for run, compared_model, model in zip(found, compared_models, models, strict=True)
    ]
    asked = ""
    if any(run.image[metric].value is None for run in shown):
        asked, metric = metric, "accuracy"
    metrics = list(dict.fromkeys([metric, *COMPARED, *own_metrics()]))
    ranked = _ranked(compared_models, shown, metric)
    pairs = compare_pairs(ranked, metrics, resamples=resamples, flips=FLIPS, seed=_SEED)
    n_disagreements, disagreements = find_disagreements(shared, compared_models)
    pictures = _read_pictures(disagreements[:_MOST_PICTURES], samples)
    comparison = Comparison(
        eosin=version_of("eosin") or "unknown",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        platform=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        threads=THREADS,
        metric=metric,
        asked=asked,
        metrics=metrics,
        positive=found[0].evaluated.positive,
        n_images=len(frame),
        n_patients=count_patients(list(frame["patient"])),
        n_groups=int(frame["group"].nunique()),
        n_repeated=shared.n_repeated,
        matched_by_content=shared.n_by_content,
        resamples=resamples,
        flips=FLIPS,
        seed=_SEED,
        runs=shown,
        pairs=pairs,
        ranges=find_ranges(shared, compared_models, shown, metric),
        optimism=_optimism(ranked, shown, metric, resamples),
        n_disagreements=n_disagreements,
        disagreements=_with_files(disagreements, pictures),
        fronts=find_fronts(shown, metric),
    )
    if pseudonymise:
        files = [path for run in found for path in list_files(run.root)]
        comparison = hide_document(comparison, know(files, load_pseudonyms()), samples.root)
    made = ComparisonFolder(prepare_output(folder))
    for file, picture in pictures.values():
        write_bytes(made.samples / file, picture, durable=False)
    write_document(made.document, comparison)
    write_table(made.table, _table(comparison))
    return ComparisonResult(folder, write_comparison_page(folder), comparison)


def _read_pictures(
    disagreements: Sequence[Disagreement], samples: Samples
) -> dict[str, tuple[str, bytes]]:
    """Return name and bytes of a thumbnail of each image that can still be read, by its path."""
    firsts = {one.path: next(filter(None, parts_of(one.path))) for one in disagreements}
    found = {}
    for number, (path, pixels) in enumerate(read_thumbnails(samples, firsts).items()):
        picture, stream = PillowImage.fromarray(pixels), io.BytesIO()
        picture.thumbnail((_PICTURE_PX, _PICTURE_PX))
        picture.save(stream, format="JPEG", quality=90)
        found[path] = (f"disagreement-{number:02d}.jpg", stream.getvalue())
    return found


def _with_files(
    disagreements: Sequence[Disagreement], pictures: Mapping[str, tuple[str, bytes]]
) -> list[Disagreement]:
    return [
        one.model_copy(update={"file": pictures[one.path][0]}) if one.path in pictures else one
        for one in disagreements
    ]


def _ranked(
    compared_models: Sequence[ComparedModel], shown: Sequence[ComparedRun], metric: str
) -> list[ComparedModel]:
    """Put the best first, so that a pair's first run is the better one."""
    values = {run.name: run.image[metric].value or 0.0 for run in shown}
    return sorted(compared_models, key=lambda one: -values[one.name])


def _optimism(
    ranked: Sequence[ComparedModel], shown: Sequence[ComparedRun], metric: str, resamples: int
) -> float | None:
    """Estimate the optimism of the best of the runs that count for the headline."""
    clean = {run.name for run in shown if not run.is_flattered}
    chosen = [one for one in ranked if one.name in clean]
    chosen = chosen if len(chosen) > 1 else list(ranked)
    return estimate_optimism(chosen, metric, resamples=resamples, seed=_SEED)


def _time(models: Sequence[Models], samples: Samples) -> dict[Path, Latency]:
    some = samples.where(samples.frame.index.to_numpy() < TIMED_IMAGES)
    places = chain.from_iterable((found.deployed, found.judged) for found in models)
    return measure_latencies({one.root: one for one in places if one is not None}, some)


def _describe(
    run: FinishedRun,
    compared_model: ComparedModel,
    models: Models,
    latencies: dict[Path, Latency],
    resamples: int,
) -> ComparedRun:
    image, at_threshold = measure_alone(compared_model, resamples, _SEED)
    seen = train_test_overlap(run)

    def cost(folder: ModelFolder | None) -> Cost:
        return read_cost(folder, latencies.get(folder.root) if folder else None)

    return ComparedRun(
        name=run.short_name,
        model=_model(run),
        preprocessing=_preprocessing(run.recipe),
        protocol=_protocol(run),
        split=run.split,
        seed=None if run.environment is None else run.environment.seed,
        n_judged=int(run.rows["path"].nunique()),
        n_seen_groups=None if seen is None else seen.n_groups,
        n_leaks=0 if run.audit is None else len(run.audit.leaks),
        simulated=run.simulated,
        image=image,
        at_threshold=at_threshold,
        networks=models.networks,
        judged=cost(models.judged),
        deployed=cost(models.deployed),
        training_seconds=training_seconds(run),
        device=None if run.environment is None else run.environment.device,
        is_head=run.model is not None and isinstance(run.model.preprocessing, Embedding),
        learning=learning_curves(run),
        confusion=Confusion(
            labels=list(run.class_names), matrix=compared_model.predictions.confusion.tolist()
        ),
        roc=roc_points(compared_model.predictions, compared_model.predictions.positive),
    )


def _model(run: FinishedRun) -> str:
    info, recipe = run.model, run.recipe
    if info is not None and info.members:
        return f"ensemble of {len(info.members)} runs"
    if info is not None:
        return str(info.arguments.get("architecture", info.architecture))
    return recipe.model.name if recipe is not None else "unknown"


def _preprocessing(recipe: Recipe | None) -> str:
    if recipe is None:
        return "unknown"
    stain = "no stain normalisation" if recipe.stain.method == "none" else recipe.stain.method
    stain += " on training images only" if recipe.stain.apply_to == "training" else ""
    policy = recipe.augment.policy
    changed = "no augmentation" if policy == "none" else f"augmented ({policy})"
    views = ", mean of eight views" if recipe.augment.test_time != "none" else ""
    return f"{stain}, {changed}{views}"


def _protocol(run: FinishedRun) -> str:
    """Format a run's split protocol."""
    if run.split == EXTERNAL:
        return "external manifest"
    if run.recipe is None:
        return "unknown"
    split = run.recipe.data.split
    first = (
        ", augmented copies made before the split" if run.recipe.augment.copies_before_split else ""
    )
    if split.protocol == "folds":
        by = unit_name(run) if split.by == "group" else split.by
        folds = f"{split.k} folds by {by}" if split.by != "site" else "one fold per site"
        return f"{folds}{' beside a test subset' if split.test_share else ''}{first}"
    unit = unit_name(run) if split.unit == "group" else split.unit
    return f"{'as in the manifest' if split.protocol == 'column' else f'by {unit}'}{first}"


def _table(comparison: Comparison) -> Any:
    """Return the table of ``comparison.csv``."""
    rows = []
    for run in comparison.runs:
        row: dict[str, Any] = {"run": run.name, "model": run.model, "protocol": run.protocol}
        row |= {"preprocessing": run.preprocessing, "n_images": comparison.n_images}
        row |= {"n_groups": comparison.n_groups, "seen_groups": run.n_seen_groups}
        for name, metric in run.image.items():
            row |= {name: metric.value, f"{name}_low": metric.low, f"{name}_high": metric.high}
        row["networks"] = run.networks
        for way, cost in (("judged", run.judged), ("deployed", run.deployed)):
            values = cost.model_dump(exclude={"latency"})
            row |= {f"{way}_{name}": value for name, value in values.items()}
            row[f"{way}_seconds"] = cost.latency and cost.latency.median
        row |= {"training_seconds": run.training_seconds, "device": run.device}
        rows.append(row)
    return pd.DataFrame(rows)
