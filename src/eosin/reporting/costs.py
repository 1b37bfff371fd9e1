"""What runs' models cost, and P3's question: tables and sentences of a comparison."""

from __future__ import annotations

from eosin.artifacts.comparison import (
    Comparison,
    Cost,
    Criterion,
)
from eosin.reporting.formatting import ABSENT, amount, count, duration, listing, quantity
from eosin.reporting.noise import (
    label,
    ranked,
)
from eosin.reporting.tables import Table, text_table


def cost_table(comparison: Comparison) -> Table:
    """Build the table of what each run's model takes, as deployed and as judged."""
    rows = []
    for run in ranked(comparison):
        time = ABSENT if run.training_seconds is None else duration(run.training_seconds)
        what = run.model if run.networks == 1 else f"{run.networks} × {run.model}, as deployed"
        rows.append([run.name, what, *_cost_cells(run.deployed), time])
        if run.networks > 1:
            one = [run.name, "one of them, as judged", *_cost_cells(run.judged)]
            rows.append([*one, ABSENT])
    caption = (
        f"What the models take. Milliseconds for one image on "
        f"{quantity(comparison.threads, 'thread')} of the processor, from decoded pixels to "
        "probabilities: the median of the rounds with its 95 % interval."
    )
    columns = ("Run", "Network", "Weights", "M MACs", "ONNX, MB", "safetensors, MB", "Image, ms")
    return text_table(caption, (*columns, "Training"), rows, texts=(0, 1))


def _cost_cells(cost: Cost) -> list[str]:
    time = cost.latency
    told = ABSENT
    if time is not None:
        told = f"{1e3 * time.median:.1f} ({1e3 * time.low:.1f}–{1e3 * time.high:.1f})"
    return [
        ABSENT if cost.params is None else count(cost.params),
        ABSENT if cost.macs is None else amount(cost.macs / 1e6, 1),
        *(
            ABSENT if size is None else amount(size / 1e6, 2)
            for size in (cost.onnx_bytes, cost.safetensors_bytes)
        ),
        told,
    ]


_COSTS = {
    "params": "weights",
    "macs": "multiply-accumulates",
    "onnx_bytes": "file size",
    "latency": "time for an image",
    "training_seconds": "training time",
}


def fronts_words(comparison: Comparison) -> str:
    """Say which runs no other beats, for each cost."""
    told: dict[str, list[str]] = {}
    for cost, names in comparison.fronts.items():
        told.setdefault(listing(names), []).append(_COSTS[cost])
    if not told:
        return ""
    parts = [f"by {listing(costs)}: {names}" for names, costs in told.items()]
    return (
        f"On the front, where no other run reaches as much {label(comparison)} for less, "
        f"{'; '.join(parts)}. The front goes by the values alone; what lies within noise of it "
        "may belong to it as well."
    )


_QUESTIONS = {
    "recall": "Recall of at least 0.90",
    "f1": "F1 of at least 0.85",
    "bytes": "A file below 3 MB",
    "seconds": "An image in less than 500 ms",
    "smaller": "At least 80 % smaller than {large}",
    "faster": "At least 50 % faster than {large}",
}
_OF = {
    "argmax": "most probable class",
    "threshold": "at the locked threshold",
    "judged": "one network, as judged",
    "deployed": "as deployed",
}


def light_words(comparison: Comparison) -> str:
    """Say which two runs P3's question is asked of."""
    asked = comparison.light_large
    if asked is None:
        return ""
    return (
        f"A light model is worth having if it misses little and costs little. {asked.light} has "
        f"the fewest weights of these runs, {asked.large} the most. Not decided: the interval "
        "holds the limit. A megabyte is 1,000,000 bytes."
    )


def questions_table(comparison: Comparison) -> Table | None:
    """Build the table of P3's demands; ``None`` where there is no light and large."""
    asked = comparison.light_large
    if asked is None:
        return None
    rows = [
        [
            _QUESTIONS[one.name].format(large=asked.large),
            _OF[one.of],
            _value(one),
            "not decided" if one.is_met is None else "yes" if one.is_met else "no",
        ]
        for one in asked.criteria
    ]
    caption = f"What is asked of a light model, and what {asked.light} answers."
    return text_table(caption, ("Asked", "Of", asked.light, "Answer"), rows, texts=(0, 1, 3))


def _value(one: Criterion) -> str:
    if one.value is None:
        return ABSENT
    factor, form, unit_name = {
        "bytes": (1e-6, ",.2f", "\u00a0MB"),
        "seconds": (1e3, ",.1f", "\u00a0ms"),
        "smaller": (100.0, ".1f", "\u00a0%"),
        "faster": (100.0, ".1f", "\u00a0%"),
    }.get(one.name, (1.0, ".3f", ""))
    value, low, high = (
        "" if each is None else f"{factor * each:{form}}".replace("-", "−")
        for each in (one.value, one.low, one.high)
    )
    return f"{value}{unit_name} ({low} to {high})" if low else f"{value}{unit_name}"
