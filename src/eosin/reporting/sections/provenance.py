"""Provenance of a run: audit, data set, model, environment, and the commands to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eosin.artifacts.audit import Finding
from eosin.artifacts.model import Embedding, ModelInfo, TransferStage
from eosin.artifacts.stain import SeparationReference, StainReference
from eosin.core.text import count, duration, listing, quantity
from eosin.reporting.formatting import ABSENT, metric_text, number, times
from eosin.reporting.leaks import TilePair, run_pairs
from eosin.reporting.rendering import Cell, Table, text_table
from eosin.reporting.sections.exploration import part_name
from eosin.reporting.sections.results import member_network, members_of
from eosin.reporting.train_test_overlap import UNKNOWN_OVERLAP
from eosin.runs.finished import FinishedRun

_SEVERITIES = {"leak": "Leak", "warning": "Warning", "note": "Note"}
#: Example pairs of one finding; the rest is in ``audit.json``.
_MOST_PAIRS = 25

#: Limit of an audit without findings, where the audit states none itself.
_REACH = "It knows exact copies and the groups that it is told, not near-duplicates."
#: Facts for programs only.
_UNTOLD = frozenset({"parts", "counts"})

#: Test-time augmentations; an image is evaluated as it is by default.
_TEST_TIME = {"none": "", "dihedral": "the mean over eight mirrored and turned views of an image"}

_FROM_SCRATCH = "none: trained from scratch"

Facts = list[tuple[str, str]]


_METHODS = {"macenko": "Macenko", "reinhard": "Reinhard", "vahadane": "Vahadane"}


@dataclass(frozen=True)
class FindingView:
    """Finding of the audit as shown on the page; ``pictures`` are thumbnails of some pairs."""

    severity: str
    label: str
    kind: str
    message: str
    pairs: Table | None
    pictures: list[TilePair]
    summary: str


def findings(run: FinishedRun) -> list[FindingView]:
    """Return the audit's findings, leaks first."""
    if run.audit is None:
        return []
    order = list(_SEVERITIES)
    ranked = sorted(run.audit.findings, key=lambda finding: order.index(finding.severity))
    return [_finding(run, finding) for finding in ranked]


def _finding(run: FinishedRun, finding: Finding) -> FindingView:
    pairs = None
    if finding.pairs:
        rows = [
            [
                pair.a,
                part_name(pair.split_a) if pair.split_a else ABSENT,
                pair.b,
                part_name(pair.split_b) if pair.split_b else ABSENT,
                number(pair.score),
                pair.how or "",
            ]
            for pair in finding.pairs[:_MOST_PAIRS]
        ]
        columns = ["Image", "Part", "Other image", "Its part", "Similarity", "How"]
        if not any(pair.how for pair in finding.pairs):
            columns, rows = columns[:-1], [row[:-1] for row in rows]
        pairs = text_table("Example pairs.", columns, rows, texts=(0, 1, 2, 3, 5))
    shown = min(len(finding.pairs), _MOST_PAIRS)
    summary = quantity(len(finding.pairs), "example pair")
    if shown < len(finding.pairs):
        summary += f", the first {shown} here"
    kind = finding.kind.replace("_", " ").capitalize()
    return FindingView(
        severity=finding.severity,
        label=_SEVERITIES[finding.severity],
        kind=kind,
        message=finding.message,
        pairs=pairs,
        pictures=run_pairs(run, finding),
        summary=summary,
    )


def audit_words(run: FinishedRun) -> str:
    """Summarise the audit in one sentence."""
    if run.audit is None:
        return UNKNOWN_OVERLAP if run.split == "external" else "This run holds no leak audit."
    n = {key: sum(finding.severity == key for finding in run.audit.findings) for key in _SEVERITIES}
    looked = (
        f"The audit looked at {quantity(run.audit.n_images, 'image')} in "
        f"{quantity(run.audit.n_groups, 'group')}"
    )
    found = [
        quantity(n[key], word)
        for key, word in (("leak", "leak"), ("warning", "warning"), ("note", "note"))
        if n[key]
    ]
    # Earlier versions wrote it as Markdown.
    reach = " ".join(run.audit.reach).replace("`", "")
    if not found and run.audit.unchecked:
        return f"{looked} and found no copies. {run.audit.unchecked}. {reach or _REACH}"
    if not found:
        return f"{looked} and found nothing that is shared between the parts. {reach or _REACH}"
    if not n["leak"]:
        what = "copies" if run.audit.unchecked else "leak"
        below = f"no {what} between the parts; {listing(found)} below"
        return f"{looked} and found {below}. {reach or _REACH}"
    flatters = f"{looked} and found {listing(found)}. A leak makes a test result flattering."
    return f"{flatters} {reach}".rstrip()


