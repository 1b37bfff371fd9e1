"""Quantities of a paper's cells: what is measured in a run, by a short name.

==============================  ====================================================================
name                            what it is
==============================  ====================================================================
``accuracy``                    a metric of the catalogue, of the most probable class
``val/accuracy``                the same on the validation images
``class:benign/precision``      of one class against the rest
``magnification:200/accuracy``  of one magnification
``patient/recognition_rate``    patient-level recognition rate (P4's P_arp)
``confusion:benign:malignant``  images of the first class that are predicted as the second
``history:val_accuracy@best``   a column of ``history.csv`` at the ``best``, ``first`` or ``last``
                                evaluation; its ``max`` or ``min``; at the end of an epoch, ``15``;
                                its mean over an epoch, ``mean:2``; from a step on, ``step:200``
``epochs``, ``best_epoch``      epochs trained; epoch of the best evaluation
``seconds``                     time of the training; ``seconds_to_best`` up to the best evaluation
``latency``                     seconds of one prediction on one thread
``file_bytes``                  size of the exported weights; of folds, of one of their networks
``params``                      learnable weights; also ``trainable`` and ``frozen`` ones
``params:stored``               learnable weights and running statistics, as Keras counts
``params:1000``                 learnable weights with the 1,000 classes of ImageNet
``macs``, ``flops``             multiply-accumulates of one image, and twice as many operations
``layer:features.0``            learnable weights of one layer; ``layer:features.0:stored``
``recipe:train.lr``             a number of the recipe as published
``images``                      images of the data set; ``images:benign``, ``images:benign:200``
``train_images``                images of the training subset; also ``val_images``, ``test_images``
``batches``                     batches of an epoch
==============================  ====================================================================

A prefix ``val/``, ``magnification:…/`` or ``class:…/`` also goes before ``confusion:``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from eosin.artifacts.layout import TEST_BY_FOLD
from eosin.artifacts.metrics import Confusion, Metric, MetricBlock, PartMetrics, SplitMetrics
from eosin.exporting.costs import find_models, measure_latencies, training_seconds
from eosin.recipe import Recipe
from eosin.recipe.schema import TrainSection
from eosin.runs.comparison import kept_row
from eosin.runs.finished import FinishedRun

#: Counts that must be equal to be right: no interval, no luck.
EXACT = {
    *("params", "trainable", "frozen", "macs", "flops", "layer", "recipe"),
    *("images", "batches"),
}
#: What depends on the machine.
TIMED = {"seconds", "seconds_to_best", "latency"}
_IMAGENET_CLASSES = 1000
_SIZES = {"train_images": "train", "val_images": "val", "test_images": "test"}
_PLAIN = {*EXACT, *TIMED, *_SIZES, "epochs", "best_epoch", "file_bytes", "confusion", "history"}
_SCOPES = {"val", "magnification", "class", "subtype", "patient", "at_threshold"}
_HISTORY = re.compile(r"history:(\w+)@(best|first|last|max|min|(?:(?:mean|step):)?\d+)")


def kind_of(quantity: str) -> str:
    """Return a quantity's name, without scope and arguments: ``images`` of ``images:benign``."""
    return quantity.rpartition("/")[2].partition(":")[0]


def is_of_network(quantity: str) -> bool:
    """Return True if a quantity is of the network or the recipe, which needs no training."""
    return kind_of(quantity) in EXACT - {"images", "batches"}


def is_known(quantity: str, metrics: set[str]) -> bool:
    """Return True if a text has the form of a quantity; ``metrics`` are the catalogue's names."""
    *scopes, last = quantity.split("/")
    name, _, rest = last.partition(":")
    if any(scope.partition(":")[0] not in _SCOPES for scope in scopes):
        return False
    if name == "history":
        return _HISTORY.fullmatch(last) is not None
    if name == "confusion":
        return rest.count(":") == 1
    return name in _PLAIN or (name in metrics and not rest)


