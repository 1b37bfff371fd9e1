"""When the model abstains, what that promises, and what it gives."""

from __future__ import annotations

from eosin.artifacts.metrics import Abstention, AbstentionMetrics
from eosin.reporting.exposure import split_name
from eosin.reporting.formatting import ABSENT, count, listing, number, quantity, share, source_words
from eosin.reporting.gathering import Run
from eosin.reporting.tables import Cell, Footnotes, Table, headline_table

#: What is told of all images and of those that are decided on.
_COMPARED = ("accuracy", "balanced_accuracy", "recall", "specificity")


def rule_of(run: Run) -> Abstention | None:
    """Return when the model abstains; ``None`` in runs that do not tell."""
    if run.judged.abstention is not None:
        return run.judged.abstention.rule
    return run.model.abstention if run.model else None


def abstention_words(run: Run) -> list[str]:
    """Say by which rule the model abstains, or why it never does; empty where none is known."""
    rule, measured = rule_of(run), run.judged.abstention
    if rule is None:
        return []
    if rule.reason is not None:
        return [f"The model never abstains: {rule.reason.rstrip('.')}."]
    words = [
        "The model abstains where no class, or more than one, is plausible. What is plausible was"
        f" calibrated on {source_words(rule.source)}, so that at least {share(1 - rule.alpha)} of"
        " the images of each class keep their own among the plausible ones (conformal prediction)."
    ]
    return [*words, _measured(run, measured)] if measured is not None else words


def _measured(run: Run, measured: AbstentionMetrics) -> str:
    rate = measured.abstention_rate
    value = ABSENT if rate.value is None else share(rate.value)
    why = [
        f"{count(n)} with {text}"
        for n, text in (
            (measured.n_several, "several plausible classes"),
            (measured.n_empty, "none"),
        )
        if n
    ]
    text = f"Of the {split_name(run)} it abstains on {value}"
    if rate.low is not None and rate.high is not None:
        text += f" ({share(rate.low)} to {share(rate.high)})"
    return (
        f"{text}: {quantity(measured.n_several + measured.n_empty, 'image')}, {listing(why)}."
        if why
        else f"{text}."
    )


def coverage_table(run: Run) -> Table | None:
    """Build the table of promised and measured coverage by class."""
    measured = run.judged.abstention
    if measured is None or measured.rule.reason is not None:
        return None
    notes, wanted = Footnotes(), Cell(number(1 - measured.rule.alpha))
    rows = tuple(
        (
            Cell(name),
            Cell(count(measured.rule.n_groups.get(name, 0))),
            wanted,
            notes.cell(metric),
        )
        for name, metric in measured.coverage_by_class.items()
    )
    caption = "How often an image's own class is among the plausible ones."
    return Table(
        caption, ("Class", "Groups that calibrated", "Promised", "Measured"), rows, notes.notes
    )


def kept_table(run: Run) -> Table | None:
    """Build the table of metrics with and without the images that the model abstains on."""
    measured = run.judged.abstention
    if measured is None or measured.rule.reason is not None:
        return None
    decided = run.judged.at_threshold or run.judged.image
    kept = {name: measured.kept[name] for name in _COMPARED if name in measured.kept}
    blocks = {
        "All images": {name: decided[name] for name in kept if name in decided},
        "Those that it decides on": kept,
    }
    return headline_table("Decisions with and without abstaining.", blocks)