def dataset_facts(run: FinishedRun) -> Facts:
    """Return the facts declared by the data set, best-known first."""
    dataset = run.dataset
    first = [
        key for key in ("title", "name", "licence", "citation", "doi", "url") if key in dataset
    ]
    rest = [key for key in dataset if key not in first and key not in _UNTOLD]
    facts = [(_heading(key), _plain(dataset[key])) for key in (*first, *rest)]
    facts.append(("Images as published", _published(dataset.get("counts") or [])))
    if run.environment:
        facts.append(("Fingerprint", run.environment.data_fingerprint))
    return [(key, value) for key, value in facts if value]


def _heading(key: str) -> str:
    known = {"doi": "DOI", "url": "Address", "positive": "Positive class", "mpp": "µm per pixel"}
    return known.get(key, key.replace("_", " ").capitalize())


def _published(counts: list[dict[str, Any]]) -> str:
    """Format the published number of images by class and subset."""
    return ", ".join(
        " ".join([count(n["images"]), *(n[key] for key in ("label", "part") if n.get(key))])
        for n in counts
    )


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return "" if value is None else str(value)


def model_facts(run: FinishedRun) -> Facts:
    """Return the facts of ``model.json``."""
    model = run.model
    if model is None:
        return []
    facts = [
        ("Network", _network(model)),
        ("Weights", _weights(model)),
        ("Input", _input(model)),
        ("Channel windows", _windows(model)),
        ("Stain normalisation", stain_fact(model.preprocessing.stain)),
        ("Evaluated by", _TEST_TIME[model.test_time]),
        ("Scale", f"{model.mpp:g} µm per pixel at the input" if model.mpp else "unknown"),
        ("Classes", ", ".join(model.class_names)),
        ("Positive class", model.positive or "none"),
        ("Threshold", _stored_threshold(model)),
        ("Temperature", _temperature(model)),
        ("Transfer", _transfer(run)),
        ("Training data licence", model.data_licence),
        ("Model licence", model.licence),
        ("SHA-256 of the weights", model.weights_sha256),
        ("Intended use", model.intended_use),
    ]
    return [(key, value) for key, value in facts if value]


def _members(model: ModelInfo) -> int:
    if model.architecture != "ensemble":
        return 1
    return len(model.members) or int(model.arguments.get("members", 1))


def _network(model: ModelInfo) -> str:
    member = model.arguments.get("architecture") or listing(map(member_network, model.members))
    return f"{model.architecture} of {member}" if member else model.architecture


def _input(model: ModelInfo) -> str:
    given = model.preprocessing
    if isinstance(given, Embedding):
        return f"{quantity(len(given.channels), 'feature')} of {given.table}, computed elsewhere"
    return f"{'×'.join(str(side) for side in given.input_px)} px, {_channels(model)}"


