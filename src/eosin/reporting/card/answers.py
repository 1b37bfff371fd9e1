"""Answers of a run to the items of reporting guidelines; empty where it has none."""

from __future__ import annotations

from collections.abc import Callable

from eosin.artifacts.layout import OUT_OF_FOLD, ModelFolder
from eosin.core.text import count, listing, quantity
from eosin.data.external import EXTERNAL
from eosin.reporting.card.cautions import failure_points
from eosin.reporting.card.sections import chosen, recipe_facts
from eosin.reporting.formatting import metric_label, metric_text, share, times
from eosin.reporting.sections import decisions as abstention
from eosin.reporting.sections import exploration, provenance
from eosin.reporting.sections.calibration import calibration_words
from eosin.reporting.sections.training import balance_words
from eosin.reporting.train_test_overlap import (
    has_units,
    leading_metric,
    leading_name,
    train_test_overlap,
    unit_name,
    units,
)
from eosin.runs.finished import FinishedRun

#: Function from a run to its answer.
Answer = Callable[[FinishedRun], str]


def model_fact(*names: str) -> Answer:
    """Return a function that formats facts of ``model.json``."""
    return lambda run: _joined(chosen(provenance.model_facts(run), names))


def dataset_fact(*names: str) -> Answer:
    """Return a function that formats facts declared by the data set."""
    return lambda run: _joined(chosen(provenance.dataset_facts(run), names))


def environment_fact(*names: str) -> Answer:
    """Return a function that formats facts of ``environment.json``."""
    return lambda run: _joined(chosen(provenance.environment_facts(run), names))


def recipe_fact(*names: str) -> Answer:
    """Return a function that formats choices of the recipe."""
    return lambda run: _joined(chosen(recipe_facts(run), names))


def _joined(facts: provenance.Facts) -> str:
    return "; ".join(f"{name}: {value}" if len(facts) > 1 else value for name, value in facts)


def sites(run: FinishedRun) -> str:
    """Return the number of sites."""
    n = len(run.evaluated.by_site)
    return f"{quantity(n, 'site')} evaluated" if n else ""


def selection(run: FinishedRun) -> str:
    """Describe the selection of images from the data set."""
    if run.recipe is None:
        return ""
    data = run.recipe.data
    kept = listing(map(times, data.magnifications)) or "all magnifications"
    limit = f", at most {data.limit} images a class and group" if data.limit else ""
    return f"{kept}{limit}"


def acquisition(run: FinishedRun) -> str:
    """Describe the image acquisition."""
    shown = dict(exploration.availability(run)).get("Magnifications", "")
    scale = f"{run.model.mpp:g} µm per pixel" if run.model and run.model.mpp else ""
    return "; ".join(text for text in (shown, scale) if text)


def classes(run: FinishedRun) -> str:
    """Describe the classes."""
    shown = run.class_names
    return f"label of an image: {listing(shown)}" if shown else ""


def size(run: FinishedRun) -> str:
    """Return the size of the evaluated split."""
    return f"evaluated on {units(run)}" if run.evaluated.n_images else ""


def missing(run: FinishedRun) -> str:
    """Describe the handling of unreadable images."""
    if run.manifest is None:
        return ""
    n = len(run.skipped)
    return f"{quantity(n, 'unreadable image')} left out" if n else "no image was unreadable"


def partition(run: FinishedRun) -> str:
    """Describe the split."""
    report = run.split_report
    if report is None:
        return ""
    got = [part.got for part in report.parts.values()]
    shown = [f"{name} {share(part.got)}" for name, part in report.parts.items()]
    if report.protocol == "folds":
        shown = [f"{len(got)} parts of {share(min(got))} to {share(max(got))}"]
    unit = run.recipe.data.split.unit if run.recipe else "group"
    by = f" by {unit}" if report.protocol == "folds" or unit != "group" else ""
    return f"protocol “{report.protocol}”{by}: {', '.join(shown)} of the images"


def disjoint(run: FinishedRun) -> str:
    """Return the level at which the subsets are disjoint."""
    found, unit = train_test_overlap(run), unit_name(run)
    if found is None:
        return ""
    if found.n_groups:
        return f"image; {quantity(found.n_groups, unit)} on both sides"
    if not has_units(run):
        return "image; whether patients are apart is not known"
    return f"{unit}; none on both sides"


def ensembling(run: FinishedRun) -> str:
    """Describe the ensemble, if any."""
    if run.model is None:
        return ""
    if run.model.architecture != "ensemble":
        return "one network"
    return dict(provenance.model_facts(run))["Weights"]


