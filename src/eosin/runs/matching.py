"""Finished runs side by side: what each said of the images that all of them were judged on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eosin.artifacts.comparison import ComparedRun, RangeTest
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.manifest import relocated
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import PREFIX
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError, UsageError
from eosin.core.files import sha256_file
from eosin.core.types import BUNDLED, Samples
from eosin.evaluation.comparison import Contender, Factor, range_tests
from eosin.metrics import Predictions, measure_values
from eosin.metrics.predictions import encode
from eosin.runs.finished import JUDGED_FIRST, Run, gather
from eosin.runs.members import name_runs
from eosin.runs.relocation import find_moved_paths

#: What two trainings of one recipe may differ in.
_INCIDENTAL = ("name", "description", "seed")


@dataclass(frozen=True, eq=False)
class Judgement:
    """One run.

    Attributes:
        name: Its folder's, with as many parents as it takes to tell it from the others.
        run: What its folder holds.
        rows: Its judged images, a row each, and each repeat; ``path`` starts from the first run's
            folder, ``threshold`` is that of the network that judged it.
    """

    name: str
    run: Run
    rows: Any

    @property
    def positive(self) -> str | None:
        """The positive class of a binary task."""
        return self.run.judged.positive


@dataclass(frozen=True, eq=False)
class Shared:
    """The images that all runs were judged on.

    Attributes:
        contenders: What each run said of them, in one order; what it said in several repeats is
            averaged.
        frame: ``path``, ``label``, ``patient``, ``group``, ``magnification`` of each, of the run
            that knows the largest groups: they make the wider intervals.
        n_repeated: Runs with several predictions an image.
        n_by_content: Images that lie at another path in some run.
    """

    contenders: list[Contender]
    frame: Any
    n_repeated: int
    n_by_content: int


def read_judgements(runs: Sequence[Path | str]) -> list[Judgement]:
    """Read runs that can be compared.

    Args:
        runs: Finished run folders, or folders that ``evaluate`` made.

    Raises:
        UsageError: Fewer than two, or one of them twice.
        ArtifactError: One is no finished run, tells other classes, or was judged on no test part.
    """
    places = [Path(run) for run in runs]
    if len(places) < 2:
        raise UsageError(
            f"a comparison needs at least two runs, got {len(places)}",
            mend="Name two or more: eosin compare RUN RUN -o DIR",
        )
    names = zip(name_runs(places), places, strict=True)
    found = [_read(name, place, places[0]) for name, place in names]
    for position, one in enumerate(found):
        for other in found[:position]:
            _check_pair(other, one)
    return found


def _read(name: str, place: Path, base: Path) -> Judgement:
    run = gather(place)
    if run.split not in JUDGED_FIRST:
        raise ArtifactError(
            f"{place} was judged on {run.split!r} only, which its training knew",
            mend="Evaluate its run on the test part: eosin evaluate RUN -o DIR",
        )
    if run.predictions is None:
        raise ArtifactError(f"{place} has no predictions of the split {run.split!r}")
    if moved := find_moved_paths(run.folder):
        paths = [moved.get(path, path) for path in run.predictions["path"]]
        run = replace(run, predictions=run.predictions.assign(path=paths))
    frame = relocated(Samples(run.predictions, run.root, run.class_names), base).frame
    return Judgement(name, run, frame.assign(threshold=_thresholds(run)))


def _thresholds(run: Run) -> Any:
    """Return the threshold of the network that judged each row; NaN where it has none."""
    frame = run.predictions
    locked = run.judged.threshold.value
    thresholds = np.full(len(frame), np.nan if locked is None else locked)
    for fold in run.folds:
        info = ModelFolder(RunFolder(run.folder.folds / fold.name).model).info
        if info.exists() and {"repeat", "fold"} <= set(frame):
            repeat, _, number = fold.name.partition("-")
            rows = (frame["repeat"] == repeat) & (frame["fold"] == number)
            value = read_document(info, ModelInfo).threshold.value
            thresholds[rows] = np.nan if value is None else value
    return thresholds


def _check_pair(one: Judgement, other: Judgement) -> None:
    """Refuse two runs of other tasks, or of one model on one split."""
    told = [f"{', '.join(sorted(each.run.class_names))}" for each in (one, other)]
    if told[0] != told[1] or one.positive != other.positive:
        tasks = [f"{t} (positive: {e.positive})" for t, e in zip(told, (one, other), strict=True)]
        raise ArtifactError(
            f"{other.name} and {one.name} are of different tasks: {tasks[1]} against {tasks[0]}",
            mend="Compare runs with the same classes",
        )
    models = [each.run.model and each.run.model.weights_sha256 for each in (one, other)]
    if models[0] is not None and models[0] == models[1]:
        raise UsageError(
            f"{one.name} and {other.name} are the same model", mend="Name each run once"
        )


def find_shared(judgements: Sequence[Judgement]) -> Shared:
    """Match the runs' judged images by path, and those that then are left by content.

    Raises:
        ArtifactError: No image was judged in all runs, or one has two labels.
    """
    n_by_content = _match_by_content(judgements)
    paths = sorted(set.intersection(*(set(each.rows["path"]) for each in judgements)))
    if not paths:
        raise ArtifactError(
            f"no image was judged in all of {', '.join(each.name for each in judgements)}",
            mend="Train them on the same data with the same split and seed, or with folds; or "
            "evaluate each on one manifest: eosin evaluate RUN --data MANIFEST.csv -o DIR",
        )
    tables = [each.rows.drop_duplicates("path").set_index("path").loc[paths] for each in judgements]
    for each, table in zip(judgements[1:], tables[1:], strict=True):
        differ = np.flatnonzero((table["label"] != tables[0]["label"]).to_numpy())
        if len(differ):
            first = paths[int(differ[0])]
            labels = f"{tables[0]['label'][first]} in {judgements[0].name}"
            raise ArtifactError(
                f"{first} is {labels} and {table['label'][first]} in {each.name}",
                mend="Judge all runs on one table of labels",
            )
    known = min(tables, key=lambda table: int(table["group"].nunique()))
    frame = known[["label", "patient", "group", "magnification"]].reset_index()
    return Shared(
        contenders=[_contender(each, frame, judgements[0]) for each in judgements],
        frame=frame,
        n_repeated=sum(bool(each.rows["path"].duplicated().any()) for each in judgements),
        n_by_content=n_by_content,
    )


def _match_by_content(judgements: Sequence[Judgement]) -> int:
    """Give images that all runs know under different paths the first run's path."""
    common = set.intersection(*(set(each.rows["path"]) for each in judgements))
    if all(common == set(each.rows["path"]) for each in judgements):
        return 0
    contents = [_contents(each, common) for each in judgements]
    digests = set.intersection(*(set(found) for found in contents))
    for each, found in zip(judgements[1:], contents[1:], strict=True):
        names = {found[digest]: contents[0][digest] for digest in digests}
        each.rows["path"] = [names.get(path, path) for path in each.rows["path"]]
    return sum(len({found[digest] for found in contents}) > 1 for digest in digests)


