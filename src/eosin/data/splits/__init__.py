"""Group-aware splits: no group crosses a split, and every subset holds every class."""

from eosin.data.splits.folds import check_folds, fold_samples, hold_out_test
from eosin.data.splits.protocols import pool_reports, split_samples

__all__ = ["check_folds", "fold_samples", "hold_out_test", "pool_reports", "split_samples"]
