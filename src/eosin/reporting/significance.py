"""Comparison of runs in words: significance, noise and cautions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from eosin.artifacts.comparison import ComparedPair, ComparedRun, Comparison, PairedMetric
from eosin.artifacts.metrics import Metric
from eosin.core.text import count, listing, quantity
from eosin.reporting.formatting import ABSENT, amount, metric_label, metric_text, signed

#: Significance level of the corrected p-values.
ALPHA = 0.05

Outcome = Literal["apart", "unsettled", "noise", "unknown"]
#: Names of the outcomes in a table.
OUTCOMES: dict[Outcome, str] = {
    "apart": "told apart",
    "unsettled": "not settled",
    "noise": "within noise",
    "unknown": "no interval",
}


def outcome(entry: PairedMetric) -> Outcome:
    """Return the outcome of a pair from its interval and corrected test."""
    low, high = entry.difference.low, entry.difference.high
    if low is None or high is None:
        return "unknown"
    if low <= 0 <= high:
        return "noise"
    return "apart" if entry.p_holm is not None and entry.p_holm < ALPHA else "unsettled"


def difference_text(metric: Metric | None) -> str:
    """Format a difference with its sign, e.g. ``"+0.031 (−0.012 to +0.074)"``."""
    if metric is None or metric.value is None:
        return ABSENT
    if metric.low is None or metric.high is None:
        return signed(metric.value)
    return f"{signed(metric.value)} ({signed(metric.low)} to {signed(metric.high)})"


def p_text(p: float | None) -> str:
    """Format a p-value."""
    return ABSENT if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def units(comparison: Comparison) -> str:
    """Return the size of the comparison, e.g. ``"550 images of 29 patients"``."""
    images = quantity(comparison.n_images, "image")
    if comparison.n_patients is not None:
        patients = f"{images} of {quantity(comparison.n_patients, 'patient')}"
        same = comparison.n_patients == comparison.n_groups
        return patients if same else f"{patients} in {quantity(comparison.n_groups, 'group')}"
    if comparison.n_groups != comparison.n_images:
        return f"{images} of {quantity(comparison.n_groups, 'group')}"
    return images


def label(comparison: Comparison) -> str:
    """Return the name of the ranking metric in a sentence."""
    text = metric_label(comparison.metric, short=True)
    text = text if text.isupper() or text == "F1" else text.lower()
    return f"macro {text}" if comparison.positive is None and text == "AUC" else text


def honest(comparison: Comparison) -> list[ComparedRun]:
    """Return the runs of the headline, the best first.

    Runs with train-test overlap are left out if two others remain.
    """
    clean = [run for run in comparison.runs if not run.is_flattered]
    chosen = clean if len(clean) > 1 else comparison.runs
    return [run for run in ranked(comparison) if run in chosen]


def ranked(comparison: Comparison) -> list[ComparedRun]:
    """Return all runs, the best first."""
    return sorted(comparison.runs, key=lambda run: -(run.image[comparison.metric].value or 0.0))


def headline(comparison: Comparison) -> str:
    """Return the headline: which runs differ significantly, in a sentence or two."""
    best, *others = honest(comparison)
    name, where = label(comparison), f"on these {units(comparison)}"
    if len(others) == 1:
        return _of_two(comparison, best, others[0], name, where)
    found = {run.name: outcome(_between(comparison, best, run)) for run in others}
    parts = [
        f"{best.name} reaches the highest {name}, "
        f"{metric_text(best.image[comparison.metric])}, {where}."
    ]
    for kind, words in (
        ("noise", "{} can't be told apart from it: the {} within noise."),
        ("apart", "It is better than {}."),
        ("unsettled", "Whether it is better than {} is not settled."),
        ("unknown", "There is no interval of its difference from {}."),
    ):
        names = [run for run, each in found.items() if each == kind]
        if names:
            many = "differences lie" if len(names) > 1 else "difference lies"
            parts.append(words.format(listing(names), many))
    return " ".join(parts)


def _of_two(
    comparison: Comparison, best: ComparedRun, other: ComparedRun, name: str, where: str
) -> str:
    entry = _between(comparison, best, other)
    gap = difference_text(entry.difference)
    kind = outcome(entry)
    if kind == "noise":
        return (
            f"{best.name} and {other.name} can't be told apart by {name} {where}: "
            f"the difference, {gap}, lies within noise."
        )
    if kind == "apart":
        return f"{best.name} has more {name} than {other.name} {where}: {gap}."
    if kind == "unsettled":
        return (
            f"Whether {best.name} has more {name} than {other.name} {where} is not settled: the "
            f"interval of the difference, {gap}, leaves 0 out, but exchanging whole "
            f"{unit(comparison)}s gives p = {p_text(entry.p_holm)}."
        )
    return f"No interval can be given for the difference in {name} {where}: {gap}."


def _between(comparison: Comparison, one: ComparedRun, other: ComparedRun) -> PairedMetric:
    """Return the difference of the ranking metric, ``one`` minus ``other``."""
    pair = next(
        pair for pair in comparison.pairs if {pair.one, pair.other} == {one.name, other.name}
    )
    return turned(pair, comparison.metric, one.name)


def turned(pair: ComparedPair, metric: str, first: str) -> PairedMetric:
    """Return the difference of a pair as ``first`` minus the other run."""
    entry = pair.metrics[metric]
    gap = entry.difference
    if pair.one == first or gap.value is None:
        return entry
    low, high = gap.low, gap.high
    flipped = {
        "value": -gap.value,
        "low": None if high is None else -high,
        "high": None if low is None else -low,
    }
    return entry.model_copy(update={"difference": gap.model_copy(update=flipped)})


def unit(comparison: Comparison) -> str:
    """Return the noun of the unit that is resampled and exchanged as a whole."""
    if comparison.n_groups == comparison.n_images:
        return "image"
    return "patient" if comparison.n_patients == comparison.n_groups else "group"


def meaning(comparison: Comparison) -> list[str]:
    """Explain "within noise" and the assumptions of the tests."""
    each, pairs = unit(comparison), len(comparison.pairs)
    words = [
        f"Within noise means that the 95 % interval of the paired difference holds 0: with other "
        f"{each}s of the same kind the order could have been the other way round. It does not mean "
        f"that the two are equally good; it means that {units(comparison)} do not tell which is "
        f"better. Both runs of a pair are measured on the same resamples of whole {each}s, so that "
        f"what makes an image hard for both cancels out.",
        f"Told apart means more: the interval leaves 0 out, and so does a test that exchanges what "
        f"both runs said of whole {each}s ({count(comparison.flips)} random exchanges), after "
        f"Holm's correction for all {quantity(pairs, 'pair')} at p < {ALPHA:g}. Where only the "
        f"interval leaves 0 out, the matter is not settled.",
    ]
    if comparison.n_repeated:
        words.append(
            f"{quantity(comparison.n_repeated, 'run')} evaluated every image in several repeats: "
            "here "
            "their probabilities are averaged an image, so that each has one decision. The average "
            "is a little better than a single repeat."
        )
    return words


def cautions(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the cautions of the comparison, each with a heading."""
    found = [_seen(comparison, run) for run in comparison.runs if run.is_flattered]
    found += [_head(run) for run in comparison.runs if run.is_head]
    found += [_fallback(comparison)] if comparison.asked else []
    left = {run.name: run.n_judged - comparison.n_images for run in comparison.runs}
    shown = [f"{count(n)} of {name}" for name, n in left.items() if n]
    if shown:
        found.append(
            (
                "Images were left out.",
                f"Compared are the {count(comparison.n_images)} images that all runs were "
                "evaluated "
                f"on; left out are {listing(shown)}. The figures of a run's own page are of all.",
            )
        )
    ranking = [run.image[comparison.metric] for run in comparison.runs]
    reasons = {
        ("Few groups." if one.low is not None else "No interval.", _sentence(one.reason))
        for one in ranking
        if one.reason
    }
    found += sorted(reasons)
    if comparison.n_groups == comparison.n_images:
        found.append(
            (
                "No groups are known.",
                "Each image stands for itself. Where images share a patient or a slide, all "
                "intervals here are too narrow and all p-values too small.",
            )
        )
    return found


