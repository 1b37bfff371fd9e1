"""Explanations of a run's report: evidence maps of held-out images, and the randomisation test.

They are made at the end of a training, of folds and of an ensemble, with the method that
``explain`` uses by default, for the first of the most confident wrong and right decisions that the
report shows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image as PillowImage

from eosin.artifacts.explanation_checks import ExplanationChecks, RandomisationTest
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.run import SamplesIndex, SampleThumbnail
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.errors import EosinError
from eosin.core.types import FloatArray, Image
from eosin.evaluation import Evaluated
from eosin.experiment.thumbnails import describe, find_predicted, write_thumbnail
from eosin.explanation.evidence import Explainer, why_none
from eosin.explanation.methods import OpenMethod, open_coarse, open_default
from eosin.explanation.randomisation import count_maps, randomisation_test
from eosin.images.bank import ImageBank
from eosin.images.preprocess import to_thumbnail
from eosin.inference.classifier import n_views
from eosin.inference.selftest import unpack_images
from eosin.reporting.overlays import blend

_LOG = logging.getLogger(__name__)

#: Evidence maps of wrong, and of right decisions.
_EACH = 4
#: Multiply-accumulates that the maps of a model may take: some ten seconds on two cores.
_MOST_MACS = 5e11
#: Height of a picture and space between image and map, in px.
_SIDE_PX, _GAP_PX = 160, 6

#: From a row of evaluated samples to the model that did not see it in its training.
HeldOutBy: TypeAlias = Callable[[Any], tuple[ModelFolder, ModelInfo]]


@dataclass(frozen=True)
class Plan:
    """Method of a model's maps, and how many of them its cost allows.

    Attributes:
        open_method: Opens the method.
        n_each: Maps of wrong, and of right decisions; 0 if they cost too much.
    """

    open_method: OpenMethod
    n_each: int


#: Plan of what was asked for, whatever it costs.
FULL_PLAN = Plan(open_default, _EACH)


def plan_maps(folder: ModelFolder, info: ModelInfo) -> Plan:
    """Plan maps by the cost of the network alone: the same on any machine."""
    for open_method, n_each in (
        (open_default, _EACH),
        (open_coarse, _EACH),
        (open_coarse, _EACH // 2),
    ):
        n_masks = open_method(folder, info).n_masks
        # Of the report; of the tested images, by the trained network and by random ones.
        n_maps = 2 * n_each + count_maps(2 * n_each, has_masks=n_masks is not None)
        if n_maps * (n_masks or 1) * n_views(info) * (info.macs or 0) <= _MOST_MACS:
            return Plan(open_method, n_each)
    return Plan(open_coarse, 0)


def explain_run(
    run: RunFolder,
    info: ModelInfo,
    evaluated: Evaluated,
    bank: ImageBank,
    held_out_by: HeldOutBy | None = None,
    *,
    with_maps: bool = True,
) -> ModelInfo:
    """Write a run's evidence maps into ``samples/``, and test its model's method.

    Args:
        run: The run folder, with its model and thumbnails.
        info: ``model.json``, not written yet.
        evaluated: Predictions of held-out images.
        bank: Their images.
        held_out_by: The model of each row; by default the run's own.
        with_maps: False if the model has seen the images.

    Returns:
        ``info`` with the checks of the method, if the model has one.
    """
    if why_none(info):
        return info
    folder = ModelFolder(run.model)
    try:
        if with_maps:
            add_maps(run, evaluated, bank, held_out_by or (lambda _: (folder, info)))
        checks = check_method(folder, info, plan_maps(folder, info))
    except EosinError as error:  # a training does not fail because its model is not explained
        _LOG.warning(f"The decisions are not explained: {error.message}")
        return info
    return info.model_copy(update={"explanation": checks})


def check_method(folder: ModelFolder, info: ModelInfo, plan: Plan) -> ExplanationChecks:
    """Return the randomisation test of a model's method, on the images of its self-test."""
    method, selftest = plan.open_method(folder, info), info.selftest
    n_images = min(2 * plan.n_each, selftest.n_images) if selftest else 0
    if not plan.n_each:
        test = RandomisationTest.without_value(0, "it takes too long for the end of a training")
    elif selftest is None or n_images < 2:
        lack = "the model carries fewer than two test images"
        test = RandomisationTest.without_value(n_images, lack)
    else:
        images = unpack_images(info)[:n_images]
        targets = [info.class_names.index(one) for one in selftest.decisions[:n_images]]
        test = randomisation_test(folder, info, plan.open_method, images, targets)
    return ExplanationChecks(method=method.method, settings=method.settings, randomisation=test)


def add_maps(run: RunFolder, evaluated: Evaluated, bank: ImageBank, held_out_by: HeldOutBy) -> None:
    """Add evidence maps to a run's thumbnails, in place of earlier ones."""
    if not run.samples_index.exists():
        return
    pictures = _save_maps(run, evaluated, bank, held_out_by)
    index = read_document(run.samples_index, SamplesIndex)
    kept = [one for one in index.pictures if one.role != "evidence"]
    write_document(run.samples_index, SamplesIndex(pictures=[*kept, *pictures]))


def _save_maps(
    run: RunFolder, evaluated: Evaluated, bank: ImageBank, held_out_by: HeldOutBy
) -> list[SampleThumbnail]:
    samples, saved = evaluated.samples, list[SampleThumbnail]()
    opened: dict[Path, tuple[int, Explainer]] = {}
    for rows in find_predicted(evaluated).values():
        for place, row in enumerate(rows[:_EACH]):
            one = samples.where(np.arange(len(samples)) == row)
            folder, info = held_out_by(one.frame.iloc[0])
            if folder.root not in opened:
                plan = plan_maps(folder, info)
                opened[folder.root] = plan.n_each, plan.open_method(folder, info)
            n_each, explainer = opened[folder.root]
            if place >= n_each:
                continue
            target = int(evaluated.decided[row])
            image = bank.reading(info.preprocessing).of(one)[:][0]
            found = explainer.explain(image, target)
            picture = beside(to_thumbnail(image, info.preprocessing), found.map)
            thumbnail = describe(one, 0, "evidence").model_copy(
                update={
                    "predicted": samples.class_names[target],
                    "probability": float(evaluated.probabilities[row, target]),
                    "is_flat": found.is_flat,
                }
            )
            saved.append(write_thumbnail(run, f"evidence-{len(saved):02d}.jpg", picture, thumbnail))
    return saved


def beside(image: Image, evidence: FloatArray) -> PillowImage.Image:
    """Return an image (H, W, 3) with its evidence (H, W) at its right."""
    height, width = image.shape[:2]
    size = (max(1, round(_SIDE_PX * width / height)), _SIDE_PX)
    sheet = PillowImage.new("RGB", (2 * size[0] + _GAP_PX, _SIDE_PX), "white")
    for number, picture in enumerate((image, blend(image, evidence))):
        place = (number * (size[0] + _GAP_PX), 0)
        sheet.paste(PillowImage.fromarray(picture).resize(size), place)
    return sheet