def _contents(judgement: Judgement, common: set[str]) -> dict[str, str]:
    """Return the path of each judged file that is not in ``common``, by what it holds.

    Images inside containers and bundles, and files that are there twice, have no content that
    names them.
    """
    run, found = judgement.run, {}
    twice: Counter[str] = Counter()
    cells = zip(run.predictions["path"], judgement.rows["path"], strict=True)
    for own, path in dict(cells).items():
        file = run.root / own
        if path not in common and not {"#", BUNDLED} & set(own) and file.is_file():
            digest = sha256_file(file)
            found[digest] = path
            twice[digest] += 1
    return {digest: path for digest, path in found.items() if twice[digest] == 1}


def _contender(judgement: Judgement, frame: Any, first: Judgement) -> Contender:
    names = first.run.class_names
    columns = [PREFIX + name for name in names]
    mean = judgement.rows.groupby("path")[[*columns, "threshold"]].mean().loc[frame["path"]]
    probabilities = mean[columns].to_numpy(dtype=np.float64)
    # Of a two-class task only: a macro average needs none.
    positive = None
    if first.positive is not None and len(names) == 2:
        positive = names.index(first.positive)
    decided = None
    if positive is not None and mean["threshold"].notna().all():
        found = probabilities[:, positive] >= mean["threshold"].to_numpy()
        decided = np.where(found, positive, 1 - positive)
    return Contender(
        judgement.name,
        Predictions(
            probabilities=probabilities,
            targets=np.array([names.index(label) for label in frame["label"]], dtype=np.int64),
            predicted=np.asarray(probabilities.argmax(axis=1), dtype=np.int64),
            groups=encode(frame["group"]),
            positive=positive,
            class_names=names,
        ),
        decided,
    )


