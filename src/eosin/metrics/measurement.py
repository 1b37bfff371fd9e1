"""All metrics of one set of predictions, for many weightings of its groups at once.

Metrics of counts need no rows: what each group adds to a count is summed once, and a matrix
product turns R weightings of the groups into R sets of counts. The metrics of ranking need every
row, sorted once (see :mod:`eosin.metrics.ranking`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from eosin.core.types import FloatArray, IntArray
from eosin.metrics.calibration import N_BINS, squared_errors, top_label
from eosin.metrics.catalogue import METRICS, RANKING, Tally
from eosin.metrics.predictions import Predictions
from eosin.metrics.ranking import Ranking, ranking_scores


class Measurement:
    """A function from weights of groups to metrics, prepared once for its predictions.

    Args:
        predictions: What is judged, N rows in G groups.
        names: Which metrics of the catalogue.
        ranked_classes: The classes whose ranking is wanted; the others' columns hold NaN.
    """

    def __init__(
        self, predictions: Predictions, names: Sequence[str], ranked_classes: Sequence[int]
    ) -> None:
        self._names = tuple(names)
        self._n_classes = predictions.n_classes
        self._sums = _group_sums(predictions)
        self._rankings: dict[int, tuple[Ranking, IntArray]] = {}
        if set(RANKING) & set(names):
            for index in ranked_classes:
                scores = ranking_scores(predictions.probabilities, index)
                ranking = Ranking(scores, predictions.targets == index)
                self._rankings[index] = ranking, predictions.group_codes[ranking.order]

    def __call__(self, weights: FloatArray) -> dict[str, FloatArray]:
        """Measure every weighting of the groups.

        Args:
            weights: How often each group counts, shape (R, G).

        Returns:
            One array a metric: (R, C) for those that exist for each class, (R,) for the rest; NaN
            where it is undefined.
        """
        n_classes = self._n_classes
        sums = weights @ self._sums  # (R, 3·C + 1 + bins)
        hits, predicted, actual = (
            sums[:, start * n_classes : (start + 1) * n_classes] for start in range(3)
        )
        squared_error, gaps = sums[:, 3 * n_classes], sums[:, 3 * n_classes + 1 :]
        tally = Tally(hits, predicted, actual, squared_error, gaps, *self._rank(weights))
        return {name: METRICS[name].formula(tally) for name in self._names}

    def _rank(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        area = np.full((len(weights), self._n_classes), np.nan)
        average = area.copy()
        for index, (ranking, groups) in self._rankings.items():
            area[:, index], average[:, index] = ranking.measure(weights.take(groups, axis=1))
        return area, average


def _group_sums(predictions: Predictions) -> csr_array:
    """Return what each group adds to every sum, sparse, shape (G, 3·C + 1 + bins).

    Columns: rows of a class that were hit, rows predicted as it, rows of it, squared error, and
    the summed gaps between confidence and truth in each bin.
    """
    n_rows, n_classes = len(predictions), predictions.n_classes
    targets, predicted = predictions.targets, predictions.predicted
    bins, gaps = top_label(targets, predictions.probabilities)
    errors = squared_errors(targets, predictions.probabilities, predictions.positive)
    ones = np.ones(n_rows)
    columns = [
        targets,
        n_classes + predicted,
        2 * n_classes + targets,
        np.full(n_rows, 3 * n_classes),
        3 * n_classes + 1 + bins,
    ]
    values = np.concatenate([1.0 * (targets == predicted), ones, ones, errors, gaps])
    rows = np.tile(predictions.group_codes, len(columns))
    shape = (predictions.n_groups, 3 * n_classes + 1 + N_BINS)
    return csr_array((values, (rows, np.concatenate(columns))), shape=shape)


def of_class(measured: FloatArray, positive: int | None) -> FloatArray:
    """Return one number a weighting, (R,), of (R,) or of (R, C).

    Args:
        measured: A metric.
        positive: The class that it shall be of; ``None`` for the mean over all.
    """
    if measured.ndim == 1:
        return measured
    return np.asarray(measured.mean(axis=1) if positive is None else measured[:, positive])


def measure_values(predictions: Predictions, names: Sequence[str]) -> dict[str, float]:
    """Return metrics without intervals; NaN where one is undefined."""
    measure = Measurement(predictions, names, predictions.ranked_classes)
    found = measure(np.ones((1, predictions.n_groups)))
    return {name: float(of_class(found[name], predictions.positive)[0]) for name in names}
