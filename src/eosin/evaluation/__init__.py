"""From probabilities to what is written in ``metrics.json``."""

from eosin.evaluation.judging import Judged, judge, lock_threshold

__all__ = ["Judged", "judge", "lock_threshold"]
