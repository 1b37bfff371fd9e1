"""When the model abstains, what that promises, and what it gives."""

from __future__ import annotations

from eosin.artifacts.metrics import Abstention, AbstentionMetrics
from eosin.reporting.exposure import split_name
from eosin.reporting.formatting import ABSENT, count, listing, number, quantity, share, source_words
from eosin.reporting.tables import Cell, Footnotes, Table, headline_table
from eosin.runs.finished import Run

#: What is told of all images and of those that are decided on.
_COMPARED = ("accuracy", "balanced_accuracy", "recall", "specificity")


def rule_of(run: Run) -> Abstention | None:
    """Return when the model abstains; ``None`` in runs that do not tell.

    What was measured on folds is of other rules, each fold's own.
    """
    own, measured = run.model.abstention if run.model else None, run.judged.abstention
    return measured.rule if own is None and measured is not None else own


def abstention_words(run: Run) -> list[str]:
    """Say by which rule the model abstains, or why it never does; empty where none is known."""
    own, measured = rule_of(run), run.judged.abstention
    if own is None:
        return []
    rule = own if measured is None else measured.rule
    if rule.source == own.source:
        return _words(run, rule, "The model never abstains")
    words = _words(run, rule, "In the folds nothing was abstained")
    if own.reason is not None:
        return [*words, f"The model itself never abstains: {own.reason.rstrip('.')}."]
    return [*words, f"The model's own rule was calibrated on {own.source}."]


def _words(run: Run, rule: Abstention, never: str) -> list[str]:
    """Say what a rule does and did, or after ``never`` why it is none."""
    measured = run.judged.abstention
    if rule.reason is not None:
        return [f"{never}: {rule.reason.rstrip('.')}."]
    words = [
        "The model abstains unless the class that it decides for is plausible, and no other. What"
        f" is plausible was calibrated on {source_words(rule.source)}, so that at least"
        f" {share(1 - rule.alpha)} of the images of each class keep their own among the plausible"
        " ones (conformal prediction)."
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
            (measured.n_contradicted, "one, against the decision at the threshold"),
        )
        if n
    ]
    text = f"Of the {split_name(run)} it abstains on {value}"
    if rate.low is not None and rate.high is not None:
        text += f" ({share(rate.low)} to {share(rate.high)})"
    n_images = measured.n_several + measured.n_empty + measured.n_contradicted
    return f"{text}: {quantity(n_images, 'image')}, {listing(why)}." if why else f"{text}."


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
