"""From probabilities to what is written in ``metrics.json``."""

from eosin.evaluation.evaluate import judge
from eosin.evaluation.judged import Judged, judged_by, pool_folds
from eosin.evaluation.locking import lock_abstention, lock_threshold

__all__ = ["Judged", "judge", "judged_by", "lock_abstention", "lock_threshold", "pool_folds"]
