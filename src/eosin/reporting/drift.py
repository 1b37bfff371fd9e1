"""What a page says of outside images that differ from those of the training."""

from __future__ import annotations

from eosin.artifacts.profile import Distribution, Drift, explain_quantity
from eosin.reporting.figures.drift import capitalised, drift_figure
from eosin.reporting.figures.style import Picture
from eosin.reporting.formatting import ABSENT, listing, quantity, share
from eosin.reporting.tables import Table, text_table
from eosin.runs.finished import Run

_VERDICTS = {
    "as in training": "The outside images look like those that the model was trained on.",
    "shifted": "The outside images differ from those that the model was trained on.",
    "far off": "The outside images are far from those that the model was trained on: "
    "its figures here say what it does on other images than it learnt from.",
    "not judged": "The training has too few groups to tell how much groups differ: "
    "see the numbers, there is no verdict.",
}
#: A mix of classes that differs by more than this by itself moves colours and predictions.
_NOTABLE_MIX = 0.1


def drift_words(run: Run) -> list[str]:
    """Write what was found, a sentence each; nothing for a run's own images."""
    drift = run.drift
    if drift is None:
        return []
    if drift.verdict == "unknown":
        return [f"Whether the outside images differ is unknown: {drift.reason}."]
    off = [name for name, one in drift.shifts.items() if one.verdict in {"shifted", "far off"}]
    words = [_VERDICTS[drift.verdict]]
    if off:
        named = listing(explain_quantity(name, drift.predicted) for name in off)
        words.append(f"They differ in {len(off)} of {len(drift.shifts)} quantities: {named}.")
    if "side_px" in off:
        words.append(
            "Files of another size may show tissue at another scale: without µm per pixel of both "
            "nobody can tell."
        )
    return [*words, *_mix_words(drift)]


def _mix_words(drift: Drift) -> list[str]:
    """Say that classes are mixed otherwise, where they are."""
    mine, theirs = drift.training_classes, drift.outside_classes
    gaps = {name: abs(theirs.get(name, 0.0) - mine[name]) for name in mine}
    name = max(gaps, key=gaps.__getitem__, default="")
    if not name or gaps[name] <= _NOTABLE_MIX:
        return []
    return [
        f"Of “{name}” are {share(theirs.get(name, 0.0))} of the outside images and "
        f"{share(mine[name])} of the training images: another mix of classes by itself moves "
        "colours and predictions."
    ]


def drift_figures(run: Run) -> list[Picture]:
    """Draw the histograms; nothing where there are none."""
    return [drift_figure(run.drift)] if run.drift is not None and run.drift.shifts else []


def drift_table(run: Run) -> Table | None:
    """Build the table of quantities; nothing where there are none."""
    if run.drift is None or not run.drift.shifts:
        return None
    shifts = run.drift.shifts
    rows = [
        (
            capitalised(explain_quantity(name, run.drift.predicted)),
            _spread(one.training),
            _spread(one.outside),
            f"{one.distance:.2f}",
            share(one.beyond),
            ABSENT
            if one.chance is None
            else "<0.001"
            if one.chance < 0.001
            else f"{one.chance:.3f}",
            one.verdict,
        )
        for name, one in shifts.items()
    ]
    first = next(iter(shifts.values()))
    return text_table(
        f"Training ({_size(first.training)} measured) and outside ({_size(first.outside)}): mean ± "
        "standard deviation, each group with the same say. Distance: between equal quantiles, in "
        "standard deviations of training, or where that is more in the least spread that matters "
        "(of the size: 10 %). Another size is never more than shifted. Beyond: outside images "
        "below the 1st or above the 99th percentile of training, where training has 2 %. Chance: "
        "how probable so large a difference is among as many further groups of the training's own "
        "source.",
        ("Quantity", "Training", "Outside", "Distance", "Beyond", "Chance", "Verdict"),
        rows,
        texts=(0, 6),
    )


def _spread(part: Distribution) -> str:
    return f"{part.mean:.3g} ± {part.spread:.2g}"


def _size(part: Distribution) -> str:
    return f"{quantity(part.n_images, 'image')} of {quantity(part.n_groups, 'group')}"
