"""Metrics with intervals and reasons: what a run writes down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eosin.core.errors import UnknownNameError, close_matches
from eosin.core.types import Estimate, FloatArray
from eosin.metrics.catalogue import BY_CLASS, METRIC_NAMES, METRICS, PER_CLASS
from eosin.metrics.intervals import estimate, support
from eosin.metrics.measurement import Measurement, of_class
from eosin.metrics.predictions import Predictions
from eosin.metrics.resampling import bootstrap


def summarise(
    predictions: Predictions,
    *,
    resamples: int = 2000,
    seed: int = 0,
    names: Sequence[str] = METRIC_NAMES,
    simulated_as: str | None = None,
) -> dict[str, Estimate]:
    """Measure predictions, with 95 % intervals by the clustered bootstrap.

    Args:
        predictions: What is judged.
        resamples: How many resamples of the groups to draw.
        seed: The run's seed; the same seed and the same grouping give the same resamples.
        names: Which metrics, out of :data:`METRIC_NAMES`.
        simulated_as: What the coverage of their intervals is looked up by; their names by default.

    Returns:
        One estimate a name. An undefined value is ``None`` with a reason, and so are the ends
        of an interval that cannot be given.

    Raises:
        UnknownNameError: A name is not a metric.
        DataError: ``resamples`` is below one.
    """
    positive, ranked = predictions.positive, predictions.ranked_classes
    points, samples = _measure(predictions, names, METRIC_NAMES, ranked, resamples, seed)
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
    """Measure each class against the rest; arguments and errors as :func:`summarise`.

    Args:
        predictions: What is judged; ``positive`` plays no part.
        resamples: How many resamples of the groups to draw.
        seed: The run's seed.
        names: Which metrics, out of those that exist for a single class.

    Returns:
        For each class index, one estimate a name.
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
    """Return the metrics of the data and of its resamples; nothing where there is no row."""
    for name in names:
        if name not in known:
            raise UnknownNameError(f"no metric is called {name!r}", mend=close_matches(name, known))
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
    """Turn numbers into an estimate with its reasons."""
    if name not in points:
        return Estimate(None, reason="no images")
    point, sample = of_class(points[name], positive), of_class(samples[name], positive)
    value = float(point[0])
    if np.isnan(value):
        return Estimate(None, reason=_why_undefined(predictions, name, positive))
    rests_on = support(predictions, name, positive)
    return estimate(value, sample, name, rests_on, simulated_as=simulated_as)


def _why_undefined(predictions: Predictions, name: str, positive: int | None) -> str:
    """Return which class is missing, or was never predicted."""
    metric, n_classes = METRICS[name], predictions.n_classes
    present = np.bincount(predictions.targets, minlength=n_classes) > 0
    called = np.bincount(predictions.predicted, minlength=n_classes) > 0
    classes: Sequence[int] = range(n_classes)
    if positive is not None and metric.per_class:
        classes = (positive,)
    for index in classes:
        who = predictions.class_name(index)
        if "images" in metric.needs and not present[index]:
            return f"no image of {who}"
        if "predicted" in metric.needs and not called[index]:
            return f"nothing was predicted as {who}"
        if "others" in metric.needs and not np.delete(present, index).any():
            return f"every image is of {who}"
    return "undefined"
