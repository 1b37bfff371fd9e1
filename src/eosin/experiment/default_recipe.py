"""Default recipe for a folder or table of the user's own images."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from PIL import Image as PillowImage

from eosin.core.errors import UsageError, close_matches
from eosin.core.text import clean_name, duration, listing, printable
from eosin.core.types import Samples
from eosin.data.labelled import describe_source, resolve_source
from eosin.data.splits import check_folds
from eosin.experiment.prepare import gather_samples
from eosin.experiment.validation import check_positive
from eosin.recipe import Recipe, recipe_from_dict
from eosin.recipe.overrides import Overrides, load_toml, merge, parse_overrides
from eosin.recipe.shipped import find_recipe

_LOG = logging.getLogger(__name__)

Preset: TypeAlias = Literal["quick", "good", "best"]
PRESETS: tuple[str, ...] = get_args(Preset)
#: Below so many patients, or images where patients are unknown, no network is fine-tuned.
FEW_PATIENTS, FEW_IMAGES = 100, 2000
_HEAD, _FINETUNED = "lite0-features", "lite0-finetune"
_TITLES = {
    _HEAD: "a linear head on frozen EfficientNet-Lite0 features",
    _FINETUNED: "EfficientNet-Lite0, fine-tuned from ImageNet's weights",
}
#: Inverse strength of the head's penalty, scikit-learn's ``C``.
_INVERSE_PENALTY = 0.001
#: Inputs of the network in pixels: the smallest that is not smaller than the images, or the last.
_INPUTS_PX, _QUICK_PX = (96, 128, 224), 128
#: Images whose size is looked at.
_LOOKED_AT = 20
#: Folds; fewer where a class has fewer groups, of which two folds would need four.
_FOLDS, _FEWEST_FOLDS = 5, 3
#: Largest share of the time limit for training: evaluation and report come on top.
_TRAINING_SHARE = 0.8
_FEWEST_EPOCHS = 3
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smh])", re.IGNORECASE)


@dataclass(frozen=True)
class _Training:
    """A shipped recipe with changes, and why it was chosen."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def make_default_recipe(
    source: Path,
    overrides: Overrides = (),
    *,
    preset: str | None = None,
    time_limit: str | None = None,
    estimate: Callable[[Recipe], float],
) -> Recipe:
    """Choose a recipe for a folder or table by its number of patients; log both in a sentence.

    Args:
        source: Folder of images, or table with their paths and classes.
        overrides: The user's own, which come last.
        preset: ``quick``, ``good`` (default) or ``best``.
        time_limit: Such as ``"10m"``; a training whose estimate is longer is shortened.
        estimate: Returns the estimated seconds of a training.

    Raises:
        EosinError: The images or the arguments are wrong.
    """
    _check_preset(preset)
    limit_s = None if time_limit is None else parse_time(time_limit)
    own = parse_overrides(overrides)
    data, reading = resolve_source(source, own.get("data", {}))
    first = _make(_Training(_HEAD, {"data": data}), own)
    samples, _ = gather_samples(first.data, first.seed)
    check_positive(samples, first.data.positive)
    _LOG.info(describe_source(source, samples, reading, data.get("options")))
    split = _choose_split(samples)
    base = {"name": _name_of(source), "data": {**data, "split": split}}
    penalty = _penalty(_make(_Training(_HEAD, base), own), samples)
    _check_folds(_make(_Training(_HEAD, base), own), samples)
    choices = [
        _Training(one.name, merge(base, one.changes), one.reason)
        for one in _list_trainings(samples, preset or "good", penalty)
    ]
    chosen = choices[0] if limit_s is None else _fit(choices, own, limit_s, estimate)
    recipe = _make(chosen, own)
    _LOG.info(
        f"Recipe {chosen.name}: {_describe_training(chosen, recipe, own)} at "
        f"{recipe.model.input_px} px, {chosen.reason}; {_describe_split(recipe, samples)}"
    )
    return recipe


def _describe_training(training: _Training, recipe: Recipe, own: Mapping[str, Any]) -> str:
    """Return what is trained; with the network and the sections that the user sets, if any."""
    changed = [
        name
        for name in ("model", "transfer")
        if name in own and own[name].keys() != {"input_px"}  # which is shown beside it
    ]
    if not changed:
        return _TITLES[training.name]
    return f"{recipe.model.name} with your settings of {listing(changed)}"


def _make(training: _Training, own: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a training, with the user's overrides."""
    values = load_toml(find_recipe(training.name).read_text(encoding="utf-8"))
    if "split" in training.changes["data"]:
        del values["data"]["split"]  # the keys of one protocol are none of another
    return recipe_from_dict(merge(values, training.changes), overrides=own)


def _check_preset(preset: str | None) -> None:
    if preset is not None and preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}", hint=close_matches(preset, PRESETS))


def parse_time(text: str) -> float:
    """Return the seconds of a time such as ``90s``, ``10m`` or ``1.5h``.

    Raises:
        UsageError: It is no such time.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise UsageError(
            f"{text!r} is not a time limit", hint="Give seconds, minutes or hours: --time-limit 10m"
        )
    return float(match[1]) * _SECONDS[match[2].lower()]


def _name_of(source: Path) -> str:
    """Return the name of the run: that of the folder or table, without odd characters."""
    words = re.findall(r"[A-Za-z0-9]+", clean_name(printable(source.resolve().stem)))
    return "-".join(words).lower()[:60] or "own"


def _choose_split(samples: Samples) -> dict[str, Any]:
    """Return ``[data.split]``: the table's own split, or as many folds as the groups allow."""
    frame = samples.frame
    if "split" in frame and {"train", "test"} <= set(frame["split"]):
        return {"protocol": "column", "val": 0.2}
    fewest = int(frame.groupby("label")["group"].nunique().min())
    return {"protocol": "folds", "k": min(_FOLDS, max(_FEWEST_FOLDS, fewest)), "val": 0.2}


