"""The trainings that rebuild a paper: each experiment under both protocols, on the data at hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from eosin.artifacts.layout import AS_PUBLISHED, STRICT
from eosin.artifacts.reproduction import STAND_IN
from eosin.core.registry import NetworkSpec
from eosin.networks import find_spec
from eosin.papers import Experiment, Instead, Paper
from eosin.recipe import Recipe, read_recipe
from eosin.recipe.shipped import find_recipe

#: ``full``: as the paper; ``reduced``: for two cores without a GPU; ``quick``: seconds a training.
Size: TypeAlias = Literal["full", "reduced", "quick"]
PROTOCOLS = (AS_PUBLISHED, STRICT)
_PHANTOM = "phantom"
#: Smallest input of a quick training, in pixels.
_QUICK_PX = 32


@dataclass(frozen=True)
class Job:
    """One training, or mean of trainings, of a reproduction.

    Attributes:
        experiment: What is trained.
        protocol: ``as-published`` or ``strict``.
        folder: Run folder, from the folder of the reproduction.
        recipe: The recipe as it is trained; None for a mean of ``members``, or without data.
        differs: What differs from the paper's experiment, by kind, with a sentence.
        missing: Data sets of which none is at hand; the job cannot be run then.
        images: Images of the paper's data set, if known.
        is_repeated: True if both protocols are one recipe, as on data with the authors' own split:
            it is trained once.
    """

    experiment: Experiment
    protocol: str
    recipe: Recipe | None
    differs: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    images: int | None = None
    is_repeated: bool = False

    @property
    def folder(self) -> Path:
        """Run folder, relative to the folder of the reproduction."""
        return Path(self.experiment.name, AS_PUBLISHED if self.is_repeated else self.protocol)

    @property
    def label(self) -> str:
        """Name for messages."""
        return f"{self.experiment.title}, {self.protocol.replace('-', ' ')}"


def full_recipe(experiment: Experiment, protocol: str = AS_PUBLISHED) -> Recipe:
    """Return the recipe of an experiment as the paper has it, at full size and on its own data."""
    return read_recipe(find_recipe(experiment.recipe), _overrides(experiment, protocol))


def make_jobs(
    paper: Paper, wanted: Iterable[str], data: Mapping[str, Path], size: Size
) -> list[Job]:
    """Return the jobs of some experiments, each experiment's members before it.

    Args:
        paper: The paper.
        wanted: Names of the experiments.
        data: Folders of the data sets at hand, by registered name.
        size: How much is trained.
    """
    names = _with_members(paper, wanted)
    experiments = [one for one in paper.experiments if one.name in names]
    experiments.sort(key=lambda one: bool(one.members))
    jobs = []
    for experiment in experiments:
        published, strict = (_make_job(paper, experiment, p, data, size) for p in PROTOCOLS)
        if published.recipe is not None and _nameless(published) == _nameless(strict):
            strict = replace(strict, recipe=published.recipe, is_repeated=True)
        jobs += [published, strict]
    return jobs


def _nameless(job: Job) -> Recipe | None:
    return job.recipe and job.recipe.model_copy(update={"name": ""})


def _with_members(paper: Paper, wanted: Iterable[str]) -> set[str]:
    names = set(wanted)
    return names.union(*(paper.experiment(name).members for name in names))


def _make_job(
    paper: Paper, experiment: Experiment, protocol: str, data: Mapping[str, Path], size: Size
) -> Job:
    if experiment.members:
        parts = [
            _make_job(paper, paper.experiment(name), protocol, data, size)
            for name in experiment.members
        ]
        missing = tuple(dict.fromkeys(name for part in parts for name in part.missing))
        differs = {kind: text for part in parts for kind, text in part.differs.items()}
        images = next((part.images for part in parts if part.images is not None), None)
        return Job(experiment, protocol, None, experiment.differs | differs, missing, images=images)
    full = full_recipe(experiment, protocol)
    places, missing = _place_data(paper, full, protocol, data, size)
    if missing:
        return Job(experiment, protocol, None, missing=missing)
    overrides = [*_overrides(experiment, protocol), *places]
    if size == "reduced":
        overrides += experiment.reduced
        overrides += experiment.reduced_strict if protocol == STRICT else ()
    if size == "quick":
        overrides += _quick(full, find_spec(full.model.name))
    recipe = read_recipe(find_recipe(experiment.recipe), overrides)
    name = f"{paper.id.lower()}-{experiment.name}-{protocol}"
    recipe = recipe.model_copy(update={"name": name})
    differs = experiment.differs | differences(full, recipe) | _stand_ins(paper, recipe)
    published = next((one.images for one in paper.data if one.dataset == full.data.dataset), None)
    images = published if experiment.images is None else experiment.images
    return Job(experiment, protocol, recipe, differs, images=images)


def _overrides(experiment: Experiment, protocol: str) -> tuple[str, ...]:
    own = experiment.as_published if protocol == AS_PUBLISHED else experiment.strict
    return (*experiment.set, *own)


def _place_data(
    paper: Paper, full: Recipe, protocol: str, data: Mapping[str, Path], size: Size
) -> tuple[list[str], tuple[str, ...]]:
    """Return overrides that name the folders of the data; the data sets that are missing."""
    overrides: list[str] = []
    missing: list[str] = []
    sections = {"data": full.data}
    sections |= {f"transfer.stage.{n}.data": s.data for n, s in enumerate(full.transfer.stage)}
    for key, section in sections.items():
        name = str(section.dataset)
        if name in data:
            overrides.append(f"{key}.root={data[name]}")
            continue
        instead = _instead(paper, name, data)
        if instead is not None:
            own = instead.as_published if protocol == AS_PUBLISHED else instead.strict
            shown = (f"data.dataset={instead.dataset}", *instead.set, *own)
            prefix = key.removesuffix("data")
            overrides += [f"{prefix}{text}" for text in shown]
            overrides.append(f"{key}.root={data[instead.dataset]}")
        elif size == "quick":
            overrides += _phantom(key, section.magnifications or ("40", "100", "200", "400"))
        else:
            missing.append(name)
    return overrides, tuple(missing)


def _instead(paper: Paper, name: str, data: Mapping[str, Path]) -> Instead | None:
    known = [one for one in paper.data if one.dataset == name]
    return next((o for one in known for o in one.instead if o.dataset in data), None)


def _phantom(key: str, magnifications: Iterable[str]) -> list[str]:
    listed = ", ".join(f'"{name}"' for name in magnifications)
    seed = 1 if key == "data" else 2
    options = f"patients = 16, images_per_patient = 8, size_px = 48, seed = {seed}"
    return [
        f"{key}.dataset={_PHANTOM}",
        f"{key}.options={{{options}, magnifications = [{listed}]}}",
        # The phantom is brightfield in colour, whatever the paper's images are.
        *(f"{key}.{text}" for text in ("modality=brightfield", "channel_names=[]", "channels=[]")),
        f"{key}.window=percentile",
    ]


def _quick(full: Recipe, spec: NetworkSpec) -> list[str]:
    """Return overrides that train a recipe in seconds."""
    protocol = "grouped" if full.data.split.protocol == "column" else full.data.split.protocol
    folds = ["data.split.k=2", "data.split.repeats=1"] if protocol == "folds" else []
    shares = ["data.split.train=0.5", "data.split.val=0.25", "data.split.test=0.25"]
    side = spec.input_px if spec.is_fixed else max(spec.min_input_px, _QUICK_PX)
    # Without ImageNet's weights nothing is worth freezing.
    stages = [
        f"transfer.stage.{number}.{text}"
        for number in range(len(full.transfer.stage))
        for text in ("epochs=1", "freeze=none")
    ]
    # A deep network on so few small images may diverge at the paper's learning rate; the NumPy
    # engine's are small, and it clips nothing.
    clipped = [] if full.model.backend == "numpy" else ["train.clip_gradient=1"]
    return [
        *stages,
        f"data.split.protocol={protocol}",
        *(folds or shares),
        "data.limit=8",
        f"model.input_px={side}",
        "transfer.source=none",
        "transfer.freeze=none",
        "train.epochs=1",
        "train.batch_size=16",
        *clipped,
        "evaluate.resamples=200",
    ]


def _stand_ins(paper: Paper, recipe: Recipe) -> dict[str, str]:
    """Return what is said of data that took the place of the paper's."""
    used = {recipe.data.dataset, *(stage.data.dataset for stage in recipe.transfer.stage)}
    taken = [o for one in paper.data for o in one.instead if o.dataset in used]
    notes = [f"{STAND_IN}: {o.note}" if o.stand_in else o.note for o in taken]
    return {"data": "; ".join(notes)} if notes else {}