def internal(run: FinishedRun) -> str:
    """Describe the evaluation on held-out images of the training's own source."""
    if run.split == EXTERNAL or not run.evaluated.n_images:
        return ""
    kind = "out-of-fold predictions" if run.split == OUT_OF_FOLD else f"split “{run.split}”"
    return f"{kind}: {units(run)}"


def clusters(run: FinishedRun) -> str:
    """Return the subgroups that metrics are reported for."""
    evaluated = run.evaluated
    shown = {
        "magnification": evaluated.by_magnification,
        "site": evaluated.by_site,
        "subtype": evaluated.by_subtype,
    }
    return listing(
        f"by {name} ({len(blocks)})" for name, blocks in shown.items() if len(blocks) > 1
    )


def measures(run: FinishedRun) -> str:
    """Return the performance measures."""
    evaluated = run.evaluated
    names = [
        metric_label(name, short=True) for name, m in evaluated.image.items() if m.value is not None
    ]
    return ", ".join([*names, *(["decision curve"] if evaluated.decisions else [])])


def uncertainty(run: FinishedRun) -> str:
    """Describe the confidence intervals."""
    lead = leading_metric(run.evaluated.image)
    if lead is None or lead[1].low is None:
        return ""
    groups = quantity(run.evaluated.n_groups, unit_name(run))
    return f"95 % bootstrap intervals from resampling {groups}"


def balance(run: FinishedRun) -> str:
    """Describe the class balance and its handling."""
    counts = exploration.label_counts(run)
    shown: dict[str, int] = {}
    for row in counts.values():
        for name, n in row.items():
            shown[name] = shown.get(name, 0) + n
    shares = ", ".join(f"{name} {count(n)}" for name, n in sorted(shown.items()))
    done = balance_words(run) or ("Not evened out." if run.balance is not None else "")
    return f"{shares}. {done}".strip() if shares else ""


def output(run: FinishedRun) -> str:
    """Describe the model's output and threshold."""
    if run.model is None:
        return ""
    threshold = dict(provenance.model_facts(run)).get("Threshold", "")
    return f"probability of each class; threshold {threshold}"


def parts(run: FinishedRun) -> str:
    """Return the number of images by class and subset."""
    rows = exploration.label_counts(run)
    return "; ".join(
        f"{part}: {', '.join(f'{name} {count(n)}' for name, n in sorted(row.items()))}"
        for part, row in rows.items()
    )


def availability(run: FinishedRun) -> str:
    """Return the location and licence of the data."""
    return dataset_fact("DOI", "Address", "Homepage")(run)


def code(run: FinishedRun) -> str:
    """Describe how to reproduce the run."""
    if run.recipe is None or run.environment is None:
        return ""
    return f"Eosin {run.environment.eosin} and the run's recipe.toml make it again"


def specification(run: FinishedRun) -> str:
    """Return the names of the model's files."""
    if run.model is None:
        return ""
    folder = ModelFolder(run.folder.model)
    computing = (path.name for path in (folder.onnx, folder.weights) if path.exists())
    return f"in full: {listing([folder.info.name, *computing])}"


def headline(run: FinishedRun) -> str:
    """Return the metric of the verdict."""
    lead = leading_metric(run.evaluated.image)
    return f"{leading_name(lead[0], run)} {metric_text(lead[1])}" if lead else ""


def failing(run: FinishedRun) -> str:
    """Return the number of failures that the card lists."""
    n = len(failure_points(run))
    return f"{quantity(n, 'finding')} under Known failures" if n else ""


def refusals(run: FinishedRun) -> str:
    """Describe input validation and abstention."""
    if run.model is None:
        return ""
    rule = abstention.rule_of(run)
    abstains = "it never abstains" if rule is None or rule.reason else "it may abstain"
    return f"images of other channels or modality are refused; {abstains}"


def recalibration(run: FinishedRun) -> str:
    """Describe the calibration of probabilities (recalibration in TRIPOD+AI)."""
    shown = dict(provenance.model_facts(run)).get("Temperature", "")
    return calibration_words(run) or (f"temperature: {shown}" if shown else "")


def transformation(run: FinishedRun) -> str:
    """Describe the scaling of pixel values and the augmentation."""
    if run.model is None:
        return ""
    given = run.model.preprocessing
    mean, std = (", ".join(f"{v:g}" for v in values) for values in (given.mean, given.std))
    policy = f"; augmentation: {run.recipe.augment.policy}" if run.recipe else ""
    return f"less the mean {mean}, over {std}{policy}"


def flow(run: FinishedRun) -> str:
    """Describe the participant flow: images, patients and excluded files."""
    if run.manifest is None:
        return ""
    return _joined(
        chosen(exploration.availability(run), ("Images", "Patients", "Unreadable files"))
    )