def measure(run: FinishedRun, quantity: str) -> Metric:
    """Measure a quantity in a finished run; a null with its reason where the run lacks it."""
    *scopes, last = quantity.split("/")
    name, *arguments = last.split(":")
    if name == "history":
        return _history(run, quantity)
    if name in _PLAIN - {"confusion"}:
        return _plain(run, name, arguments)
    # Of folds with a test subset, papers print the mean over the networks, not their mean's.
    printed = run.metrics.get(TEST_BY_FOLD, run.evaluated)
    split = run.metrics.get("val") if "val" in scopes else printed
    if split is None:
        return _none("the run has no validation metrics")
    within = [scope.partition(":") for scope in scopes if scope != "val"]
    if name == "confusion":
        return _confusion_count(split, within, *arguments)
    return _find_block(split, within).get(name) or _none(f"the run has no {quantity}")


def _none(reason: str) -> Metric:
    return Metric(value=None, reason=reason)


def _value(value: float | None, reason: str = "not recorded in the run") -> Metric:
    return _none(reason) if value is None else Metric(value=value)


def _find_block(split: SplitMetrics, within: list[tuple[str, str, str]]) -> MetricBlock:
    """Return the block of metrics of a scope; empty where the run has none."""
    if not within:
        return split.image
    kind, _, name = within[0]
    if kind in {"patient", "at_threshold"}:
        return split.patient if kind == "patient" else split.at_threshold
    blocks: Mapping[str, MetricBlock | PartMetrics] = getattr(split, f"by_{kind}")
    found = blocks.get(name, {})
    return found.metrics if isinstance(found, PartMetrics) else found


def _confusion_count(
    split: SplitMetrics, within: list[tuple[str, str, str]], truth: str, predicted: str
) -> Metric:
    confusion: Confusion | None = split.confusion
    if within:
        part = getattr(split, f"by_{within[0][0]}").get(within[0][2])
        confusion = part.confusion if isinstance(part, PartMetrics) else None
    if confusion is None or not {truth, predicted} <= set(confusion.labels):
        return _none("the run has no such counts")
    row, column = (confusion.labels.index(label) for label in (truth, predicted))
    return Metric(value=confusion.matrix[row][column])


def _history(run: FinishedRun, quantity: str) -> Metric:
    """Read a value of the history; of a run with folds, their mean."""
    found = _HISTORY.fullmatch(quantity)
    if found is None:
        raise ValueError(f"{quantity!r} is not a quantity of the history")
    column, where = found.groups()
    histories = [one.history for one in (run.folds or (run,)) if one.history is not None]
    values = [_row_value(run, frame, column, where) for frame in histories if column in frame]
    known = [value for value in values if value is not None and not math.isnan(value)]
    return _value(sum(known) / len(known) if known else None)


def _row_value(run: FinishedRun, frame: Any, column: str, where: str) -> float | None:
    values = frame[column].astype(float)
    if where in {"max", "min"}:
        return float(values.max() if where == "max" else values.min())
    if where in {"first", "last", "best"}:
        rows = {"first": 0, "last": -1, "best": _best_row(run, frame)}
        return float(values.iloc[rows[where]])
    kind, _, number = where.rpartition(":")
    if kind == "step":
        later = values[frame["step"].astype(int) >= int(number)]
        return float(later.iloc[0]) if len(later) else None
    of_epoch = values[frame["epoch"].astype(int) == int(number) - 1]
    if not len(of_epoch):
        return None
    return float(of_epoch.mean() if kind == "mean" else of_epoch.iloc[-1])


def _best_row(run: FinishedRun, frame: Any) -> int:
    return kept_row(frame, run.recipe.train if run.recipe else TrainSection())


def _plain(run: FinishedRun, name: str, arguments: list[str]) -> Metric:
    if name in _SIZES:
        part = run.split_report.parts.get(_SIZES[name]) if run.split_report else None
        return _value(part.n_images if part else None)
    if name == "images":
        return _value(_count_images(run, *arguments))
    if name == "file_bytes":
        folder = find_models(run).judged
        return _value(folder.weights.stat().st_size if folder else None)
    if name == "seconds":
        return _value(training_seconds(run))
    if name == "latency":
        return _value(_latency(run.root), "the model cannot be timed")
    return _value(_of_history(run, name))


