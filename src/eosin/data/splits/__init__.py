"""Group-aware splits: no group crosses a split, and every subset holds every class."""

from eosin.data.splits.folds import fold_samples
from eosin.data.splits.protocols import pool_reports, split_samples

__all__ = ["fold_samples", "pool_reports", "split_samples"]