def find_ranges(
    judgements: Sequence[Judgement],
    contenders: Sequence[Contender],
    told: Sequence[ComparedRun],
    paths: Sequence[str],
    metric: str,
) -> list[RangeTest]:
    """Test ranges over the most runs that have the same images in the same blocks.

    A block is a fold, or where recipes were trained with several seeds, a fold of a seed.

    Args:
        judgements: The runs.
        contenders: The same, for their classes.
        told: The same; those judged on what they saw are left out.
        paths: The images in common.
        metric: What is tested; accuracy where a block does not define it.

    Returns:
        Nothing where no two recipes have two blocks in common.
    """
    tables: dict[str, dict[str, Any]] = {}
    facts: dict[str, ComparedRun] = {}
    keys = _treatments(judgements)
    for judgement, run in zip(judgements, told, strict=True):
        key = keys[judgement.name]
        several = list(keys.values()).count(key) > 1
        if not run.is_flattered:
            tables.setdefault(key, {}).update(_blocks(judgement, set(paths), several=several))
            facts.setdefault(key, run)
    groups: dict[str, list[str]] = {}
    for key, blocks in tables.items():
        images = {name: sorted(set(rows["path"])) for name, rows in sorted(blocks.items())}
        if len(images) > 1:
            groups.setdefault(json.dumps(images), []).append(key)
    chosen = max(groups.values(), key=len, default=[])
    if len(chosen) < 2:
        return []
    for name in (metric, "accuracy"):
        values = np.column_stack([_values(tables[key], contenders[0], name) for key in chosen])
        if np.isfinite(values).all():
            factors: dict[Factor, list[str]] = {
                "model": [facts[key].model for key in chosen],
                "preprocessing": [facts[key].preprocessing for key in chosen],
            }
            names = [facts[key].name for key in chosen]
            held = sorted(tables[chosen[0]])
            return range_tests(values, names, factors, metric=name, blocks=held)
    return []


def _treatments(judgements: Sequence[Judgement]) -> dict[str, str]:
    """Return what tells each run's recipe from others', whatever the seed; by the run's name."""
    recipes, seeds = {}, {}
    for each in judgements:
        recipe = each.run.recipe
        values = {} if recipe is None else recipe.model_dump(mode="json")
        told = json.dumps({k: v for k, v in values.items() if k not in _INCIDENTAL})
        recipes[each.name] = each.name if recipe is None else told
        seeds[each.name] = None if recipe is None else recipe.seed
    pairs = [(recipes[name], seeds[name]) for name in recipes]
    # One recipe twice with one seed is no replicate of itself.
    return {
        name: recipe if pairs.count((recipe, seeds[name])) == 1 else name
        for name, recipe in recipes.items()
    }


def _blocks(judgement: Judgement, paths: set[str], *, several: bool) -> dict[str, Any]:
    """Return the rows of the images in common by block; one block where nothing tells them."""
    rows = judgement.rows[judgement.rows["path"].isin(paths)].sort_values("path")
    recipe = judgement.run.recipe
    seed = f"seed {recipe.seed}" if several and recipe is not None else ""
    if "fold" not in rows:
        return {seed: rows}
    repeats = rows.get("repeat", "0")
    names = seed + " fold " + repeats + "-" + rows["fold"]
    return {str(name).strip(): table for name, table in rows.groupby(names)}


def _values(blocks: dict[str, Any], like: Contender, metric: str) -> Any:
    """Return a metric of each block, shape (B,); NaN where it is undefined."""
    classes = like.predictions.class_names or ()
    columns = [PREFIX + name for name in classes]
    found = []
    for name in sorted(blocks):
        probabilities = blocks[name][columns].to_numpy(dtype=np.float64)
        alone = replace(
            like.predictions,
            probabilities=probabilities,
            targets=np.array([classes.index(label) for label in blocks[name]["label"]]),
            predicted=np.asarray(probabilities.argmax(axis=1)),
            groups=[0] * len(probabilities),
        )
        found.append(measure_values(alone, [metric])[metric])
    return np.array(found)
