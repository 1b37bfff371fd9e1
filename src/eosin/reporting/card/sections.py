"""Sections of the model card that summarise the run's page."""

from __future__ import annotations

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import Embedding, Preprocessing
from eosin.core.text import count, listing, quantity
from eosin.reporting.card.outline import Section
from eosin.reporting.description import data_words
from eosin.reporting.sections import decisions, exploration, provenance
from eosin.reporting.sections import decisions as abstaining
from eosin.reporting.sections.calibration import calibration_words
from eosin.reporting.sections.results import headline_tables, members_table
from eosin.reporting.sections.training import balance_words
from eosin.reporting.train_test_overlap import split_name, units
from eosin.runs.finished import FinishedRun

Facts = provenance.Facts

_IDENTITY = (
    "Network",
    "Weights",
    "Input",
    "Channel windows",
    "Stain normalisation",
    "Evaluated by",
    "Scale",
    "Classes",
    "Positive class",
)
_ENVIRONMENT = ("Eosin", "Made", "Device", "Precision", "Commit", "Seed", "Packages")


def chosen(facts: Facts, names: tuple[str, ...]) -> Facts:
    """Select facts by name, in the order of the names."""
    shown = dict(facts)
    return [(name, shown[name]) for name in names if name in shown]


def identity(run: FinishedRun) -> Section:
    """Return the section on the model: network, input, classes, files."""
    facts = chosen(provenance.model_facts(run), _IDENTITY)
    if run.model is not None:
        facts.append(("Modality", run.model.modality))
    if run.model is not None and run.model.macs is not None:
        facts.append(("Work", f"{run.model.macs / 1e6:,.0f} million multiply-accumulates an image"))
    facts += chosen(provenance.model_facts(run), ("SHA-256 of the weights",))
    return Section("What it is", facts=(*facts, *_files(run)))


def _files(run: FinishedRun) -> Facts:
    folder = ModelFolder(run.folder.model)
    sizes = [
        f"{path.name} {path.stat().st_size / 1e6:.2f} MB"
        for path in (folder.onnx, folder.weights)
        if path.exists()
    ]
    return [("Files", ", ".join(sizes))] if sizes else []


def use(run: FinishedRun) -> Section:
    """Return the section on intended use and what is out of scope."""
    model = run.model
    if model is None:
        return Section("Use")
    seen = data_words(run)
    is_fluorescent = model.modality == "fluorescence"
    differing = "cells, dyes or microscope" if is_fluorescent else "tissue, stain or scanner"
    points = [
        "Not for diagnosis, nor for any other decision on a patient.",
        f"Not for images of another kind than it learned from ({seen}): other {differing}"
        " may change what it says without a sign of it. To measure it on yours: eosin evaluate"
        " MODEL --data MANIFEST.csv",
        f"Not for images of anything but {listing(model.class_names)}: whatever is shown to it is"
        " given one of these.",
        f"It evaluates single {_judges(model.preprocessing)}, not slides or patients.",
    ]
    return Section("Use", words=(f"Intended use: {model.intended_use}",), points=tuple(points))


def _judges(given: Preprocessing) -> str:
    if isinstance(given, Embedding):
        return "rows of features, which must be computed in the very way that its own were"
    return "stacks" if given.magnifications else "images"


def data(run: FinishedRun) -> Section:
    """Return the section on training and evaluation data, without patient names or paths."""
    facts = chosen(
        provenance.dataset_facts(run),
        ("Title", "Citation", "DOI", "Address", "Homepage", "Fingerprint"),
    )
    counts = exploration.label_counts(run)
    shown = [
        (part.capitalize(), ", ".join(f"{name}: {count(n)}" for name, n in sorted(row.items())))
        for part, row in counts.items()
    ]
    evaluated = (f"Evaluated ({split_name(run)})", units(run))
    words = ("The images are simulated, not taken from patients.",) if run.simulated else ()
    return Section("Data", words=words, facts=(*facts, *shown, evaluated))


def training(run: FinishedRun) -> Section:
    """Return the section on training, or on the runs that an ensemble averages."""
    members = members_table(run)
    words = [text for text in (exploration.split_words(run).strip(), balance_words(run)) if text]
    transfer = chosen(provenance.model_facts(run), ("Transfer",))
    return Section(
        "Training",
        words=tuple(words),
        facts=(
            *recipe_facts(run),
            *transfer,
            *chosen(provenance.environment_facts(run), _ENVIRONMENT),
        ),
        tables=(members,) if members else (),
    )


def recipe_facts(run: FinishedRun) -> Facts:
    """Return the choices of the recipe; none for an ensemble of runs."""
    if run.recipe is None:
        return []
    train, augment = run.recipe.train, run.recipe.augment
    stop = f", stopped after {train.patience} evaluations without gain" if train.patience else ""
    kept = "the last state" if train.monitor == "none" else f"the state of best {train.monitor}"
    facts = [
        ("Optimizer", f"{train.optimizer}, learning rate {train.lr:g} ({train.schedule.name})"),
        ("Length", f"at most {quantity(train.epochs, 'epoch')} of batches of {train.batch_size}"),
        ("Kept", f"{kept}{stop}"),
        ("Loss", train.loss.replace("_", " ")),
        ("Regularised by", _regularised(run)),
        ("Augmentation", "none" if augment.policy == "none" else augment.policy),
    ]
    return [(name, value) for name, value in facts if value]


def _regularised(run: FinishedRun) -> str:
    train = run.recipe.train if run.recipe else None
    if train is None:
        return ""
    shown = (("weight decay", train.weight_decay), ("L2 penalty", train.l2))
    return listing(f"{name} {value:g}" for name, value in shown if value)


def performance(run: FinishedRun) -> Section:
    """Return the section on performance, with intervals and sample sizes."""
    return Section("Performance", tables=tuple(headline_tables(run)))


def threshold(run: FinishedRun) -> Section:
    """Return the section on the tuned threshold and its outcome in 100 images."""
    table, prevalence = decisions.decisions_table(run), decisions.prevalence_words(run)
    words = (
        [*decisions.threshold_words(run), prevalence]
        if prevalence
        else decisions.threshold_words(run)
    )
    own = chosen(provenance.model_facts(run), ("Threshold",))
    if (
        run.model is not None
        and run.model.threshold.value == run.evaluated.threshold.value
        and words
    ):
        own = []
    return Section(
        "Threshold",
        words=(" ".join(words),) if words else (),
        facts=tuple(("This model's own", value) for _, value in own),
        tables=(table,) if table else (),
    )


def calibration(run: FinishedRun) -> Section:
    """Return the section on calibration."""
    words = calibration_words(run)
    own = [] if words else chosen(provenance.model_facts(run), ("Temperature",))
    return Section("Calibration", words=(words,) if words else (), facts=tuple(own))


def abstention(run: FinishedRun) -> Section:
    """Return the section on abstention and its guarantee."""
    words, table = abstaining.abstention_words(run), abstaining.coverage_table(run)
    return Section(
        "Abstention",
        words=(" ".join(words),) if words else (),
        tables=(table,) if table else (),
    )
