"""What a model said of a table of samples: one model, or each fold's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from eosin.artifacts.metrics import Abstention, Threshold
from eosin.core.types import BoolArray, FloatArray, IntArray, Samples
from eosin.evaluation.locking import cross_calibrate, join_thresholds
from eosin.inference.classifier import Classifier, conformal_sets, decide
from eosin.metrics import Predictions, softmax
from eosin.metrics.conformal import abstains
from eosin.recipe.schema import EvaluateSection

#: Where the thresholds of pooled folds come from.
_THRESHOLDS = "each fold's own, chosen on its inner validation part"


@dataclass(frozen=True)
class Judged:
    """What a model said of a table of samples.

    Attributes:
        samples: N rows with labels, groups, patients.
        probabilities: Calibrated, shape (N, K).
        decided: Class index decided at the locked threshold, shape (N,); the arg-max where there
            is none.
        threshold: The locked threshold and where it came from.
        uncalibrated: Probabilities at temperature 1, (N, K), where they are at hand.
        temperature: Divisor of the logits; nothing where each fold has its own.
        temperature_source: Where it was fitted.
        abstention: The rule by which the model abstains, or why it has none.
        sets: Which classes are in the conformal set of each row, (N, K); nothing without a rule.
    """

    samples: Samples
    probabilities: FloatArray
    decided: IntArray
    threshold: Threshold
    uncalibrated: FloatArray | None = None
    temperature: float | None = None
    temperature_source: str = ""
    abstention: Abstention | None = None
    sets: BoolArray | None = None

    @property
    def predicted(self) -> IntArray:
        """Arg-max of every row, shape (N,)."""
        return np.asarray(np.argmax(self.probabilities, axis=1), dtype=np.int64)

    @property
    def positive(self) -> int | None:
        """Index of the positive class in a task of two classes."""
        names, positive = self.samples.class_names, self.samples.positive
        return names.index(positive) if positive is not None and len(names) == 2 else None

    @property
    def abstained(self) -> BoolArray:
        """Which rows the model abstains on, shape (N,)."""
        if self.sets is None:
            return np.zeros(len(self.samples), dtype=bool)
        return abstains(self.sets, self.decided)

    def predictions(self, predicted: IntArray, rows: BoolArray | None = None) -> Predictions:
        """Return what is measured: a decision (N,) on all rows, or on those selected (N,)."""
        keep = np.ones(len(self.samples), dtype=bool) if rows is None else rows
        return Predictions(
            probabilities=self.probabilities[keep],
            targets=self.samples.targets[keep],
            predicted=predicted[keep],
            groups=self.samples.groups[keep],
            positive=self.positive,
            class_names=self.samples.class_names,
        )


def judged_by(classifier: Classifier, samples: Samples, logits: FloatArray) -> Judged:
    """Calibrate logits, decide at the model's threshold and abstain by its rule.

    Args:
        classifier: The model.
        samples: N rows.
        logits: Shape (N, K).
    """
    probabilities = classifier.probabilities(logits)
    info = classifier.info
    return Judged(
        samples=replace(samples, class_names=info.class_names, positive=info.positive),
        probabilities=probabilities,
        decided=decide(probabilities, info),
        threshold=info.threshold,
        # An ensemble has its members' temperatures inside: what they were divided by is not told.
        uncalibrated=None if info.architecture == "ensemble" else softmax(logits),
        temperature=info.temperature,
        temperature_source=info.temperature_source,
        abstention=info.abstention,
        sets=conformal_sets(probabilities, info),
    )


def pool_folds(parts: Sequence[Judged], section: EvaluateSection) -> Judged:
    """Join the held-out predictions of folds, each fold decided at its own threshold.

    When to abstain in a fold is calibrated on the other folds' held-out predictions: a fold's own
    inner validation part rarely has the groups that it takes.

    Args:
        parts: One a fold, judged by its own model.
        section: Whether to abstain.
    """
    frame = pd.concat([part.samples.frame for part in parts], ignore_index=True)
    raw = [part.uncalibrated for part in parts if part.uncalibrated is not None]
    tables = [(part.samples, part.probabilities) for part in parts]
    rule, sets = cross_calibrate(tables, section)
    return Judged(
        samples=replace(parts[0].samples, frame=frame),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        decided=np.concatenate([part.decided for part in parts]),
        threshold=join_thresholds([part.threshold for part in parts], _THRESHOLDS, "folds"),
        uncalibrated=np.concatenate(raw) if len(raw) == len(parts) else None,
        temperature_source="each fold's own, fitted on its inner validation part",
        abstention=rule,
        sets=sets,
    )
