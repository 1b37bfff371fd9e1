"""Intended use, cautions, licences and known failures, which only the model card has."""

from __future__ import annotations

import re
from typing import Any

from eosin.artifacts.layout import OUT_OF_FOLD
from eosin.artifacts.metrics import MetricBlock
from eosin.artifacts.model import Embedding
from eosin.artifacts.predictions import PREFIX
from eosin.core.text import count, listing, quantity
from eosin.reporting.description import data_words
from eosin.reporting.formatting import metric_text, plain_reason, share, times
from eosin.reporting.outline import Cell, Points, Section, make_table
from eosin.reporting.sections import abstention, decisions
from eosin.reporting.sections.data import sizes_by
from eosin.reporting.sections.results import members_of
from eosin.reporting.train_test_overlap import (
    caution,
    has_units,
    threshold_text,
    train_test_overlap,
    unit_name,
)
from eosin.runs.finished import FinishedRun

#: Licence terms by a word in the licence's name.
_ASKED = (
    (r"\bNC\b|non-?commercial", "no commercial use"),
    (r"\bND\b|no-?deriv", "no derivatives"),
    (r"\bSA\b|share-?alike|GPL", "derivatives under the same licence"),
    (r"\bCC[ -]BY\b|attribution", "attribution"),
    (r"\bCC-?0\b|public domain", "no conditions"),
    (r"apache|\bMIT\b|\bBSD\b", "keep the licence notice"),
)
_UNSTATED = frozenset({"", "none stated", "unknown", "none"})
_IMAGENET = "; the ImageNet images themselves are for non-commercial research only"
#: Probability from which a prediction counts as confident.
SURE = 0.9
#: Prefix of failures counted by the most probable class, not at the model's threshold.
_TOP = "By most probable class: "


def use(run: FinishedRun) -> Section:
    """Return the section on intended use and what is out of scope."""
    model = run.model
    if model is None:
        return Section("Intended use")
    given = model.preprocessing
    single = "images"
    if isinstance(given, Embedding):
        single = "feature vectors, computed exactly as in training"
    elif given.magnifications:
        single = "stacks"
    is_fluorescent = model.modality == "fluorescence"
    differing = "cells, dyes or microscope" if is_fluorescent else "tissue, stain or scanner"
    points = (
        model.intended_use,
        "Not for diagnosis or any other decision about a patient.",
        f"Not for images unlike the training data ({data_words(run)}): other {differing} can change"
        " predictions silently. To evaluate it on your images: eosin evaluate MODEL --data"
        " MANIFEST.csv",
        f"Not for images of other classes: every image is assigned to one of"
        f" {', '.join(model.class_names)}.",
        f"Predictions are for single {single}, not for slides or patients.",
    )
    return Section("Intended use", Points([Cell(point) for point in points]))


def cautions(run: FinishedRun) -> list[str]:
    """Return the cautions, the gravest first; empty if the model itself was evaluated strictly."""
    texts = (_not_strict(run), _unchecked(run), _leaks(run), _not_itself(run))
    return [text for text in texts if text]


def _not_strict(run: FinishedRun) -> str:
    """Explain why no strict figure is known; empty if one is."""
    found, n_evaluated = train_test_overlap(run), quantity(run.evaluated.n_groups, unit_name(run))
    shared = found.n_groups if found else 0
    if shared or _is_by_image(run):
        both = f", and {count(shared)} of the {n_evaluated} evaluated were also in training"
        return (
            "No strict figure is known for this model: the split is by image"
            f"{both if shared else ''}. All figures here are over-optimistic by an unknown amount."
        )
    unknown = "Patients and groups of the images are unknown"
    return "" if has_units(run) else f"{unknown}, so train-test overlap cannot be excluded."


def _unchecked(run: FinishedRun) -> str:
    """Name what the audit could not check; empty where :func:`_not_strict` covers it."""
    return f"{run.audit.unchecked}." if run.audit and run.audit.unchecked and has_units(run) else ""


def _is_by_image(run: FinishedRun) -> bool:
    """Return True if the protocol itself allows a group on both sides."""
    if run.recipe is not None and not run.recipe.data.split.is_strict:
        return True
    return run.split_report is not None and run.split_report.protocol == "image"


def _leaks(run: FinishedRun) -> str:
    shown = listing(_leak_kinds(run))
    found = f"The leak audit found train-test overlap ({shown})"
    return f"{found}; the model was trained nevertheless." if shown else ""


