"""Runs under comparison: their metrics on the common images, and cautions."""

from __future__ import annotations

from collections.abc import Sequence

from eosin.artifacts.comparison import ComparedRun, Comparison
from eosin.core.text import count, listing, quantity
from eosin.metrics.catalogue import METRIC_NAMES
from eosin.reporting.formatting import metric_label, plain_reason, sentence
from eosin.reporting.outline import Facts, Pair, Section, Table, make_table

#: Metrics in the table of runs, beside the ranking metric.
_SHOWN = ("auc", "accuracy", "recall", "specificity")
#: Significance level of the corrected p-values.
ALPHA = 0.05


def section(comparison: Comparison) -> Section:
    """Return the section on how the runs were measured."""
    return Section("Methods", *_outcomes_words(comparison), Facts(_facts(comparison)))


def _outcomes_words(comparison: Comparison) -> list[str]:
    """Explain "within noise" and "significantly different"."""
    each, pairs = unit(comparison), len(comparison.pairs)
    words = [
        f"Within noise: the 95 % interval of the paired difference includes 0. Both runs of a pair "
        f"are measured on the same resamples by {each}. It does not mean that the runs are equally "
        f"good, but that {units(comparison)} do not show which is better.",
        f"Significantly different: the interval excludes 0, and a permutation test by {each} "
        f"({count(comparison.flips)} permutations) has p < {ALPHA:g} after Holm's correction for "
        f"{quantity(pairs, 'pair')}. Inconclusive: only the interval excludes 0.",
    ]
    if comparison.n_repeated:
        words.append(
            f"{quantity(comparison.n_repeated, 'run')} predicted every image in several repeats: "
            "their probabilities are averaged per image, which is slightly better than a single "
            "repeat."
        )
    return words


def metric_table(comparison: Comparison) -> Table | None:
    """Build the table of metrics on the common images, one row per run."""
    own = (name for name in comparison.metrics if name not in METRIC_NAMES)
    names = list(dict.fromkeys([comparison.metric, *_SHOWN, *own]))
    runs = sorted(ranked(comparison), key=lambda run: run.is_flattered)
    rows = [(run.name, run.protocol, *map(run.image.get, names)) for run in runs]
    caption = (
        f"Metrics of the most probable class on the {units(comparison)} in common, with 95 % "
        f"intervals; sorted by {label(comparison)}"
    )
    overlap = ", runs with train-test overlap last"
    caption += f"{overlap if any(run.is_flattered for run in runs) else ''}."
    columns = ("Run", "Split", *(metric_label(name, short=True) for name in names))
    return make_table(caption, columns, rows, texts=(0, 1), look="many", name="metrics")


def _facts(comparison: Comparison) -> list[Pair]:
    """Return the facts of the comparison as pairs of name and value."""
    each = unit(comparison)
    found = [
        ("Images in common", units(comparison)),
        ("Ranked by", metric_label(comparison.metric)),
        (
            "Intervals",
            f"95 %, from {count(comparison.resamples)} resamples by {each}, the same for all runs; "
            f"seed {comparison.seed}",
        ),
        ("Time per image", _timing(comparison)),
        ("Trained on", listing(dict.fromkeys(r.device for r in comparison.runs if r.device))),
        ("Created", f"Eosin {comparison.eosin}, {comparison.created}"),
    ]
    if comparison.matched_by_content:
        moved = f"{quantity(comparison.matched_by_content, 'image')} with several paths"
        found.insert(1, ("Matched by content", moved))
    found += [(f"Preprocessing of {run.name}", run.preprocessing) for run in comparison.runs]
    return found


def _timing(comparison: Comparison) -> str:
    timed = [run.deployed.latency for run in comparison.runs if run.deployed.latency]
    if not timed:
        return "not measured: no run has a model"
    images = " and ".join(sorted({f"{one.images} images" for one in timed}))
    return (
        f"{comparison.platform}, {quantity(comparison.threads, 'thread')}; "
        f"{len(timed[0].rounds)} rounds, runs interleaved; {images}"
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
    """Return the noun of the unit of resampling and permutation."""
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
                "Only common images are compared.",
                f"These are {count(comparison.n_images)} images that all runs were evaluated on; "
                f"left out are {listing(shown)}. The report of a run covers all of its images.",
            )
        )
    ranking = [one for run in comparison.runs if (one := run.image[comparison.metric]).reason]
    few = "Few patients." if unit(comparison) == "patient" else "Few groups."
    heads = ("No interval." if one.low is None else few for one in ranking)
    found += sorted(
        {
            (head, sentence(plain_reason(one.reason, unit(comparison))))
            for head, one in zip(heads, ranking, strict=True)
        }
    )
    if comparison.n_groups == comparison.n_images:
        found.append(
            (
                "No patients or groups are known.",
                "Every image counts as its own group. If several images come from one patient, "
                "intervals are too narrow and p-values too small.",
            )
        )
    return [*found, _chosen(comparison)]


def _seen(comparison: Comparison, run: ComparedRun) -> tuple[str, str]:
    each = unit(comparison) if comparison.n_groups != comparison.n_images else "group"
    if run.n_seen_groups:
        other = "" if run.split == "external" else "other "
        groups = quantity(run.n_seen_groups, f"evaluated {each}")
        what = f"was trained on {other}images of {groups}"
    else:
        what = "was evaluated on data that its audit also found in training"
    return (
        f"{run.name} {what}.",
        "Its figures are over-optimistic. It is listed, but excluded from the verdict and from the "
        "Pareto front.",
    )


def _chosen(comparison: Comparison) -> tuple[str, str]:
    """Warn of the optimism of a winner that is chosen by these figures."""
    n_runs, best = len(honest(comparison)), honest(comparison)[0].name
    size = "by an unknown amount"
    if comparison.optimism is not None:
        gap = max(0.0, comparison.optimism)
        about = "less than 0.001" if gap < 0.001 else f"about {gap:.3f}"
        size = f"by {about} (estimated by a bootstrap of the choice)"
    return (
        "Choosing a run by these figures is optimistic.",
        f"The {label(comparison)} of {best}, the best of {n_runs}, is too high {size}. Confirm the "
        "chosen run on data that no run was evaluated on.",
    )


def _head(run: ComparedRun) -> tuple[str, str]:
    return (
        f"{run.name} is a head on features.",
        "Its costs are those of the head without the feature extractor, so it is excluded from the "
        "Pareto front.",
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
    """Explain whose metrics are shown if the deployed model is several networks."""
    joined = [run.name for run in runs if run.networks > 1]
    if not joined:
        return ""
    return (
        f"{listing(joined)}: metrics are those of single networks, each on its held-out fold. The "
        "deployed model is the ensemble of all folds, which costs more and was not evaluated "
        "itself; costs are given for both. A frozen backbone that folds share counts once per fold "
        "in the parameters, but is stored once in the ONNX file."
    )
