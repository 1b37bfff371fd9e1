"""Classification, calibration, intervals: arrays in, numbers out.

:func:`summarise` is what a run calls: every metric of the catalogue for a set of predictions, each
with a 95 % interval or the reason why there is none. NumPy and SciPy only.
"""

from eosin.core.plugins import load_entry_points
from eosin.metrics.calibration import ReliabilityBins, fit_temperature, reliability_bins, softmax
from eosin.metrics.catalogue import METRIC_NAMES, METRICS
from eosin.metrics.conformal import calibrate, groups_needed, prediction_sets
from eosin.metrics.intervals import coverage_table, interval, wilson
from eosin.metrics.measurement import bootstrap, group_weights, measure_values
from eosin.metrics.predictions import Predictions
from eosin.metrics.ranking import Curve, precision_recall_curve, ranking_scores, roc_curve
from eosin.metrics.summary import (
    count_patients,
    recognition_rate,
    summarise,
    summarise_by_class,
    summarise_patients,
)
from eosin.metrics.thresholds import (
    CURVE_THRESHOLDS,
    choose_threshold,
    choose_threshold_by_bound,
    net_benefit,
    summarise_predictive_values,
)

__all__ = [
    "CURVE_THRESHOLDS",
    "METRICS",
    "METRIC_NAMES",
    "Curve",
    "Predictions",
    "ReliabilityBins",
    "bootstrap",
    "calibrate",
    "choose_threshold",
    "choose_threshold_by_bound",
    "count_patients",
    "coverage_table",
    "fit_temperature",
    "group_weights",
    "groups_needed",
    "interval",
    "measure_values",
    "net_benefit",
    "precision_recall_curve",
    "prediction_sets",
    "ranking_scores",
    "recognition_rate",
    "reliability_bins",
    "roc_curve",
    "softmax",
    "summarise",
    "summarise_by_class",
    "summarise_patients",
    "summarise_predictive_values",
    "wilson",
]

# Last: what it loads imports this package.
load_entry_points("eosin.metrics")
