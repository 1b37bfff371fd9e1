"""Values of one metric that several runs have fold by fold, or seed by seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eosin.artifacts.comparison import ComparedRun, RangeTest
from eosin.artifacts.predictions import PREFIX
from eosin.evaluation.comparison import Contender, Factor, range_tests
from eosin.metrics.comparison import draw
from eosin.runs.matching import Judgement

#: What two trainings of one recipe may differ in.
_INCIDENTAL = ("name", "description", "seed")


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
        found.append(draw(alone, [metric], resamples=1).points[metric])
    return np.array(found)
