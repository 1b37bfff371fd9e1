"""Each site held out once: from the phantom of two scanners to the report."""

import json

import pytest

import eosin
from eosin.recipe import recipe_from_dict

OPTIONS = {"patients": 8, "images_per_patient": 3, "size_px": 64, "sites": 2}


@pytest.fixture(scope="module")
def recipe(tiny_values, tmp_path_factory):
    values = tiny_values(tmp_path_factory.mktemp("two-sites"))
    split = {"protocol": "folds", "by": "site", "val": 0.4}
    values["data"] = {**values["data"], "options": OPTIONS, "split": split}
    values["train"] = {**values["train"], "epochs": 1}
    return recipe_from_dict(values)


def test_each_site_is_judged_by_a_network_that_never_saw_it(recipe, tmp_path, messages):
    plan, _ = eosin.plan(recipe)
    assert "split      folds: site-0 12 (4 patients), site-1 12 (4 patients)" in plan.table().plain
    run = eosin.train(recipe, output=tmp_path / "run").run
    assert any(line.startswith("fold 2 of 2 (site site-1): ") for line in messages)
    parts = json.loads((run / "split.json").read_text(encoding="utf-8"))["parts"]
    assert {name: part["site"] for name, part in parts.items()} == {
        "0-0": "site-0",
        "0-1": "site-1",
    }
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["oof"]
    assert metrics["n_images"] == 24
    assert set(metrics["by_site"]) == {"site-0", "site-1"}
    audit = json.loads((run / "audit.json").read_text(encoding="utf-8"))
    assert not [found for found in audit["findings"] if found["severity"] == "leak"]
    assert "Fold 2: site-1" in (run / "report.html").read_text(encoding="utf-8")
