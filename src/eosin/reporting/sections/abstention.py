"""Abstention: the rule, its guarantee and its effect."""

from __future__ import annotations

from collections.abc import Mapping

from eosin.artifacts.metrics import Abstention, AbstentionMetrics, Metric, SplitMetrics
from eosin.core.text import count, listing, quantity
from eosin.metrics.catalogue import HEADLINE, OF_DECISIONS
from eosin.reporting.formatting import ABSENT, metric_text, number, share, source_words
from eosin.reporting.outline import Pair, Section, Table, headline_table, make_table
from eosin.reporting.train_test_overlap import split_name
from eosin.runs.finished import FinishedRun

#: Metrics of all images and of those that are decided on.
_COMPARED = tuple(name for name in HEADLINE if name in OF_DECISIONS)


def section(run: FinishedRun) -> Section:
    """Return the section of the page; empty if the rule is unknown."""
    return _section(run, _coverage_table(run), _kept_table(run))


def brief(run: FinishedRun) -> Section:
    """Return the section of the card; empty if the rule is unknown."""
    return _section(run, _coverage_table(run))


def _section(run: FinishedRun, *tables: Table | None) -> Section:
    words = _abstention_words(run)
    return Section("Abstention", " ".join(words), *(tables if words else ()))


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    rule = rule_of(run)
    abstains = "it never abstains" if rule is None or rule.reason else "it may abstain"
    refused = f"images of other channels or modality are refused; {abstains}"
    return {"refusals": refused if run.model is not None else ""}


def terminal_facts(split: SplitMetrics) -> list[Pair]:
    """Return rate and coverage of abstention for the terminal."""
    found = split.abstention
    if found is None:
        return []
    if found.abstention_rate.value is None:
        return [("abstention", f"none: {found.rule.reason}")]
    accuracy, least = found.kept["accuracy"], _least_covered(found.coverage_by_class)
    kept = "" if accuracy.value is None else f"; accuracy of the rest {metric_text(accuracy)}"
    covered = f"label in the set {metric_text(found.coverage)}{least}; "
    return [
        ("abstention", f"on {metric_text(found.abstention_rate)} of the images{kept}"),
        ("", f"{covered}{1 - found.rule.alpha:.2f} of each class was asked for"),
    ]


def _least_covered(by_class: Mapping[str, Metric]) -> str:
    known = [(m.value, name) for name, m in by_class.items() if m.value is not None]
    return f", least of {min(known)[1]} {number(min(known)[0])}" if len(known) > 1 else ""


def rule_of(run: FinishedRun) -> Abstention | None:
    """Return the abstention rule; ``None`` if the run does not record it.

    Measurements on folds belong to each fold's own rule.
    """
    own, measured = run.model.abstention if run.model else None, run.evaluated.abstention
    return measured.rule if own is None and measured is not None else own


def _abstention_words(run: FinishedRun) -> list[str]:
    """Describe the abstention rule, or why the model never abstains; empty if unknown."""
    own, measured = rule_of(run), run.evaluated.abstention
    if own is None:
        return []
    rule = own if measured is None else measured.rule
    if rule.source == own.source:
        return _words(run, rule, "The model never abstains")
    words = _words(run, rule, "In the folds nothing was abstained")
    if own.reason is not None:
        return [*words, f"The model itself never abstains: {own.reason.rstrip('.')}."]
    return [*words, f"The model's own rule was calibrated on {own.source}."]


def _words(run: FinishedRun, rule: Abstention, never: str) -> list[str]:
    """Describe a rule and its effect, or, after ``never``, why there is none."""
    measured = run.evaluated.abstention
    if rule.reason is not None:
        return [f"{never}: {rule.reason.rstrip('.')}."]
    words = [
        "The model abstains unless the class that it decides for is plausible, and no other. What"
        f" is plausible was calibrated on {source_words(rule.source)}, so that at least"
        f" {share(1 - rule.alpha)} of the images of each class keep their own among the plausible"
        " ones (conformal prediction)."
    ]
    return [*words, _measured(run, measured)] if measured is not None else words


def _measured(run: FinishedRun, measured: AbstentionMetrics) -> str:
    rate = measured.abstention_rate
    value = ABSENT if rate.value is None else share(rate.value)
    kinds = {
        "several plausible classes": measured.n_several,
        "none": measured.n_empty,
        "one, against the decision at the threshold": measured.n_contradicted,
    }
    why = listing(f"{count(n)} with {text}" for text, n in kinds.items() if n)
    text = f"Of the {split_name(run)} it abstains on {value}"
    if rate.low is not None and rate.high is not None:
        text += f" ({share(rate.low)} to {share(rate.high)})"
    n_images = quantity(sum(kinds.values()), "image")
    return f"{text}: {n_images}, {why}." if why else f"{text}."


def _coverage_table(run: FinishedRun) -> Table | None:
    measured = run.evaluated.abstention
    if measured is None or measured.rule.reason is not None:
        return None
    wanted = f"{1 - measured.rule.alpha:.2f}"
    rows = [
        (name, measured.rule.n_groups.get(name, 0), wanted, metric)
        for name, metric in measured.coverage_by_class.items()
    ]
    caption = "How often an image's own class is among the plausible ones."
    return make_table(caption, ("Class", "Groups that calibrated", "Promised", "Measured"), rows)


def _kept_table(run: FinishedRun) -> Table | None:
    measured = run.evaluated.abstention
    if measured is None or measured.rule.reason is not None:
        return None
    decided = run.evaluated.at_threshold or run.evaluated.image
    kept = {name: measured.kept[name] for name in _COMPARED if name in measured.kept}
    blocks = {
        "All images": {name: decided[name] for name in kept if name in decided},
        "Those that it decides on": kept,
    }
    return headline_table("Decisions with and without abstaining.", blocks)