def _seen(comparison: Comparison, run: ComparedRun) -> tuple[str, str]:
    each = unit(comparison) if comparison.n_groups != comparison.n_images else "group"
    if run.n_seen_groups:
        other = "" if run.split == "external" else "other "
        groups = quantity(run.n_seen_groups, f"evaluated {each}")
        what = f"saw {other}images of {groups} in training"
    else:
        what = "was evaluated on material that its audit found in training as well"
    return (
        f"{run.name} {what}.",
        "Its figures flatter: part of them is recognising a slide, a stain or a patient. It is "
        "shown beside the others and counts neither for the headline nor for the front.",
    )


def _head(run: ComparedRun) -> tuple[str, str]:
    return (
        f"{run.name} is a head on features.",
        "Its costs are of the head alone; what makes its features is not counted. It counts "
        "neither for the front nor for the question of light against large.",
    )


def _fallback(comparison: Comparison) -> tuple[str, str]:
    """Explain why runs are ranked by another metric than the one asked for."""
    found = {run.name: run.image[comparison.asked] for run in comparison.runs}
    why = {name: metric.reason or "" for name, metric in found.items() if metric.value is None}
    reasons = "; ".join(sorted(set(why.values()) - {""}))
    return (
        f"Ranked by {metric_label(comparison.metric, short=True).lower()}.",
        f"{metric_label(comparison.asked, short=True)} is undefined for {listing(why)}"
        f"{f' ({reasons})' if reasons else ''}.",
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def networks_note(runs: Sequence[ComparedRun]) -> str:
    """Explain whose accuracy is shown if the deployed model is several networks."""
    joined = [run.name for run in runs if run.networks > 1]
    if not joined:
        return ""
    return (
        f"{listing(joined)}: the accuracy is that of single networks, each evaluated on the fold "
        "that "
        "it never saw; what would be deployed joins all of them, costs more, and was itself "
        "evaluated "
        "on nothing. Costs are given for both. Where folds share a frozen backbone, its weights "
        "count once for each fold, but lie in the ONNX file once."
    )


def format_comparison(comparison: Comparison) -> list[str]:
    """Return the terminal output of a comparison, as lines."""
    lines = [f"{units(comparison)} in common", headline(comparison)]
    runs = honest(comparison)
    runs += [run for run in comparison.runs if run not in runs]
    width = max(len(run.name) for run in runs)
    for run in runs:
        size = run.deployed.onnx_bytes
        time = run.deployed.latency
        shown = [f"{label(comparison)} {metric_text(run.image[comparison.metric])}"]
        shown += [f"{amount(size / 1e6, 1)} MB"] if size else []
        shown += [f"{1e3 * time.median:.1f} ms an image"] if time else []
        shown += ["flattered: it saw what it was evaluated on"] if run.is_flattered else []
        lines.append(f"  {run.name:<{width}}  {', '.join(shown)}")
    return lines + [f"caution  {head} {words}" for head, words in cautions(comparison)]
