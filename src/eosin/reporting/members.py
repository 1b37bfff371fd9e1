"""The runs that an ensemble averages: which, and what each reaches by itself."""

from __future__ import annotations

from eosin.artifacts.model import EnsembleMember
from eosin.reporting.formatting import count
from eosin.reporting.tables import Cell, Footnotes, Table
from eosin.runs.finished import Run

#: What the members are held against each other by.
_METRICS = {"auc": "AUC", "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy"}


def members_of(run: Run) -> list[EnsembleMember]:
    """Return the runs that an ensemble of chosen runs averages; empty for any other run."""
    return run.model.members if run.model else []


def members_table(run: Run) -> Table | None:
    """Build the table of members beside their mean; ``None`` where the run is no ensemble."""
    members, notes = members_of(run), Footnotes()
    if not members:
        return None
    rows = [
        (
            Cell(member.run),
            Cell(member_network(member)),
            Cell(f"{member.input_px[0]} px"),
            Cell(count(member.params)),
            *(notes.cell(member.metrics.get(name)) for name in _METRICS),
        )
        for member in members
    ]
    mean = Cell("Their mean"), Cell("ensemble"), Cell(f"{max(m.input_px[0] for m in members)} px")
    weights = Cell(count(sum(member.params for member in members)))
    rows.append((*mean, weights, *(notes.cell(run.judged.image.get(name)) for name in _METRICS)))
    columns = ("Run", "Network", "Input", "Weights", *_METRICS.values())
    caption = "The members and the mean of their probabilities, judged on the same images."
    return Table(caption, columns, tuple(rows), notes.notes, texts=frozenset({0, 1}))


def member_network(member: EnsembleMember) -> str:
    """Return what a member's network is called; one of folds is several of a kind."""
    if member.architecture == "ensemble":
        return f"{member.arguments['members']} × {member.arguments['architecture']}"
    return member.architecture
