"""Evaluation of predictions: thresholds, abstention, measurements, drift and comparison."""

from eosin.evaluation.evaluate import Evaluated, evaluate_predictions, evaluated_by, pool_folds
from eosin.evaluation.thresholds import calibrate_abstention, tune_threshold

__all__ = [
    "Evaluated",
    "calibrate_abstention",
    "evaluate_predictions",
    "evaluated_by",
    "pool_folds",
    "tune_threshold",
]