def _check_folds(recipe: Recipe, samples: Samples) -> None:
    """Raise SplitError before any image is read if a class has too few groups for the folds."""
    split = recipe.data.split
    if split.protocol == "folds" and split.by in {"group", "image"}:
        check_folds(samples, split)


def _describe_split(recipe: Recipe, samples: Samples) -> str:
    split, frame = recipe.data.split, samples.frame
    if split.protocol == "column":
        return "trained and evaluated on the splits of the data"
    unit = "patient" if (frame["group"] == frame["patient"]).all() else split.unit
    if unit == "group" and frame["group"].nunique() == len(frame):
        unit = "image"
    kind = f"{split.k}-fold cross-validation" if split.protocol == "folds" else "one split"
    return f"{kind} by {unit}"


def _list_trainings(samples: Samples, preset: str, penalty: float) -> list[_Training]:
    """Return the trainings of a preset, the wanted one first, then ever shorter ones.

    ``penalty`` is ``train.l2`` of a head.
    """
    side = _input_px(samples)
    head = {"model": {"input_px": side}, "train": {"l2": round(penalty, 3)}}
    quick = {**head, "model": {"input_px": min(side, _QUICK_PX)}}
    fast = _Training(_HEAD, quick, "the quick preset")
    if preset == "quick":
        return [fast]
    if preset == "best":
        longer = {
            "model": {"input_px": side},
            "train": {"epochs": 30},
            "augment": {"test_time": "dihedral"},
        }
        return [_Training(_FINETUNED, longer, "the best preset"), _Training(_HEAD, head), fast]
    is_small, why = _compare_size(samples)
    heads = [_Training(_HEAD, head, why), fast]
    if is_small:
        return heads
    return [_Training(_FINETUNED, {"model": {"input_px": side}}, why), *heads]


def _compare_size(samples: Samples) -> tuple[bool, str]:
    """Return True if the images are too few to fine-tune a network by default, and the reason."""
    patients = samples.frame["patient"]
    if (patients == "").any():
        n, least, what = len(samples), FEW_IMAGES, "images of unknown patients"
    else:
        n, least, what = patients.nunique(), FEW_PATIENTS, "patients"
    few = n < least
    return few, f"because there are {f'fewer than {least:,}' if few else f'{n:,}'} {what}"


def _input_px(samples: Samples) -> int:
    """Return the network's input for the size of the images, by the median of some of them."""
    sides = []
    for cell in samples.image_cells[:: max(1, len(samples.image_cells) // _LOOKED_AT)]:
        try:
            with PillowImage.open(samples.locate(cell)[0]) as image:
                sides.append(max(image.size))
        except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError):
            continue  # a container or a damaged file, which is reported when it is read
    if not sides:
        return _INPUTS_PX[-1]
    side = float(np.median(sides))
    return next((one for one in _INPUTS_PX if one >= side), _INPUTS_PX[-1])


def _penalty(recipe: Recipe, samples: Samples) -> float:
    """Return ``train.l2`` of a head as regularised as scikit-learn's with ``C`` = 0.001."""
    n_train = max(1.0, _train_share(recipe, samples) * len(samples))
    return recipe.train.batch_size * 2 / (_INVERSE_PENALTY * n_train)


def _train_share(recipe: Recipe, samples: Samples) -> float:
    """Return the share of the images that a network is trained on, as the split is asked for."""
    split, frame = recipe.data.split, samples.frame
    if split.protocol == "folds":
        k = frame["site"].nunique() if split.by == "site" and "site" in frame else split.k
        return (1 - 1 / max(2, k)) * (1 - split.test_share) * (1 - split.val)
    if split.protocol == "column" and "split" in frame:
        has_val = bool((frame["split"] == "val").any())
        return float((frame["split"] == "train").mean()) * (1 if has_val else 1 - split.val)
    return split.train


def _fit(
    choices: Sequence[_Training],
    own: Mapping[str, Any],
    limit_s: float,
    estimate: Callable[[Recipe], float],
) -> _Training:
    """Return the first training whose estimate is within the limit; the last if none is."""
    allowed_s, seconds = _TRAINING_SHARE * limit_s, 0.0
    for choice in choices:
        recipe = _make(choice, own)
        seconds = estimate(recipe)
        if seconds <= allowed_s:
            return _because(choice, choice.changes, seconds, limit_s)
        epochs = int(recipe.train.epochs * allowed_s / seconds)
        if choice.name == _FINETUNED and epochs >= _FEWEST_EPOCHS:
            fewer = _Training(_FINETUNED, merge(choice.changes, {"train": {"epochs": epochs}}))
            if _make(fewer, own).train.epochs == epochs:  # the user gives none
                shorter_s = seconds * epochs / recipe.train.epochs
                return _because(choice, fewer.changes, shorter_s, limit_s)
    _LOG.warning(f"Even the shortest training takes about {duration(seconds)}")
    return choices[-1]


def _because(
    choice: _Training, changes: Mapping[str, Any], seconds: float, limit_s: float
) -> _Training:
    spent = f"about {duration(seconds)} of training in a limit of {duration(limit_s)}"
    return _Training(choice.name, changes, ", ".join(filter(None, (choice.reason, spent))))
