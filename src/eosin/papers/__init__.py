"""The five papers as data: settings, experiments, printed tables and figures, contradictions."""

from eosin.papers.schema import (
    Cell,
    Contradiction,
    DataSetOfPaper,
    Demand,
    Experiment,
    Instead,
    Item,
    Paper,
    Recomputed,
    Setting,
    read_paper,
)

__all__ = [
    "Cell",
    "Contradiction",
    "DataSetOfPaper",
    "Demand",
    "Experiment",
    "Instead",
    "Item",
    "Paper",
    "Recomputed",
    "Setting",
    "read_paper",
]