@cache
def _latency(root: Path) -> float | None:
    """Measure the latency of a run's network; of folds, of one of them."""
    run = FinishedRun(root)
    folder = find_models(run).judged
    if folder is None:
        return None
    found = measure_latencies({root: folder}, run.samples)
    return found[root].median if root in found else None


def _count_images(run: FinishedRun, label: str = "", magnification: str = "") -> int | None:
    frame = run.manifest
    if frame is None:
        return None
    if label:
        frame = frame[frame["label"] == label]
    if magnification:
        frame = frame[frame["magnification"].astype(str) == magnification]
    return int(frame["path"].nunique())


def _of_history(run: FinishedRun, name: str) -> float | None:
    """Return epochs, best epoch, seconds to it or batches an epoch; of folds, the mean."""
    histories = [one.history for one in (run.folds or (run,)) if one.history is not None]
    if not histories:
        return None
    values = [_of_one_history(run, frame, name) for frame in histories]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _of_one_history(run: FinishedRun, frame: Any, name: str) -> float | None:
    epochs = frame["epoch"].astype(int) + 1
    if name == "epochs":
        return float(epochs.max())
    best = _best_row(run, frame)
    if name == "best_epoch":
        return float(epochs.iloc[best])
    if name == "seconds_to_best" and "seconds" in frame:
        return float(frame["seconds"].astype(float).iloc[best])
    if name == "batches":
        patience = run.recipe.train.patience if run.recipe else None
        is_cut = patience is not None and len(frame) - 1 - best >= patience
        if epochs.max() == 1 and is_cut:
            return None  # stopped within the first epoch
        return float(frame[epochs == 1]["step"].astype(int).max())
    return None


def network_facts(recipe: Recipe) -> dict[str, float]:
    """Return the counts of a recipe's network as the paper has it, without any training.

    Returns:
        ``params`` (also ``:stored`` and ``:1000``), ``trainable``, ``frozen``, ``macs``,
        ``flops``, ``layer:NAME`` for each layer, with
        ``:stored`` those that include running statistics, and ``recipe:KEY`` for each number.
    """
    import torch

    from eosin.networks import build_network, count_params, find_spec
    from eosin.networks.freezing import find_cut, freeze
    from eosin.networks.registry import count_macs

    spec = find_spec(recipe.model.name)
    side = recipe.model.input_px or spec.input_px
    with torch.device("meta"):
        network, of_imagenet = (
            build_network(spec.name, num_classes=n, input_px=side, arguments=recipe.model.arguments)
            for n in (spec.num_classes, _IMAGENET_CLASSES)
        )
        macs = count_macs(network, side)
    trainable = freeze(network, find_cut(network, spec.stages, recipe.transfer.freeze))
    params = count_params(network)
    layers = {path: module for path, module in network.named_modules() if path}
    learnt = {f"layer:{path}": _count(layers[path].parameters(recurse=False)) for path in layers}
    kept = {
        f"layer:{path}": _count(w for w in layers[path].buffers(recurse=False) if w.ndim)
        for path in layers
    }
    return {
        "params": params, "trainable": trainable, "frozen": params - trainable, "macs": macs,
        "flops": 2 * macs, "params:stored": params + sum(kept.values()),
        f"params:{_IMAGENET_CLASSES}": count_params(of_imagenet),
        **learnt,
        **{f"{name}:stored": learnt[name] + kept[name] for name in learnt},
        **_numbers("recipe", recipe.model_dump()),
    }  # fmt: skip


def _count(weights: Iterable[Any]) -> float:
    return float(sum(one.numel() for one in weights))


def _numbers(key: str, value: Any) -> dict[str, float]:
    """Return the numbers of a tree by their keys: ``recipe:train.lr``."""
    if isinstance(value, Mapping):
        mark = "." if ":" in key else ":"
        inner = [_numbers(f"{key}{mark}{name}", value[name]) for name in value]
        return {name: number for found in inner for name, number in found.items()}
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {key: float(value)} if is_number else {}
