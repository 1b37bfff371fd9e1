"""Classification, calibration, intervals: arrays in, numbers out.

:func:`summarise` is what a run calls: every metric of the catalogue for a set of predictions, each
with a 95 % interval or the reason why there is none. NumPy and SciPy only.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from eosin.core.plugins import load_entry_points

if TYPE_CHECKING:
    from eosin.metrics.calibration import ReliabilityBins as ReliabilityBins
    from eosin.metrics.calibration import fit_temperature as fit_temperature
    from eosin.metrics.calibration import reliability_bins as reliability_bins
    from eosin.metrics.calibration import softmax as softmax
    from eosin.metrics.catalogue import METRIC_NAMES as METRIC_NAMES
    from eosin.metrics.catalogue import METRICS as METRICS
    from eosin.metrics.conformal import calibrate as calibrate
    from eosin.metrics.conformal import groups_needed as groups_needed
    from eosin.metrics.conformal import prediction_sets as prediction_sets
    from eosin.metrics.intervals import coverage_table as coverage_table
    from eosin.metrics.intervals import interval as interval
    from eosin.metrics.intervals import wilson as wilson
    from eosin.metrics.measurement import bootstrap as bootstrap
    from eosin.metrics.measurement import group_weights as group_weights
    from eosin.metrics.measurement import measure_values as measure_values
    from eosin.metrics.predictions import Predictions as Predictions
    from eosin.metrics.ranking import Curve as Curve
    from eosin.metrics.ranking import precision_recall_curve as precision_recall_curve
    from eosin.metrics.ranking import ranking_scores as ranking_scores
    from eosin.metrics.ranking import roc_curve as roc_curve
    from eosin.metrics.summary import count_patients as count_patients
    from eosin.metrics.summary import recognition_rate as recognition_rate
    from eosin.metrics.summary import summarise as summarise
    from eosin.metrics.summary import summarise_by_class as summarise_by_class
    from eosin.metrics.summary import summarise_patients as summarise_patients
    from eosin.metrics.thresholds import CURVE_THRESHOLDS as CURVE_THRESHOLDS
    from eosin.metrics.thresholds import choose_threshold as choose_threshold
    from eosin.metrics.thresholds import choose_threshold_by_bound as choose_threshold_by_bound
    from eosin.metrics.thresholds import net_benefit as net_benefit
    from eosin.metrics.thresholds import summarise_predictive_values as summarise_predictive_values

#: Module → names that are loaded on first use: a prediction needs the catalogue, not SciPy.
_EXPORTS = {
    "calibration": ("ReliabilityBins", "fit_temperature", "reliability_bins", "softmax"),
    "catalogue": ("METRIC_NAMES", "METRICS"),
    "conformal": ("calibrate", "groups_needed", "prediction_sets"),
    "intervals": ("coverage_table", "interval", "wilson"),
    "measurement": ("bootstrap", "group_weights", "measure_values"),
    "predictions": ("Predictions",),
    "ranking": ("Curve", "precision_recall_curve", "ranking_scores", "roc_curve"),
    "summary": (
        "count_patients",
        "recognition_rate",
        "summarise",
        "summarise_by_class",
        "summarise_patients",
    ),
    "thresholds": (
        "CURVE_THRESHOLDS",
        "choose_threshold",
        "choose_threshold_by_bound",
        "net_benefit",
        "summarise_predictive_values",
    ),
}
_MODULES = {name: module for module, names in _EXPORTS.items() for name in names}

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

# Hidden from type checkers, to which every misspelt name would exist otherwise.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Last: what it loads imports this package.
load_entry_points("eosin.metrics")