def _leak_kinds(run: FinishedRun) -> list[str]:
    """Return the kinds of leaks; shared groups are reported by :func:`_not_strict`.

    A patient whose groups are on two sides shares no group.
    """
    found = (
        leak.kind.replace("_", " ")
        for leak in (run.audit.leaks if run.audit else [])
        if leak.kind != "same_group" or any(pair.how for pair in leak.pairs)
    )
    return list(dict.fromkeys(found))


def _not_itself(run: FinishedRun) -> str:
    """Explain that only an ensemble's members were evaluated; empty if it was evaluated itself."""
    if run.model is None or run.model.architecture != "ensemble" or run.split != OUT_OF_FOLD:
        return ""
    text = "The final ensemble was not evaluated itself"
    if members_of(run):
        averaged = "networks not trained on the image, while the model averages all networks"
        return f"{text}: for each image, figures use the mean of its members' {averaged}."
    single = "single networks, each on images that it was not trained on"
    return f"{text}: it averages the networks of all folds, while the figures are from {single}."


def consequence(licence: str | None) -> str:
    """Return the terms of a licence, as far as its name gives them."""
    stated = licence or ""
    # An ensemble joins the licences of its members' data.
    if any(one.strip().lower() in _UNSTATED for one in stated.split(";")):
        return "licence unknown: ask the rights holder"
    asked = [text for word, text in _ASKED if re.search(word, stated, re.IGNORECASE)]
    return listing(asked) or "see the text of the licence"


def licences(run: FinishedRun) -> Section:
    """Return the section of licences, with a warning if one forbids commercial use."""
    model = run.model
    if model is None:
        return Section("Licences")
    shown = [("Training data", model.data_licence, "")]
    for stage in model.transfer_chain:
        is_source = stage.data_fingerprint is None
        name = f"Initial weights: {stage.source}" if is_source else f"Data of stage {stage.stage}"
        remark = _IMAGENET if "imagenet" in stage.source.lower() else ""
        shown.append((name, stage.licence or "none stated", remark))
    taught = [(f"Data of the teacher {one.run}", one.data_licence, "") for one in model.teachers]
    shown += dict.fromkeys(taught)
    rows = [(name, licence, consequence(licence) + remark) for name, licence, remark in shown]
    rows.append(("This model", model.licence, "all of the above"))
    caption = "Conditions of each licence, by its name."
    table = make_table(caption, ("Subject", "Licence", "Conditions"), rows, texts=(0, 1, 2))
    return Section("Licences", *_warnings(shown), table)


def _warnings(shown: list[tuple[str, str, str]]) -> list[str]:
    barred = [name for name, licence, _ in shown if re.search(_ASKED[0][0], licence, re.IGNORECASE)]
    unknown = [name for name, licence, _ in shown if consequence(licence).startswith("licence")]
    barred_text, unknown_text = (
        f"{names[:1].lower()}{names[1:]}" for names in (listing(barred), listing(unknown))
    )
    words = []
    if barred:
        words.append(
            f"Non-commercial: {barred_text} must not be used commercially; neither should a model"
            " trained on it."
        )
    if unknown:
        words.append(f"Licence unknown: {unknown_text}. Ask the rights holder.")
    return words


def failures(run: FinishedRun) -> Section:
    """Return the section of known failures."""
    return Section("Known failures", Points([Cell(text) for text in failure_points(run)]))


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    n = len(failure_points(run))
    return {"failing": f"{quantity(n, 'finding')} under Known failures" if n else ""}


def failure_points(run: FinishedRun) -> list[str]:
    """Return the run's known failures, one sentence each, without patient names or paths."""
    evaluated = run.evaluated
    found = (
        _worst(run, "class", "label", evaluated.by_class, "recall"),
        _worst(run, "subtype", "subtype", evaluated.by_subtype),
        _worst(run, "magnification", "magnification", evaluated.metrics_by_magnification),
        _worst(run, "site", "site", evaluated.by_site),
        _sure_and_wrong(run),
        _lost_patients(run),
        _at_threshold(run),
        _target_missed(run),
        _no_abstention(run),
        " ".join(caution(run) or ()),
        _found_leaks(run),
        f"{quantity(n, 'image')} could not be read and {'was' if n == 1 else 'were'} excluded."
        if (n := len(run.skipped))
        else "",
        _unchanged_stain(run),
    )
    return [text for text in found if text]