#: Beginning of the keys of an earlier training of a chain.
_STAGE = re.compile(r"transfer\.stage\.\d+\.")
#: Kind of a difference → beginnings of the recipe's keys, of an earlier training's own keys.
_KINDS = {
    "data": (
        *("data.dataset", "data.options", "data.manifest", "data.limit"),
        *("data.magnifications", "data.label"),
    ),
    "split": ("data.split",),
    "epochs": ("train.epochs", "epochs"),
    "weights": ("transfer.source",),
    "size": ("model.input_px",),
}
#: Keys that change no result: names, places and measurements.
_NEUTRAL = (
    *("name", "description", "data.root", "data.cache", "evaluate."),
    *("train.device", "train.threads", "train.loggers", "train.checkpoint_minutes"),
)


def differences(full: Recipe, recipe: Recipe) -> dict[str, str]:
    """Return what differs between the paper's recipe and ours, by kind, with a sentence each."""
    found: dict[str, list[str]] = {}
    before, after = _flat(full.model_dump()), _flat(recipe.model_dump())
    for key in {**before, **after}:
        own = _STAGE.sub("", key)
        if own.startswith(_NEUTRAL) or before.get(key) == after.get(key):
            continue
        kind = next((name for name, keys in _KINDS.items() if own.startswith(keys)), "settings")
        text = f"{key} = {_shown(after.get(key))} (paper: {_shown(before.get(key))})"
        found.setdefault(kind, []).append(text)
    return {kind: "; ".join(texts) for kind, texts in found.items()}


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, tuple | list) and any(isinstance(item, Mapping) for item in value):
        items = [(str(number), item) for number, item in enumerate(value)]
    else:
        return {key: value}
    return {
        name: leaf
        for inner, item in items
        for name, leaf in _flat(item, f"{key}.{inner}".strip(".")).items()
    }


def _shown(value: Any) -> str:
    return "default" if value is None else str(value)
