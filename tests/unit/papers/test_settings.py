"""The settings table of each paper against the shipped recipes, in both directions.

A recipe is compared as the paper has it, with what its experiment sets as published. Keys that an
experiment sets under both protocols are its own: what is compared, not a setting.
"""

import pytest

from eosin.papers import read_paper
from eosin.papers.schema import PAPERS
from eosin.recipe import recipe_from_dict
from eosin.recipe.data import SplitSection
from eosin.recipe.overrides import load_toml, override
from eosin.recipe.shipped import find_recipe
from eosin.reproduction.jobs import full_recipe

#: Sections whose keys are hyperparameters; `model.name` is the experiment itself.
SECTIONS = (
    "data.split.",
    "stain.",
    "augment.",
    "model.",
    "transfer.source",
    "transfer.freeze",
    "train.",
)
NO_SETTING = ("model.name",)
#: How long and where a training runs, not what it is.
MACHINE = ("train.device", "train.threads", "train.loggers", "train.checkpoint_minutes")

_LEAST = {"name": "a", "data": {"dataset": "phantom"}, "model": {"name": "light_cnn"}}
DEFAULT = recipe_from_dict(_LEAST).model_dump()
DEFAULT["data"]["split"] = {name: one.default for name, one in SplitSection.model_fields.items()}

each = pytest.mark.parametrize("name", PAPERS)


def flat(value, key=""):
    if not isinstance(value, dict):
        return {key: value}
    return {
        name: leaf
        for inner, item in value.items()
        for name, leaf in flat(item, f"{key}.{inner}".strip(".")).items()
    }


def plain(value):
    """A list as a tuple, as a frozen recipe has it."""
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


def trained(paper):
    return [one for one in paper.experiments if one.recipe]


def keys_away_from_default(experiment):
    """Keys of hyperparameters that a recipe gives a value other than the schema's default."""
    default = flat(DEFAULT)
    text = load_toml(find_recipe(experiment.recipe).read_text(encoding="utf-8"))
    for found in (text, override(text, (*experiment.set, *experiment.as_published))):
        for key, value in flat(found).items():
            is_one = key.startswith(SECTIONS) and key not in (*NO_SETTING, *MACHINE)
            if is_one and not is_own(experiment, key) and plain(value) != plain(default.get(key)):
                yield key


def is_own(experiment, key):
    return any(text.startswith(f"{key}=") for text in experiment.set)


def value_at(recipe, key):
    """The value at a key; that of a free table (`model.arguments`) may be absent."""
    found = recipe
    for name in key.split("."):
        if isinstance(found, tuple):
            found = found[int(name)]
        else:
            found = found.get(name) if isinstance(found, dict) else getattr(found, name)
    return plain(found)


@each
def test_a_setting_with_a_key_is_what_the_recipes_hold(name):
    paper = read_paper(name)
    for setting in paper.settings:
        if not setting.key:
            continue
        compared = [
            one
            for one in trained(paper)
            if (not setting.recipes or one.recipe in setting.recipes)
            and not is_own(one, setting.key)
        ]
        assert compared, f"{setting.name}: no experiment has it"
        for experiment in compared:
            ours = value_at(full_recipe(experiment), setting.key)
            assert ours == plain(setting.value), f"{setting.name} in {experiment.name}"


@each
def test_a_setting_names_recipes_of_the_paper(name):
    paper = read_paper(name)
    known = {one.recipe for one in trained(paper)}
    for setting in paper.settings:
        assert set(setting.recipes) <= known, setting.name


@each
def test_what_a_recipe_sets_is_a_setting_of_its_paper(name):
    paper = read_paper(name)
    for experiment in trained(paper):
        told = {
            setting.key
            for setting in paper.settings
            if not setting.recipes or experiment.recipe in setting.recipes
        }
        assert not set(keys_away_from_default(experiment)) - told, experiment.name


@each
def test_a_printed_setting_names_its_place(name):
    for setting in read_paper(name).settings:
        assert setting.place or not setting.printed, setting.name
