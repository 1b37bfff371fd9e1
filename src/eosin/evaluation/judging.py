"""Judging one split: images, patients, magnifications, classes, sites.

``predicted`` is the arg-max, and the block ``image`` judges it; ``at_threshold`` judges the
decision at a threshold that was locked before this split was seen.
"""

from __future__ import annotations

import numpy as np

from eosin.artifacts.metrics import Confusion, MetricBlock, SplitMetrics
from eosin.evaluation.blocks import (
    Draw,
    describe_abstention,
    describe_calibration,
    describe_decisions,
    to_block,
)
from eosin.evaluation.judged import Judged
from eosin.metrics import (
    confusion_matrix,
    count_patients,
    summarise,
    summarise_by_class,
    summarise_patients,
)
from eosin.recipe.schema import EvaluateSection


def judge(judged: Judged, section: EvaluateSection, seed: int) -> SplitMetrics:
    """Measure everything that the contract asks for on one split.

    Args:
        judged: At least one row.
        section: Resamples of the bootstrap, and the prevalence that predictive values hold for.
        seed: The run's seed.
    """
    draw = Draw(resamples=section.resamples, seed=seed)
    samples = judged.samples
    by_argmax = judged.predictions(judged.predicted)
    at_threshold = to_block(summarise(judged.predictions(judged.decided), **draw))
    patients = list(samples.frame["patient"])
    names = samples.class_names
    matrix = confusion_matrix(samples.targets, judged.predicted, len(names))
    return SplitMetrics(
        n_images=int(samples.frame["path"].nunique()),
        n_patients=count_patients(patients),
        n_groups=by_argmax.n_groups,
        positive=samples.positive,
        image=to_block(summarise(by_argmax, **draw)),
        at_threshold=at_threshold,
        patient=to_block(summarise_patients(by_argmax, patients, **draw)),
        by_magnification=_by_column(judged, "magnification", draw),
        by_class={
            names[index]: to_block(block)
            for index, block in summarise_by_class(by_argmax, **draw).items()
        },
        by_site=_by_column(judged, "site", draw),
        confusion=Confusion(labels=list(names), matrix=matrix.astype(int).tolist()),
        threshold=judged.threshold,
        by_subtype=_by_subtype(judged, draw),
        calibration=describe_calibration(judged, draw),
        decisions=describe_decisions(judged, at_threshold, section.prevalence, draw),
        abstention=describe_abstention(judged, draw),
    )


def _by_subtype(judged: Judged, draw: Draw) -> dict[str, MetricBlock]:
    """Judge the rows of each subtype; nothing where the labels are the subtypes."""
    frame = judged.samples.frame
    if "subtype" in frame and list(frame["subtype"]) == list(frame["label"]):
        return {}
    return _by_column(judged, "subtype", draw)


def _by_column(judged: Judged, column: str, draw: Draw) -> dict[str, MetricBlock]:
    """Judge the rows of each value of a column; nothing where the column is absent or empty."""
    if column not in judged.samples.frame:
        return {}
    cells = np.asarray(judged.samples.frame[column], dtype=str)
    values = sorted({cell for cell in cells if cell}, key=_numbers_first)
    return {
        value: to_block(summarise(judged.predictions(judged.predicted, cells == value), **draw))
        for value in values
    }


def _numbers_first(value: str) -> tuple[int, float, str]:
    """Sort 40 before 100, and numbers before words."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value
