"""A balanced training from recipe to page: what is shown is recorded, and only that is changed."""

import json

import numpy as np
import pandas as pd
import pytest

import eosin
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import read_history
from eosin.commands.train import plan
from eosin.recipe import recipe_from_dict


@pytest.fixture
def balanced(tiny_values, tiny_phantom):
    """A recipe whose training part is three patients: two of one class, one of the other."""
    values = tiny_values(tiny_phantom)
    values["data"]["split"] = {"train": 0.3, "val": 0.2, "test": 0.5}
    return recipe_from_dict(
        {
            **values,
            "augment": {"policy": "dihedral", "copies": 2},
            "train": {**values["train"], "balance": "oversample", "class_weights": "balanced"},
        }
    )


def test_a_run_records_what_an_epoch_showed_and_judges_each_image_once(balanced, tmp_path):
    planned, _ = plan(balanced)
    run = RunFolder(eosin.train(balanced, output=tmp_path / "run").run)
    manifest = pd.read_csv(run.manifest)
    counts = manifest[manifest["split"] == "train"]["label"].value_counts()
    assert counts.nunique() == 2, "the classes are uneven"
    result = json.loads(run.balance.read_text())
    for name, one in result["classes"].items():
        assert one["images"] == counts[name]
        assert one["shown"] == 2 * counts.max()
        assert one["weight"] == 1
    steps = int(np.ceil(2 * 2 * counts.max() / 8))
    assert read_history(run.history)["step"].tolist() == [steps, 2 * steps]
    assert planned.steps == 2 * steps
    evaluated = pd.read_csv(run.predictions)["path"]
    assert evaluated.is_unique
    assert set(evaluated) == set(manifest[manifest["split"] != "train"]["path"])
    page = run.report.read_text()
    assert "2 copies" in page
    assert "Images per epoch" in page
