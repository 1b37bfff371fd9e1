"""Gate before prediction: what it refused, what it costs, and its limits."""

from __future__ import annotations

from eosin.artifacts.gate import EXPLANATIONS, REFUSALS, Gate
from eosin.artifacts.layout import OUT_OF_FOLD
from eosin.artifacts.metrics import GateMetrics, SplitMetrics
from eosin.core.text import count, of_groups, quantity
from eosin.metrics.catalogue import HEADLINE
from eosin.reporting.formatting import rate_text, share, shorten
from eosin.reporting.outline import Pair, Section, Table, headline_table, make_table
from eosin.reporting.thumbnails import tiles
from eosin.reporting.train_test_overlap import split_name, unit_name
from eosin.runs.finished import FinishedRun

_TITLE = "Gate before prediction"


def section(run: FinishedRun) -> Section:
    """Return the section of the page; empty for a model without a gate."""
    return Section(
        _TITLE,
        " ".join(_words(run)),
        _reasons_table(run),
        _passed_table(run),
        Section("Refused images", tiles(run, "refused")),
        _limits_table(_gate_of(run)),
        nav="Gate",
    )


def brief(run: FinishedRun) -> Section:
    """Return the section of the card; empty for a model without a gate."""
    return Section(_TITLE, " ".join(_words(run)), _reasons_table(run), _passed_table(run))


def terminal_facts(split: SplitMetrics) -> list[Pair]:
    """Return for the terminal what the gate refused."""
    if split.gate is None:
        return []
    why = _counts(split.gate)
    return [("gate", f"refuses {rate_text(split.gate.share)} of images{f': {why}' if why else ''}")]


def _counts(found: GateMetrics) -> str:
    return ", ".join(f"{reason} {count(n)}" for reason, n in found.by_reason.items())


def _gate_of(run: FinishedRun) -> Gate | None:
    return run.model.gate if run.model is not None else None


def _words(run: FinishedRun) -> list[str]:
    gate, measured = _gate_of(run), run.evaluated.gate
    if gate is None and measured is None:
        if run.model is None or run.recipe is None or run.recipe.model.table is not None:
            return []
        return ["The model has no gate: it predicts every image that can be read."]
    if gate is not None and gate.reason is not None:
        return [f"The model has no gate: {gate.reason}."]
    words = [
        "Before a prediction each image is measured as the network receives it. Where a measure"
        " lies outside its limits the model abstains, and states the reason."
    ]
    if gate is not None:
        fitted_on = quantity(gate.n_images, "training image")
        words.append(
            f"The limits were fitted on {fitted_on}{of_groups(gate.n_groups, unit_name(run))} to"
            f" refuse {share(gate.budget)} of the images of patients or groups that were left out"
            " of the fit. The gate is no test for drift: an image that passes may still come from"
            " another laboratory."
        )
    if measured is not None:
        what = f"On the {split_name(run)}, the gate refuses {rate_text(measured.share)}"
        words.append(f"{what} ({_counts(measured)})." if measured.by_reason else f"{what}.")
        words.append(
            "Temperature, threshold and abstention are tuned on images that pass; coverage is"
            " claimed for these alone. All other metrics are of all images, unless stated."
        )
    return words


def _reasons_table(run: FinishedRun) -> Table | None:
    """Build the table of refused images by reason, a column per split."""
    found = {name: split.gate for name, split in run.metrics.items() if split.gate is not None}
    kinds = [one for one in REFUSALS if any(gate.by_reason.get(one) for gate in found.values())]
    heads = ["out-of-fold" if name == OUT_OF_FOLD else name.replace("_", " ") for name in found]
    rows: list[list[str | int]] = [
        [one, EXPLANATIONS[one], *[gate.by_reason.get(one, 0) for gate in found.values()]]
        for one in kinds
    ]
    caption = "Images that the gate refused, by reason."
    return make_table(caption, ("Reason", "Meaning", *heads), rows, texts=(0, 1), name="gate")


def _passed_table(run: FinishedRun) -> Table | None:
    measured, known = run.evaluated.gate, run.evaluated.decided
    if measured is None or not measured.image:
        return None
    passed = {**measured.image, **measured.at_threshold}
    blocks = {
        "All images": {name: known[name] for name in HEADLINE if name in known},
        "Images that pass": {name: passed[name] for name in HEADLINE if name in passed},
    }
    caption = f"Metrics with and without the images that the gate refused, {split_name(run)}."
    return headline_table(caption, blocks, name="passed")


def _limits_table(gate: Gate | None) -> Table | None:
    """Build the table of the limits; ``None`` without them."""
    if gate is None or gate.distance is None:
        return None
    rows = [
        [shorten(name.replace("_", " "), 40), *map(_number, (one.low, one.centre, one.high))]
        for name, one in gate.measures.items()
        if (one.low, one.high) != (None, None)
    ]
    rows.append(["distance of all measures", None, None, _number(gate.distance.high)])
    caption = "Limits of the gate; docs/gate.md explains the measures."
    return make_table(caption, ("Measure", "Lowest", "Median", "Highest"), rows, name="limits")


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}".replace("-", "−")