def _channels(model: ModelInfo) -> str:
    channels, taken = model.preprocessing.channels, model.preprocessing.magnifications
    if taken:
        one = "".join(channels[: len(channels) // len(taken)])
        return f"{one} at {listing([times(value) for value in taken])} together"
    return ("" if all(len(name) == 1 for name in channels) else ", ").join(channels)


def _windows(model: ModelInfo) -> str:
    """Format the display window of each fluorescence channel, in counts."""
    planes = model.preprocessing.planes
    if planes is None or planes.window is None:
        return ""
    window = planes.window
    spans = [
        f"{name} {low:,.0f}–{high:,.0f}"
        for name, low, high in zip(
            model.preprocessing.channels, window.low, window.high, strict=True
        )
    ]
    low, high = (f"{p:g}" for p in window.percentiles)
    return f"{', '.join(spans)} counts (percentiles {low} and {high} of the training images)"


def _weights(model: ModelInfo) -> str:
    members = _members(model)
    if model.members:
        return f"{quantity(model.params, 'learnable weight')} in {members} members"
    each = quantity(model.params // members, "learnable weight")
    return each if members == 1 else f"{members} members of {each}"


def _temperature(model: ModelInfo) -> str:
    return f"{model.temperature:.3f}" if _members(model) == 1 else "each member's own, inside"


def _stored_threshold(model: ModelInfo) -> str:
    threshold = model.threshold
    if threshold.value is None:
        return "none: the most probable class decides"
    return f"{number(threshold.value)} ({threshold.source})"


def _transfer(run: FinishedRun) -> str:
    chain = run.model.transfer_chain if run.model else []
    if not chain:
        return _FROM_SCRATCH
    if members := members_of(run):
        return "; ".join(f"{one.run}: {_links(one.transfer_chain)}" for one in members)
    frozen = run.recipe.transfer.freeze if run.recipe else "none"
    return _links(chain, "this training" + ("" if frozen == "none" else f" (frozen: {frozen})"))


def _links(chain: Sequence[TransferStage], last: str = "its training") -> str:
    return " → ".join([*map(_link, chain), last]) if chain else _FROM_SCRATCH


def _link(stage: TransferStage) -> str:
    name = stage.source if stage.data_fingerprint is None else f"stage {stage.stage}"
    frozen = None if stage.frozen in {None, "none"} else f"frozen: {stage.frozen}"
    shown = "; ".join(text for text in (stage.licence, frozen) if text)
    return f"{name} ({shown})" if shown else name


def environment_facts(run: FinishedRun) -> Facts:
    """Return versions, device and times. The data root stays out: pages are passed on."""
    environment = run.environment
    if environment is None:
        return []
    times = "; ".join(f"{stage} {duration(s)}" for stage, s in environment.seconds.items())
    facts = [
        ("Eosin", environment.eosin),
        ("Made", environment.created),
        ("Command", environment.command),
        ("Python", environment.python),
        ("Platform", environment.platform),
        ("Device", environment.device),
        ("Precision", environment.precision),
        ("Commit", environment.git or "not from a working tree"),
        ("Seed", str(environment.seed)),
        ("Time", times),
        ("Packages", ", ".join(f"{name} {v}" for name, v in environment.packages.items())),
    ]
    return [(key, value) for key, value in facts if value]


def rerun_commands(run: FinishedRun) -> list[str]:
    """Return the commands that repeat this run, from inside its folder."""
    if members := members_of(run):
        return [f"eosin ensemble {shlex.join(one.run for one in members)} -o ANEW"]
    if run.recipe is None:
        return ["eosin evaluate MODEL --data MANIFEST.csv -o ANEW", "eosin report ANEW"]
    return ["eosin train recipe.toml -o ../anew"]


def folds_table(run: FinishedRun) -> Table | None:
    """Build the table of folds: AUC, accuracy and sample sizes."""
    rows = []
    for fold in run.folds:
        if not fold.folder.metrics.exists():
            continue
        name, image = fold.root.name, fold.evaluated.image
        href = f"folds/{name}/report.html" if fold.folder.report.exists() else ""
        rows.append(
            (
                Cell(part_name(name), href=href),
                Cell(count(fold.evaluated.n_images)),
                Cell(count(fold.evaluated.n_groups)),
                Cell(metric_text(image.get("auc"))),
                Cell(metric_text(image.get("accuracy"))),
            )
        )
    if not rows:
        return None
    columns = ("Fold", "Images", "Groups", "AUC", "Accuracy")
    return Table("Each fold, evaluated on the groups it held out.", columns, tuple(rows))


def stain_fact(reference: StainReference | None) -> str:
    """Describe the target of stain normalisation in a sentence; empty without one."""
    if reference is None:
        return ""
    of = f"{_METHODS[reference.method]}: each {reference.unit}'s own stain is brought to that of "
    source = reference.fitted_on
    if source == "the training part":
        units = (
            "" if reference.unit == "tile" else f" of {quantity(reference.n_units, reference.unit)}"
        )
        source += f" (median of {quantity(reference.n_images, 'image')}{units})"
    return of + source + "; " + _numbers(reference)


def _numbers(reference: StainReference) -> str:
    if isinstance(reference, SeparationReference):
        stains = zip(("haematoxylin", "eosin"), reference.stain_matrix, strict=True)
        return listing([f"{name} ({_triple(vector)})" for name, vector in stains])
    return f"L*a*b* {_triple(reference.lab_mean)} ± {_triple(reference.lab_std)}"


def _triple(values: tuple[float, float, float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def stain_table(run: FinishedRun) -> Table | None:
    """Build the table of images with failed stain normalisation; ``None`` if there are none."""
    if run.stain is None or not run.stain.unchanged:
        return None
    rows = [
        (part_name(name), part.n_images, sum(part.unchanged.values()), _reasons(part.unchanged))
        for name, part in run.stain.parts.items()
    ]
    return text_table(
        "Images whose stain could not be normalised: the network sees them as they are.",
        ("Part", "Images", "Unchanged", "Why"),
        rows,
        texts=(0, 3),
    )


def _reasons(unchanged: dict[str, int]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in unchanged.items()) or "–"
