"""Runs under comparison: their metrics on the common images, and cautions."""

from __future__ import annotations

from collections.abc import Sequence

from eosin.artifacts.comparison import ComparedRun, Comparison
from eosin.core.text import count, listing, quantity
from eosin.metrics.catalogue import METRIC_NAMES
from eosin.reporting.formatting import metric_label, sentence
from eosin.reporting.outline import Facts, Pair, Section, Table, make_table

#: Metrics in the table of runs, beside the ranking metric.
_SHOWN = ("auc", "accuracy", "recall", "specificity", "f1")


def section(comparison: Comparison) -> Section:
    """Return the section on how the runs were measured."""
    return Section("How it was measured", Facts(_facts(comparison)))


def metric_table(comparison: Comparison) -> Table | None:
    """Build the table of metrics on the common images, one row per run."""
    own = (name for name in comparison.metrics if name not in METRIC_NAMES)
    names = list(dict.fromkeys([comparison.metric, *_SHOWN, *own]))
    rows = [
        (run.name, run.protocol, *(run.image.get(name) for name in names))
        for run in ranked(comparison)
    ]
    caption = (
        f"Metrics of the most probable class on the {units(comparison)} in common, "
        "with 95 % intervals."
    )
    columns = ("Run", "Split", *(metric_label(name, short=True) for name in names))
    return make_table(caption, columns, rows, texts=(0, 1), look="many")


def _facts(comparison: Comparison) -> list[Pair]:
    """Return the facts of the comparison as pairs of name and value."""
    each = unit(comparison)
    found = [
        ("Images in common", units(comparison)),
        ("Ranked by", metric_label(comparison.metric)),
        (
            "Intervals",
            f"95 %, from {count(comparison.resamples)} resamples of whole {each}s, the same for "
            f"all runs; seed {comparison.seed}",
        ),
        ("Time for an image", _timing(comparison)),
        ("Trained on", listing(dict.fromkeys(r.device for r in comparison.runs if r.device))),
        ("Made", f"Eosin {comparison.eosin}, {comparison.created}"),
    ]
    if comparison.matched_by_content:
        moved = f"{quantity(comparison.matched_by_content, 'image')} at another path in some run"
        found.insert(1, ("Matched by content", moved))
    found += [(f"Preprocessing of {run.name}", run.preprocessing) for run in comparison.runs]
    return found


def _timing(comparison: Comparison) -> str:
    timed = [run.deployed.latency for run in comparison.runs if run.deployed.latency]
    if not timed:
        return "not measured: no run has its model"
    images = " and ".join(sorted({f"{one.images} images" for one in timed}))
    return (
        f"{comparison.platform}, {quantity(comparison.threads, 'thread')}; "
        f"{len(timed[0].rounds)} rounds, the runs in turn; {images}"
    )


def units(comparison: Comparison) -> str:
    """Return the size of the comparison, e.g. ``"550 images of 29 patients"``."""
    images = quantity(comparison.n_images, "image")
    groups = quantity(comparison.n_groups, "group")
    if comparison.n_patients is not None:
        patients = f"{images} of {quantity(comparison.n_patients, 'patient')}"
        same = comparison.n_patients == comparison.n_groups
        return patients if same else f"{patients} in {groups}"
    return images if comparison.n_groups == comparison.n_images else f"{images} of {groups}"


def unit(comparison: Comparison) -> str:
    """Return the noun of the unit that is resampled and exchanged as a whole."""
    if comparison.n_groups == comparison.n_images:
        return "image"
    return "patient" if comparison.n_patients == comparison.n_groups else "group"


def label(comparison: Comparison) -> str:
    """Return the name of the ranking metric in a sentence."""
    text = metric_label(comparison.metric, short=True)
    text = text if text.isupper() else text.lower().replace("f1", "F1")
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


def cautions(comparison: Comparison) -> list[Pair]:
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
                f"evaluated on; left out are {listing(shown)}. The figures of a run's own page are "
                "of all.",
            )
        )
    ranking = [one for run in comparison.runs if (one := run.image[comparison.metric]).reason]
    heads = ("No interval." if one.low is None else "Few groups." for one in ranking)
    found += sorted(
        {(head, sentence(one.reason)) for head, one in zip(heads, ranking, strict=True)}
    )
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
        "Its costs are of the head alone; what makes its features is not counted. It does not "
        "count for the front.",
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


def networks_note(runs: Sequence[ComparedRun]) -> str:
    """Explain whose accuracy is shown if the deployed model is several networks."""
    joined = [run.name for run in runs if run.networks > 1]
    if not joined:
        return ""
    return (
        f"{listing(joined)}: the accuracy is that of single networks, each evaluated on the fold "
        "that it never saw; what would be deployed joins all of them, costs more, and was itself "
        "evaluated on nothing. Costs are given for both. Where folds share a frozen backbone, its "
        "weights count once for each fold, but lie in the ONNX file once."
    )
