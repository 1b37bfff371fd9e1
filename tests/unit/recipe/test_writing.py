"""A written recipe reads back equal."""

import re
import tomllib

import pytest

from eosin.recipe import read_recipe, recipe_from_dict, recipe_to_toml
from eosin.recipe.reading import recipe_for_page

BASE = {"name": "a", "data": {"dataset": "phantom"}, "model": {"name": "light_cnn"}}
FULL = {
    "name": "full-1.0",
    "description": 'µm, "quotes"',
    "seed": 5,
    "data": {
        "manifest": "/data/m.csv",
        "positive": "malignant",
        "magnifications": ["40", "200"],
        "limit": 3,
        "options": {"sizes": [1, 2], "deep": {"a": True}},
        "split": {"protocol": "folds", "k": 3, "repeats": 2, "by": "image"},
    },
    "augment": {"policy": "p3"},
    "model": {"name": "light_cnn", "input_px": 64, "arguments": {"hidden_activation": "relu"}},
    "train": {
        "lr": 1e-5,
        "betas": [0.6, 0.8],
        "patience": 3,
        "schedule": {"name": "plateau", "min_lr": 1e-7},
        "clip_gradient": 1.0,
    },
    "evaluate": {"target_recall": 0.95, "temperature": False},
}


@pytest.mark.parametrize("values", [BASE, FULL], ids=["defaults", "full"])
def test_round_trip(tmp_path, values):
    recipe = recipe_from_dict(values)
    text = recipe_to_toml(recipe)
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    back = read_recipe(tmp_path / "recipe.toml")
    assert back == recipe
    assert recipe_to_toml(back) == text


def test_defaults_are_written_out_and_nulls_left_out():
    written = tomllib.loads(recipe_to_toml(recipe_from_dict(BASE)))
    assert written["train"]["schedule"]["factor"] == 0.5
    assert "patience" not in written["train"]
    assert "manifest" not in written["data"]


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("/home/anna/study/patches", "…/patches"),
        ("C:\\Users\\anna\\patches", "…/patches"),
        ("/patches", "…/patches"),
        ("patches", "patches"),
    ],
)
def test_for_a_page_an_absolute_path_is_its_name(place, shown):
    stage = {"name": "first", "data": {"dataset": "folder", "root": place}, "epochs": 1}
    values = {**BASE, "description": "mine", "data": {"dataset": "folder", "root": place}}
    text = recipe_for_page(recipe_from_dict(values | {"transfer": {"stage": [stage]}}))
    found = tomllib.loads(text)
    assert found["data"]["root"] == found["transfer"]["stage"][0]["data"]["root"] == shown
    assert not {"anna", "mine"} & set(re.findall(r"\w+", text))


def test_for_a_page_a_table_of_features_is_its_name():
    values = {**BASE, "model": {"name": "embedding:/home/anna/features.parquet"}}
    found = tomllib.loads(recipe_for_page(recipe_from_dict(values)))
    assert found["model"]["name"] == "embedding:…/features.parquet"
