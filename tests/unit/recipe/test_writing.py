"""A written recipe reads back equal."""

import tomllib

import pytest

from eosin.recipe import read_recipe, recipe_from_dict, recipe_to_toml

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
