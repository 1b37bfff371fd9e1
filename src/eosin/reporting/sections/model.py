"""Model: network, input, weights and files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import Embedding, ModelInfo, Preprocessing
from eosin.artifacts.provenance import TransferStage
from eosin.artifacts.stain import FITTED_ON, SeparationReference, StainReference
from eosin.core.text import count, listing, quantity
from eosin.images.crops import crop_origins
from eosin.reporting.formatting import amount, number, times
from eosin.reporting.outline import (
    Cell,
    Facts,
    Pair,
    Section,
    Table,
    joined,
    make_table,
    select,
)
from eosin.reporting.sections.results import member_network, members_of
from eosin.runs.finished import FinishedRun

#: Test-time augmentations; none by default.
_TEST_TIME = {"none": "", "dihedral": "mean over eight views (mirrored, rotated by 90°)"}
_FROM_SCRATCH = "random"
_METHODS = {"macenko": "Macenko", "reinhard": "Reinhard", "vahadane": "Vahadane"}
_COUNTED = {"params": "Parameters", "trainable": "Trained", "buffers": "Buffers"}
#: Facts that the card leaves to other sections.
_ELSEWHERE = {
    "Threshold", "Temperature", "Initial weights", "Teachers", "Training data licence",
    "Model licence", "SHA-256 of the weights", "Intended use",
}  # fmt: skip


def section(run: FinishedRun) -> Section:
    """Return the sub-section of the page."""
    layers = Section("Layers of the network", layers_table(run), fold="closed")
    return Section("Model", Facts(model_facts(run)), layers)


def brief(run: FinishedRun) -> Section:
    """Return the section of the card."""
    facts, model = model_facts(run), run.model
    extra: list[Pair] = [("Modality", model.modality)] if model else []
    if model is not None and model.macs is not None:
        extra.append(("Compute", f"{amount(model.macs / 1e6, 0)} M MACs per image"))
    folder = ModelFolder(run.folder.model)
    sizes = [
        f"{path.name} {path.stat().st_size / 1e6:.2f} MB"
        for path in (folder.onnx, folder.weights)
        if path.exists()
    ]
    files = [("Files", ", ".join(sizes))] if sizes else []
    own = [fact for fact in facts if fact[0] not in _ELSEWHERE]
    hashed = select(facts, "SHA-256 of the weights")
    return Section("Model details", Facts([*own, *extra, *files, *hashed]))


def layers_table(run: FinishedRun) -> Table | None:
    """Build the table of layers, or of blocks of layers if there are many; ``None`` without one."""
    table = run.layers
    if table is None:
        return None
    total, rows = table.total, table.short()
    frozen = total.trainable < total.params
    counted = ("params", "trainable", "buffers") if frozen else ("params", "buffers")
    shown: list[tuple[Cell | str | int, ...]] = [
        (row.name, row.kind, row.shape_text, *(getattr(row, name) for name in counted))
        for row in [*rows, total.model_copy(update={"name": "Total"})]
    ]
    sides = " × ".join(map(count, table.input_shape))
    caption = f"Layers with output shapes (channels first) for an input of {sides}."
    if len(rows) < len(table.layers):
        n_layers = quantity(len(table.layers), "layer")
        caption += f" Summarised by block; layers.json lists all {n_layers}."
    heads = ("Layer", "Kind", "Output", *(_COUNTED[name] for name in counted))
    return make_table(caption, heads, shown, texts=(0, 1), look="many", name="layers")


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    if run.model is None:
        return {}
    facts, folder, given = model_facts(run), ModelFolder(run.folder.model), run.model.preprocessing
    files = [path.name for path in (folder.onnx, folder.weights) if path.exists()]
    mean, std = (", ".join(f"{v:g}" for v in values) for values in (given.mean, given.std))
    policy = f"; augmentation: {run.recipe.augment.policy}" if run.recipe else ""
    several = run.model.architecture == "ensemble"
    scale = "" if given.scale == 1 else f"value × {given.scale:.3g}, "
    return {
        "preparation": joined(select(facts, "Input", "Stain normalisation", "Pixel size")),
        "input": joined(select(facts, "Input", "Channel windows")),
        "network": joined(select(facts, "Network", "Parameters")),
        "initial_weights": joined(select(facts, "Initial weights")),
        "ensembling": joined(select(facts, "Parameters")) if several else "single network",
        "specification": f"complete: {listing([folder.info.name, *files])}",
        "transformation": f"{scale}mean ({mean}), std ({std}){policy}",
        "output": f"probability of each class; threshold {joined(select(facts, 'Threshold'))}",
    }


def model_facts(run: FinishedRun) -> list[Pair]:
    """Return the facts of ``model.json``."""
    model = run.model
    if model is None:
        return []
    facts = [
        ("Network", _network(model)),
        ("Parameters", _weights(model)),
        ("Input", _input(model)),
        ("Channel windows", _windows(model)),
        ("Stain normalisation", _stain_fact(model.preprocessing)),
        ("Test-time augmentation", _TEST_TIME[model.test_time]),
        ("Pixel size", f"{model.mpp:g} µm at the network input" if model.mpp else "unknown"),
        ("Classes", ", ".join(model.class_names)),
        ("Positive class", model.positive or "none"),
        ("Threshold", _stored_threshold(model)),
        ("Temperature", _temperature(model)),
        ("Initial weights", _transfer(run)),
        ("Teachers", _teachers(run)),
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
        return f"{quantity(len(given.channels), 'feature')} from {given.table}"
    size = f"{'×'.join(str(side) for side in given.input_px)} px"
    size += "" if len({*given.input_px}) == 1 else " (height × width)"
    cropped = ", centre-cropped" if given.resize == "centre_crop" else ""
    return f"{size}, {_channels(model)}{cropped}{_crops(given)}"


def _crops(given: Preprocessing) -> str:
    n_crops, side = len(crop_origins(given)), given.crop_px
    if side is None:
        return ""
    return f"; mean probability of {quantity(n_crops, 'crop')} of {side}×{side} px that cover it"


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
    ends = zip(model.preprocessing.channels, window.low, window.high, strict=True)
    spans = ", ".join(f"{name} {low:,.0f}–{high:,.0f}" for name, low, high in ends)
    if window.percentiles is None:
        return f"{spans} counts (full range of the files' data type)"
    low, high = (f"{p:g}" for p in window.percentiles)
    return f"{spans} counts (percentiles {low} and {high} of the training images)"


def _weights(model: ModelInfo) -> str:
    members = _members(model)
    if model.members:
        return f"{count(model.params)} in {members} members"
    each = count(model.params // members)
    return each if members == 1 else f"{members} members of {each} each"


def _temperature(model: ModelInfo) -> str:
    return (
        f"{model.temperature:.3f}"
        if _members(model) == 1
        else "each member's own, part of its network"
    )


def _stored_threshold(model: ModelInfo) -> str:
    threshold = model.threshold
    if threshold.value is None:
        return "none: the most probable class is decided"
    return f"{number(threshold.value)} ({threshold.source})"


def _transfer(run: FinishedRun) -> str:
    model = run.model
    if model is None or not model.transfer_chain:
        return _FROM_SCRATCH
    if members := members_of(run):
        lasts = [_training("its training", one.frozen, one.unfrozen) for one in members]
        return "; ".join(
            f"{one.run}: {_links(one.transfer_chain, last)}"
            for one, last in zip(members, lasts, strict=True)
        )
    frozen = run.recipe.transfer.freeze if run.recipe else None
    last = _training("this training", model.frozen or frozen, model.unfrozen)
    return _links(model.transfer_chain, last)


def _teachers(run: FinishedRun) -> str:
    """Name the runs that taught the network; empty for most."""
    if run.model is None or not run.model.teachers:
        return ""
    weights: dict[str, list[str]] = {}  # of a run of folds, several
    for one in run.model.teachers:
        weights.setdefault(f"{one.run}, {one.architecture}", []).append(one.weights_sha256[:12])
    names = "; ".join(f"{name} (weights {listing(each)})" for name, each in weights.items())
    share = f"; {run.recipe.train.teacher_weight:.0%} of the loss" if run.recipe else ""
    return f"{names}{share}"


def _links(chain: Sequence[TransferStage], last: str) -> str:
    return " → ".join([*map(_link, chain), last]) if chain else _FROM_SCRATCH


def _link(stage: TransferStage) -> str:
    name = stage.source if stage.data_fingerprint is None else f"stage {stage.stage}"
    return _training(name, stage.frozen, stage.unfrozen, stage.licence)


def _training(
    name: str, frozen: str | None, unfrozen: Sequence[str], licence: str | None = None
) -> str:
    """Name a training, with its licence, what it froze, and what it trained before the cut."""
    kept = None if frozen in {None, "none"} else f"frozen: {frozen}"
    if kept and unfrozen:
        # By pattern: layers of one kind differ in their numbers.
        kinds = Counter(re.sub(r"\d+", "*", weight) for weight in unfrozen)
        which = listing(f"{kind} ({count})" for kind, count in kinds.items())
        kept += (
            f", except {quantity(len(unfrozen), 'tensor')} absent from the initial weights, which"
            f" stayed trainable: {which}"
        )
    shown = "; ".join(text for text in (licence, kept) if text)
    return f"{name} ({shown})" if shown else name


def _stain_fact(given: Preprocessing) -> str:
    """Describe the target of stain normalisation in a sentence; empty without one."""
    if given.training_stain is not None:
        return f"training images only. {_reference(given.training_stain)}"
    return "" if given.stain is None else _reference(given.stain)


def _reference(reference: StainReference) -> str:
    of = f"{_METHODS[reference.method]}, per {reference.unit}, to the stain of "
    source = reference.fitted_on
    if source.startswith(FITTED_ON):
        units = f" of {quantity(reference.n_units, reference.unit)}"
        several = "" if reference.unit == "tile" else units
        source += f" (median of {quantity(reference.n_images, 'image')}{several})"
    return of + source + "; " + _numbers(reference)


def _numbers(reference: StainReference) -> str:
    if isinstance(reference, SeparationReference):
        stains = zip(("haematoxylin", "eosin"), reference.stain_matrix, strict=True)
        return listing([f"{name} ({_triple(vector)})" for name, vector in stains])
    return f"L*a*b* {_triple(reference.lab_mean)} ± {_triple(reference.lab_std)}"


def _triple(values: tuple[float, float, float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
