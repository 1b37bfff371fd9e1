"""Metrics with intervals and reasons, of images and of patients, as a run writes them.

The recognition rate is that of Spanhol et al., "A Dataset for Breast Cancer Histopathological
Image Classification" (IEEE TBME 2016): the mean over patients of the share of a patient's images
that were recognised, every patient with the same weight.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from eosin.core.errors import DataError, UnknownNameError, close_matches
from eosin.core.types import BoolArray, Estimate, FloatArray, IntArray
from eosin.metrics.catalogue import BY_CLASS, METRICS, PER_CLASS
from eosin.metrics.intervals import estimate, support, wilson
from eosin.metrics.measurement import Measurement, bootstrap, of_class
from eosin.metrics.predictions import Predictions, encode, sum_by

_VOTES = ("majority_vote_accuracy", "mean_probability_accuracy")
_AREA = "mean_probability_auc"


def summarise(
    predictions: Predictions,
    *,
    resamples: int = 2000,
    seed: int = 0,
    names: Sequence[str] | None = None,
    simulated_as: str | None = None,
) -> dict[str, Estimate]:
    """Measure predictions, with 95 % intervals by the clustered bootstrap.

    Args:
        predictions: The predictions to evaluate.
        resamples: Number of resamples of the groups.
        seed: The run's seed; the same seed and the same grouping give the same resamples.
        names: Metrics of the catalogue; all by default.
        simulated_as: Name to look the coverage of their intervals up by; their own by default.

    Returns:
        One estimate per name. An undefined value is ``None`` with a reason, and so are the ends of
        an interval that does not exist.

    Raises:
        UnknownNameError: A name is not a metric.
        DataError: ``resamples`` is below one.
    """
    positive, ranked = predictions.positive, predictions.ranked_classes
    names = tuple(METRICS) if names is None else names
    points, samples = _measure(predictions, names, tuple(METRICS), ranked, resamples, seed)
    return {
        name: _conclude(predictions, name, positive, points, samples, simulated_as)
        for name in names
    }


def summarise_by_class(
    predictions: Predictions,
    *,
    resamples: int = 2000,
    seed: int = 0,
    names: Sequence[str] = BY_CLASS,
) -> dict[int, dict[str, Estimate]]:
    """Measure each class against the rest; by class index and metric.

    Arguments and errors are those of :func:`summarise`, but ``positive`` is ignored and ``names``
    are of metrics that exist per class.
    """
    classes = range(predictions.n_classes)
    points, samples = _measure(predictions, names, PER_CLASS, classes, resamples, seed)
    return {
        index: {name: _conclude(predictions, name, index, points, samples) for name in names}
        for index in classes
    }


def _measure(
    predictions: Predictions,
    names: Sequence[str],
    known: Sequence[str],
    ranked: Sequence[int],
    resamples: int,
    seed: int,
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Return the metrics of the data and of its resamples; empty without rows."""
    for name in names:
        if name not in known:
            raise UnknownNameError(f"no metric is called {name!r}", hint=close_matches(name, known))
    if not len(predictions) or not names:
        return {}, {}
    measure = Measurement(predictions, names, ranked)
    n_groups = predictions.n_groups
    points = measure(np.ones((1, n_groups)))
    samples = bootstrap(measure, n_groups, len(predictions), resamples=resamples, seed=seed)
    return points, samples


def _conclude(
    predictions: Predictions,
    name: str,
    positive: int | None,
    points: dict[str, FloatArray],
    samples: dict[str, FloatArray],
    simulated_as: str | None = None,
) -> Estimate:
    """Return the estimate of a metric, with its interval and reasons."""
    if name not in points:
        return Estimate(None, reason="no images")
    point, sample = of_class(points[name], positive), of_class(samples[name], positive)
    value = float(point[0])
    if np.isnan(value):
        return Estimate(None, reason=_why_undefined(predictions, name, positive))
    rests_on = support(predictions, name, positive)
    return estimate(value, sample, name, rests_on, simulated_as=simulated_as)


