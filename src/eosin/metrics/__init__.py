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
from eosin.metrics.conformal import calibrate, groups_needed, prediction_sets
from eosin.metrics.intervals import coverage_table, wilson
from eosin.metrics.patients import count_patients, summarise_patients
from eosin.metrics.predictions import Predictions
from eosin.metrics.ranking import Curve, precision_recall_curve, ranking_scores, roc_curve
from eosin.metrics.resampling import bootstrap, group_weights
from eosin.metrics.summary import BY_CLASS_NAMES, summarise, summarise_by_class
from eosin.metrics.thresholds import (
    CURVE_THRESHOLDS,
    choose_threshold,
    choose_threshold_by_bound,
    net_benefit,
    summarise_predictive_values,
)

__all__ = [
    "BY_CLASS_NAMES",
    "CURVE_THRESHOLDS",
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
    "calibrate",
    "choose_threshold",
    "choose_threshold_by_bound",
    "confusion_matrix",
    "count_patients",
    "coverage_table",
    "ece",
    "f1",
    "fit_temperature",
    "group_weights",
    "groups_needed",
    "net_benefit",
    "precision",
    "precision_recall_curve",
    "prediction_sets",
    "ranking_scores",
    "recall",
    "reliability_bins",
    "roc_curve",
    "softmax",
    "specificity",
    "summarise",
    "summarise_by_class",
    "summarise_patients",
    "summarise_predictive_values",
    "wilson",
]