def _worst(
    run: FinishedRun, what: str, column: str, blocks: dict[str, MetricBlock], name: str = "accuracy"
) -> str:
    """Compare the worst subgroup with the best; empty unless there are two."""
    known = {
        key: metric
        for key, block in blocks.items()
        if (metric := block.get(name)) is not None and metric.value is not None
    }
    if len(known) < 2:
        return ""
    order = sorted(known, key=lambda key: known[key].value or 0.0)
    sizes = sizes_by(run, column) or {}

    def shown(key: str) -> str:
        written = times(key) if column == "magnification" else key
        n = f", {quantity(sizes[written], 'image')}" if written in sizes else ""
        return f"{written} ({name} {metric_text(known[key])}{n})"

    return f"{_TOP}worst {what} {shown(order[0])}, best {shown(order[-1])}."


def _sure_and_wrong(run: FinishedRun) -> str:
    frame = run.predictions
    if frame is None:
        return ""
    top = frame[[PREFIX + name for name in run.class_names]].max(axis=1)
    sure = frame[top >= SURE]
    wrong = int((sure["label"] != sure["predicted"]).sum())
    if not len(sure):
        return f"No prediction has a probability of {SURE:g} or more."
    return (
        f"{_TOP}of {quantity(len(sure), 'image')} predicted with a probability of at least"
        f" {SURE:g}, {count(wrong)} ({share(wrong / len(sure))}) are misclassified."
    )


def _lost_patients(run: FinishedRun) -> str:
    lost = "" if run.predictions is None else _mostly_wrong(run, run.predictions["predicted"])
    return f"{_TOP}{lost}." if lost else ""


def _mostly_wrong(run: FinishedRun, decided: Any) -> str:
    """Count patients with most images misclassified; empty if none."""
    frame = run.predictions
    if run.evaluated.n_patients is None:
        return ""
    right = (frame["label"] == decided).groupby(frame["patient"]).mean()
    lost = int((right < 0.5).sum())
    of = f"{count(lost)} of {quantity(len(right), 'patient')}"
    return f"more than half of the images misclassified in {of}" if lost else ""


def _at_threshold(run: FinishedRun) -> str:
    """Describe the errors at the model's threshold; empty without one."""
    evaluated, threshold = run.evaluated, run.evaluated.threshold
    specificity, positive = evaluated.at_threshold.get("specificity"), evaluated.positive
    is_cut = threshold.value is not None or (run.split == OUT_OF_FOLD and bool(threshold_text(run)))
    if not is_cut or positive is None or specificity is None or specificity.value is None:
        return ""
    negative = decisions.negative_class(run)
    shown = [
        f"{100 * (1 - specificity.value):.0f} false positives per 100 {negative} images"
        f" (specificity {metric_text(specificity)})"
    ]
    if threshold.value is not None and run.predictions is not None:
        called = run.predictions[PREFIX + positive] >= threshold.value
        shown.append(_mostly_wrong(run, called.map({True: positive, False: negative})))
    rate = evaluated.abstention.abstention_rate.value if evaluated.abstention else None
    shown.append(f"abstention on {share(rate)} of images" if rate else "")
    at = "At the tuned threshold" if threshold.value is not None else "At the folds' thresholds"
    return f"{at}: {'; '.join(text for text in shown if text)}."


def _target_missed(run: FinishedRun) -> str:
    threshold, recall = run.evaluated.threshold, run.evaluated.at_threshold.get("recall")
    target = threshold.target_recall
    shown = []
    if threshold.reason:
        shown.append(f"The threshold differs from the recipe: {threshold.reason.rstrip('.')}.")
    reached = recall.value if recall is not None else None
    if target is not None and reached is not None and reached < target:
        shown.append(f"Recall at the threshold is {metric_text(recall)}, target {target:.2f}.")
    return " ".join(shown)


def _no_abstention(run: FinishedRun) -> str:
    rule = abstention.rule_of(run)
    if rule is None or not rule.reason:
        return ""
    return f"The model never abstains: {plain_reason(rule.reason, unit_name(run)).rstrip('.')}."


def _found_leaks(run: FinishedRun) -> str:
    found, shown = train_test_overlap(run), _leak_kinds(run)
    if found and found.n_groups:
        both = f"{quantity(found.n_groups, unit_name(run))} in training and evaluation"
        shown = [both, *shown]
    return f"The figures above include leaks: {', '.join(shown)}." if shown else ""


def _unchanged_stain(run: FinishedRun) -> str:
    parts = list(run.stain.parts.values()) if run.stain else []
    unchanged = sum(sum(part.unchanged.values()) for part in parts)
    n = quantity(sum(part.n_images for part in parts), "image")
    failed = f"Stain normalisation failed for {count(unchanged)} of {n}"
    return f"{failed}, which are used as they are." if unchanged else ""
