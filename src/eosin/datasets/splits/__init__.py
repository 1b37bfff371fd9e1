"""Dividing samples: no group crosses a split, and every part holds every class."""

from eosin.datasets.splits.folds import fold_samples
from eosin.datasets.splits.protocols import split_samples
from eosin.datasets.splits.reports import Fold, pool_reports

__all__ = ["Fold", "fold_samples", "pool_reports", "split_samples"]
