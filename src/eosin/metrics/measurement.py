"""All metrics of one set of predictions, for many weightings of its groups at once.

Metrics of counts need no rows: each group's counts are summed once, and a matrix product turns R
weightings of the groups into R sets of counts. Metrics of ranking need every row, sorted once (see
:mod:`eosin.metrics.ranking`).

The weightings are those of the clustered bootstrap, because images of one patient are not
independent: a resample draws as many groups as there are, with replacement, and takes all rows of
each (Field and Welsh, "Bootstrapping clustered data", JRSS B 2007).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from eosin.core.errors import DataError
from eosin.core.plugins import describe_error
from eosin.core.seeding import generator
from eosin.core.types import FloatArray, IntArray
from eosin.metrics.calibration import N_BINS, squared_errors, top_label
from eosin.metrics.catalogue import METRICS, RANKING, Tally, own_metrics
from eosin.metrics.predictions import Predictions
from eosin.metrics.ranking import Ranking, ranking_scores

#: How far rounding may lead beyond the bounds of a metric.
_ROUNDING = 1e-9
#: Rows times resamples held at once: small enough for the processor's cache.
ROWS_AT_ONCE = 2**17


class Measurement:
    """A function from weights of groups to metrics, prepared once for its predictions.

    Args:
        predictions: The predictions to evaluate, N rows in G groups.
        names: Metrics of the catalogue.
        ranked_classes: Classes whose ranking is measured; the others' columns hold NaN.
    """

    def __init__(
        self, predictions: Predictions, names: Sequence[str], ranked_classes: Sequence[int]
    ) -> None:
        rows = {name: METRICS[name] for name in names}
        self._formulas = {name: row.formula for name, row in rows.items() if row.formula}
        self._functions = {name: row.function for name, row in rows.items() if row.function}
        self._predictions = predictions
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
            weights: Multiplicity of each group, shape (R, G).

        Returns:
            By metric: (R, C) if it exists per class, else (R,); NaN where undefined.
        """
        n_classes = self._n_classes
        sums = weights @ self._sums  # (R, 3·C + 1 + bins)
        hits, predicted, actual = (
            sums[:, start * n_classes : (start + 1) * n_classes] for start in range(3)
        )
        squared_error, gaps = sums[:, 3 * n_classes], sums[:, 3 * n_classes + 1 :]
        tally = Tally(hits, predicted, actual, squared_error, gaps, *self._rank(weights))
        # Names may share a formula: the micro averages are the accuracy.
        found = {formula: formula(tally) for formula in set(self._formulas.values())}
        values = {name: found[formula] for name, formula in self._formulas.items()}
        for name, function in self._functions.items():
            values[name] = measure_rows(
                function,
                self._predictions.take,
                self._predictions.group_codes,
                weights,
                f"the metric {name!r}",
                (METRICS[name].least, METRICS[name].most),
            )
        return values

    def _rank(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        area = np.full((len(weights), self._n_classes), np.nan)
        average = area.copy()
        for index, (ranking, groups) in self._rankings.items():
            area[:, index], average[:, index] = ranking.measure(weights.take(groups, axis=1))
        return area, average


def measure_rows(
    function: Callable[[Any], float],
    take: Callable[[IntArray], Any],
    group_codes: IntArray,
    weights: FloatArray,
    what: str,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> FloatArray:
    """Call a function for every weighting of the groups, on rows that are repeated as often.

    Args:
        function: From some rows to a number; NaN or a ``ValueError`` where it is undefined.
        take: From numbers of rows, which may repeat, to what the function receives.
        group_codes: Group of each row, from 0, shape (N,).
        weights: Multiplicity of each group, whole numbers, shape (R, G).
        what: The function in errors, such as ``the metric 'f2'``.
        bounds: Least and largest value.

    Returns:
        Shape (R,).

    Raises:
        DataError: The function fails for all rows as they are, returns anything but a number, or
            one outside its bounds.
    """
    rows, found = np.arange(len(group_codes)), np.full(len(weights), np.nan)
    # Undefined in some resamples, which libraries warn of, is no news.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for place, counts in enumerate(weights.astype(np.int64)):
            try:
                value = function(take(np.repeat(rows, counts[group_codes])))
            except Exception as error:
                undefined = isinstance(error, ValueError | ArithmeticError)
                if not undefined or (counts == 1).all():
                    raise DataError(f"{what} failed: {describe_error(error)}") from error
                continue
            found[place] = _as_number(value, what)
    return _within(found, bounds, what)


def _as_number(value: Any, what: str) -> float:
    if np.ndim(value) == 0:
        with suppress(TypeError, ValueError):
            return float(value)
    shape = f" of shape {np.shape(value)}" if np.ndim(value) else ""
    raise DataError(f"{what} must return a number, got {type(value).__name__}{shape}")


def _within(found: FloatArray, bounds: tuple[float, float], what: str) -> FloatArray:
    """Return values cut off at their bounds, beyond which only rounding may lead."""
    least, most = bounds
    outside = (found < least - _ROUNDING) | (found > most + _ROUNDING)
    if outside.any():
        raise DataError(
            f"{what} must be between {least:g} and {most:g}, got {found[outside][0]:g}",
            hint="Give its range: bounds=(LOW, HIGH)",
        )
    return np.clip(found, least, most)


def check_own_metrics(class_names: tuple[str, ...], positive: int | None) -> None:
    """Measure users' own metrics on made-up predictions of a task: all right, all wrong, one class.

    A metric that fails would otherwise do so after the training.

    Raises:
        DataError: One fails for another reason than being undefined, or leaves its bounds.
    """
    if not own_metrics():
        return
    n_classes = len(class_names)
    targets = np.tile(np.arange(n_classes), 12)
    groups = np.repeat(np.arange(12), n_classes)
    for predicted in (targets, (targets + 1) % n_classes, np.zeros_like(targets)):
        table = np.full((len(targets), n_classes), 0.2 / n_classes)
        table[np.arange(len(targets)), predicted] += 0.8
        made_up = Predictions(table, targets, predicted, groups, positive, class_names)
        # Each group twice is a resample, for which a metric may be undefined.
        Measurement(made_up, own_metrics(), ())(np.full((1, 12), 2.0))


def _group_sums(predictions: Predictions) -> csr_array:
    """Return each group's sums, sparse, shape (G, 3·C + 1 + bins).

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
    """Return a metric (R, C) of one class, or with ``None`` its macro average; (R,) is kept."""
    if measured.ndim == 1:
        return measured
    return np.asarray(measured.mean(axis=1) if positive is None else measured[:, positive])


def measure_values(predictions: Predictions, names: Sequence[str]) -> dict[str, float]:
    """Return metrics without intervals; NaN where one is undefined."""
    measure = Measurement(predictions, names, predictions.ranked_classes)
    found = measure(np.ones((1, predictions.n_groups)))
    return {name: float(of_class(found[name], predictions.positive)[0]) for name in names}


def group_weights(
    n_groups: int, resamples: int, *, seed: int = 0, at_once: int | None = None
) -> Iterator[FloatArray]:
    """Draw the multiplicity of each group in each resample, a few resamples at a time.

    The draws depend on the seed and on the number of groups alone: two models evaluated on the same
    images get the same resamples, whatever ``at_once`` is.

    Args:
        n_groups: Number of groups, G, at least one.
        resamples: Number of resamples, R.
        seed: The run's seed.
        at_once: Resamples to yield at a time; all by default.

    Yields:
        Whole numbers as float64, shape (≤ at_once, G), each row summing to G.

    Raises:
        DataError: There is no group, or a count is negative.
    """
    if n_groups < 1 or resamples < 0:
        raise DataError(
            f"at least one group and no negative number of resamples are needed, "
            f"got {n_groups} groups and {resamples} resamples"
        )
    random = generator(seed, "bootstrap")
    step = max(1, resamples if at_once is None else at_once)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = random.integers(0, n_groups, size=(size, n_groups))
        drawn += np.arange(size)[:, None] * n_groups
        counts = np.bincount(drawn.ravel(), minlength=size * n_groups)
        yield counts.reshape(size, n_groups).astype(np.float64)


def bootstrap(
    measure: Callable[[FloatArray], dict[str, FloatArray]],
    n_groups: int,
    n_rows: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, FloatArray]:
    """Measure every resample.

    Args:
        measure: A function from weights of groups (r, G) to arrays whose first axis is r.
        n_groups: Number of groups, G.
        n_rows: Number of rows that ``measure`` handles; bounds the resamples per call.
        resamples: Number of resamples, R.
        seed: The run's seed.

    Returns:
        The results of ``measure``, joined: first axis R.

    Raises:
        DataError: As :func:`group_weights`, or no resample was asked for.
    """
    if resamples < 1:
        raise DataError(f"`resamples` must be at least 1, got {resamples}")
    at_once = max(1, ROWS_AT_ONCE // max(n_rows, n_groups))
    parts = [
        measure(weights)
        for weights in group_weights(n_groups, resamples, seed=seed, at_once=at_once)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