def _why_undefined(predictions: Predictions, name: str, positive: int | None) -> str:
    """Return the reason: which class is missing, or was never predicted."""
    metric, n_classes = METRICS[name], predictions.n_classes
    present = np.bincount(predictions.targets, minlength=n_classes) > 0
    called = np.bincount(predictions.predicted, minlength=n_classes) > 0
    classes: Sequence[int] = range(n_classes)
    if positive is not None and metric.per_class:
        classes = (positive,)
    elif metric.support == "all":
        classes = np.flatnonzero(present).tolist()
    for index in classes:
        who = predictions.class_name(index)
        if "images" in metric.needs and not present[index]:
            return f"no image of {who}"
        if "predicted" in metric.needs and not called[index]:
            return f"nothing was predicted as {who}"
        if "others" in metric.needs and not np.delete(present, index).any():
            return f"every image is of {who}"
        if "predicted as others" in metric.needs and not np.delete(called, index).any():
            return f"every image was predicted as {who}"
    return "undefined"


def count_patients(patients: Sequence[Hashable]) -> int | None:
    """Return the number of patients; ``None`` where a row has none."""
    return None if any(_unknown(patient) for patient in patients) else len(set(patients))


def summarise_patients(
    predictions: Predictions,
    patients: Sequence[Hashable],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Measure patients instead of images.

    A patient's class is the majority of the images' predicted classes (of a tie, the class with the
    highest mean probability) or the arg-max of the mean probability. Whole groups are drawn; groups
    that share a patient are drawn together.

    Args:
        predictions: The predictions to evaluate, N images.
        patients: Patient of each image, (N,); empty, ``None`` or NaN where unknown.
        resamples: Number of resamples of the groups.
        seed: The run's seed.

    Returns:
        ``recognition_rate``, ``majority_vote_accuracy``, ``mean_probability_accuracy`` and, in a
        binary task, ``mean_probability_auc``, each with the number of patients, and the two
        accuracies with Wilson's interval where patients are drawn one by one. All but the first
        are ``None`` with a reason where a patient has images of several classes; all are where a
        patient is unknown.

    Raises:
        DataError: The number of patients is not that of the rows, or ``resamples`` is below one.
    """
    votes = (*_VOTES, _AREA) if predictions.positive is not None else _VOTES
    table = _gather(predictions, patients)
    rate = {"recognition_rate": _recognition_rate(predictions, table, resamples, seed)}
    if isinstance(table, str):
        return rate | dict.fromkeys(votes, Estimate(None, reason=table))
    mixed = int((table.present.sum(axis=1) > 1).sum())
    if mixed:
        reason = f"{mixed} of {len(table)} patients have images of several classes"
        return rate | dict.fromkeys(votes, Estimate(None, reason=reason))
    return rate | _decide(predictions, table, resamples, seed)


def recognition_rate(
    predictions: Predictions,
    patients: Sequence[Hashable],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return the recognition rate alone; arguments and errors are as in `summarise_patients`."""
    return _recognition_rate(predictions, _gather(predictions, patients), resamples, seed)


def _gather(predictions: Predictions, patients: Sequence[Hashable]) -> Patients | str:
    """Return the table of patients, or the reason why there is none."""
    if len(patients) != len(predictions):
        raise DataError(
            f"`patients` must have one entry a row ({len(predictions)}), got {len(patients)}"
        )
    unknown = sum(_unknown(patient) for patient in patients)
    if unknown:
        return f"{unknown} of {len(patients)} images have no patient"
    return Patients.gather(predictions, encode(patients)) if len(predictions) else "no images"


@dataclass(frozen=True, eq=False)
class Patients:
    """Table of P patients.

    Attributes:
        clusters: Unit of resampling of each patient, (P,), and of each image, (N,).
        present: True where a patient has an image of a class, (P, C).
        right: Share of a patient's images that were predicted right, (P,).
        mean: Mean probability of each class, (P, C).
        votes: Images predicted as each class, (P, C).
    """

    clusters: IntArray
    image_clusters: IntArray
    present: BoolArray
    right: FloatArray
    mean: FloatArray
    votes: FloatArray

    def __len__(self) -> int:
        return len(self.clusters)

    @classmethod
    def gather(cls, predictions: Predictions, codes: IntArray) -> Patients:
        """Aggregate images by the number of their patient, from 0, shape (N,)."""
        n_patients = int(codes.max()) + 1
        images = np.bincount(codes)
        hits = sum_by(codes, predictions.targets == predictions.predicted, n_patients)
        mean = np.stack(
            [np.bincount(codes, column) / images for column in predictions.probabilities.T], axis=1
        )
        shape = (n_patients, predictions.n_classes)
        votes, present = np.zeros(shape), np.zeros(shape, dtype=bool)
        np.add.at(votes, (codes, predictions.predicted), 1.0)
        present[codes, predictions.targets] = True
        clusters = _clusters(codes, predictions.group_codes)
        return cls(clusters, clusters[codes], present, hits / images, mean, votes)

    def decisions(self, predictions: Predictions) -> tuple[Predictions, Predictions]:
        """Return the predictions per patient, by votes and by mean; each patient has one class."""
        leading = self.votes == self.votes.max(axis=1, keepdims=True)
        by_mean = replace(
            predictions,
            probabilities=self.mean,
            targets=self.present.argmax(axis=1),
            predicted=self.mean.argmax(axis=1),
            groups=self.clusters,
        )
        decided = np.where(leading, self.mean, -1.0).argmax(axis=1)
        return replace(by_mean, predicted=decided), by_mean


def _recognition_rate(
    predictions: Predictions, table: Patients | str, resamples: int, seed: int
) -> Estimate:
    if isinstance(table, str):
        return Estimate(None, reason=table)
    sums = np.bincount(table.clusters, table.right)
    patients = np.bincount(table.clusters).astype(np.float64)

    def measure(weights: FloatArray) -> dict[str, FloatArray]:
        return {"rate": (weights @ sums) / (weights @ patients)}

    samples = bootstrap(measure, len(sums), len(sums), resamples=resamples, seed=seed)
    drawn = replace(predictions, groups=table.image_clusters)
    rests_on = support(drawn, "accuracy", None)
    rate = estimate(float(table.right.mean()), samples["rate"], "recognition_rate", rests_on)
    return replace(rate, n=len(table))


def _decide(
    predictions: Predictions, table: Patients, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Evaluate one decision per patient; every patient has one class."""
    by_vote, by_mean = table.decisions(predictions)
    draw, decided = {"resamples": resamples, "seed": seed}, {}
    for name, decisions in zip(_VOTES, (by_vote, by_mean), strict=True):
        measured = summarise(decisions, **draw, names=("accuracy",), simulated_as=name)
        right = int((decisions.predicted == decisions.targets).sum())
        # Wilson's interval takes units as independent; patients of one group are not.
        share = wilson(right, len(table)) if decisions.n_groups == len(table) else Estimate(None)
        ends = None if share.low is None or share.high is None else (share.low, share.high)
        decided[name] = replace(measured["accuracy"], n=len(table), wilson=ends)
    if predictions.positive is not None:
        area = summarise(by_mean, **draw, names=("auc",), simulated_as=_AREA)["auc"]
        decided[_AREA] = replace(area, n=len(table))
    return decided


def _clusters(patients: IntArray, groups: IntArray) -> IntArray:
    """Number the units of resampling of each patient, shape (P,)."""
    n_patients, n_groups = int(patients.max()) + 1, int(groups.max()) + 1
    size = n_patients + n_groups
    links = coo_array((np.ones(len(patients)), (patients, n_patients + groups)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    return encode(component[:n_patients].tolist())


def _unknown(patient: Hashable) -> bool:
    # NaN is how a table marks a missing cell, and the only value that differs from itself.
    return patient is None or patient == "" or patient != patient
