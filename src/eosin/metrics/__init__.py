"""Classification, calibration, intervals: arrays in, numbers out.

:func:`summarise` is what a run calls: the ten metrics of a set of predictions, each with a 95 %
interval or the reason why there is none. Beneath it lie plain functions, one a metric, with a
weight a row. NumPy and SciPy only.
"""

from eosin.artifacts.metrics import METRIC_NAMES
from eosin.metrics.calibration import (
    ReliabilityBins,
    brier,
    ece,
    fit_temperature,
    reliability_bins,
    softmax,
)
from eosin.metrics.classification import (
    accuracy,
    auc,
    average_precision,
    balanced_accuracy,
    confusion_matrix,
    f1,
    precision,
    recall,
    specificity,
)
from eosin.metrics.curves import Curve, precision_recall_curve, roc_curve
from eosin.metrics.intervals import coverage_table, wilson
from eosin.metrics.patients import count_patients, summarise_patients
from eosin.metrics.predictions import Predictions
from eosin.metrics.ranking import ranking_scores
from eosin.metrics.resampling import bootstrap, group_weights
from eosin.metrics.summary import BY_CLASS_NAMES, summarise, summarise_by_class
from eosin.metrics.thresholds import choose_threshold

__all__ = [
    "BY_CLASS_NAMES",
    "METRIC_NAMES",
    "Curve",
    "Predictions",
    "ReliabilityBins",
    "accuracy",
    "auc",
    "average_precision",
    "balanced_accuracy",
    "bootstrap",
    "brier",
    "choose_threshold",
    "confusion_matrix",
    "count_patients",
    "coverage_table",
    "ece",
    "f1",
    "fit_temperature",
    "group_weights",
    "precision",
    "precision_recall_curve",
    "ranking_scores",
    "recall",
    "reliability_bins",
    "roc_curve",
    "softmax",
    "specificity",
    "summarise",
    "summarise_by_class",
    "summarise_patients",
    "wilson",
]
