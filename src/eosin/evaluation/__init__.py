"""Evaluation of predictions: thresholds, abstention, measurements, drift and comparison."""

from eosin.evaluation.evaluate import Judged, judge, judged_by, pool_folds
from eosin.evaluation.thresholds import lock_abstention, lock_threshold

__all__ = ["Judged", "judge", "judged_by", "lock_abstention", "lock_threshold", "pool_folds"]
