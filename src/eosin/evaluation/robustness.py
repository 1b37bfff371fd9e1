"""Robustness: metrics under changes of the images, as paired differences.

The changes are those of :mod:`eosin.evaluation.corruptions`. Intervals and differences are from the
same resamples of whole groups as all metrics of Eosin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from eosin.artifacts.metrics import Metric
from eosin.artifacts.model import Embedding, Preprocessing
from eosin.artifacts.predictions import count_images
from eosin.artifacts.robustness import ChangedMetrics, ChangeResult, Robustness
from eosin.core.errors import UsageError
from eosin.core.progress import progress_bar
from eosin.core.seeding import generator
from eosin.core.types import Estimate, Image
from eosin.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from eosin.evaluation.evaluate import Draw, Evaluated, as_hits
from eosin.images.bank import ImageBank
from eosin.metrics.comparison import Draws, difference, draw
from eosin.metrics.predictions import Predictions
from eosin.metrics.summary import count_patients, summarise

#: From the name of a change and a severity to the predictions of the changed images.
Predict = Callable[[str, int], Evaluated]


def measure_robustness(
    unchanged: Evaluated, predict: Predict, split: str, *, resamples: int, seed: int
) -> Robustness:
    """Measure a model on its images under every change at every severity.

    Args:
        unchanged: The predictions without a change.
        predict: Predicts the same images, changed.
        split: Their subset.
        resamples: Bootstrap resamples of groups.
        seed: The run's seed.
    """
    options = Draw(resamples=resamples, seed=seed)
    before = _draw_all(unchanged, options)
    found: dict[str, ChangeResult] = {}
    n_all = len(CORRUPTIONS) * len(SEVERITIES)
    with progress_bar("Changing images") as advance:
        for name, corruption in CORRUPTIONS.items():
            rows = []
            for severity in SEVERITIES:
                evaluated = predict(name, severity)
                rows.append(_compare(evaluated, before, options))
                advance(len(found) * len(SEVERITIES) + len(rows), n_all)
            found[name] = ChangeResult(
                title=corruption.title, settings=corruption.settings, by_severity=rows
            )
    frame = unchanged.samples.frame
    return Robustness(
        split=split,
        n_images=count_images(frame),
        n_patients=count_patients(list(frame["patient"])),
        n_groups=unchanged.predictions(unchanged.decided).n_groups,
        unchanged=_measure_all(unchanged, options),
        changes=found,
        seed=seed,
    )


def check_changeable(preprocessing: Preprocessing) -> None:
    """Check that a model takes brightfield images, for which the changes are made.

    Raises:
        UsageError: It takes fluorescence channels or features.
    """
    if isinstance(preprocessing, Embedding) or preprocessing.planes is not None:
        taken = "features" if isinstance(preprocessing, Embedding) else "fluorescence channels"
        raise UsageError(
            f"robustness is measured by changes of brightfield images, and the model takes {taken}",
            hint="Leave --robustness out",
        )


def change_images(bank: ImageBank, name: str, severity: int, seed: int) -> ImageBank:
    """Return the images under a change; its random numbers depend on seed, change and image alone.

    Args:
        bank: Brightfield images.
        name: Of the change.
        severity: From 1 to 5.
        seed: The run's seed.
    """
    names = {row: cell for cell, row in bank.rows.items()}
    change = CORRUPTIONS[name].change

    def change_one(image: Image, row: int) -> Image:
        return change(image, severity, generator(seed, "corruption", name, names[row]))

    return bank.changed(change_one)


def _parts(evaluated: Evaluated) -> dict[str, tuple[Predictions, str]]:
    """Return for each metric the predictions and the catalogue's metric that measure it."""
    decisions = evaluated.predictions(evaluated.decided)
    parts = {name: (decisions, name) for name in ("accuracy", "auc", "ece")}
    if evaluated.sets is not None or evaluated.refused is not None:
        parts["abstention_rate"] = (as_hits(evaluated, evaluated.abstained), "accuracy")
    return parts


def _draw_all(evaluated: Evaluated, options: Draw) -> dict[str, tuple[Draws, str]]:
    return {
        name: (draw(predictions, [metric], **options), metric)
        for name, (predictions, metric) in _parts(evaluated).items()
    }


def _measure_all(evaluated: Evaluated, options: Draw) -> dict[str, Metric]:
    found = {
        name: Metric.of(summarise(predictions, names=(metric,), **options)[metric])
        for name, (predictions, metric) in _parts(evaluated).items()
    }
    return _with_reason(found, evaluated)


def _compare(
    evaluated: Evaluated, before: Mapping[str, tuple[Draws, str]], options: Draw
) -> ChangedMetrics:
    after = _draw_all(evaluated, options)
    differences = {
        name: Metric.of(difference(draws, before[name][0], metric))
        for name, (draws, metric) in after.items()
    }
    return ChangedMetrics(
        metrics=_measure_all(evaluated, options), differences=_with_reason(differences, evaluated)
    )


def _with_reason(found: dict[str, Metric], evaluated: Evaluated) -> dict[str, Metric]:
    """Add the rate of abstention with its reason where the model has no rule."""
    if "abstention_rate" not in found:
        rule = evaluated.abstention
        reason = (rule and rule.reason) or "the model never abstains"
        found["abstention_rate"] = Metric.of(Estimate(None, reason=reason))
    return found
