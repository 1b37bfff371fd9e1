"""Subtypes, all magnifications in one training, and slides seen at all magnifications at once."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

import eosin
from eosin.core.errors import ManifestError
from eosin.core.types import parts_of
from eosin.data.phantom import SUBTYPES
from eosin.recipe import recipe_from_dict

ALL = ["40", "100", "200", "400"]
#: Every second stack of a slide has no image at 200 and 400.
PHANTOM = {
    "patients": 24,
    "images_per_patient": 6,
    "size_px": 64,
    "sections": 1,
    "magnifications": ALL,
    "subtypes": True,
}
PROBABILITIES = ["prob_benign", "prob_malignant"]


@pytest.fixture(scope="session")
def slides(tmp_path_factory):
    """The folder of slides at four magnifications; filled by the first who asks."""
    return tmp_path_factory.mktemp("slides")


@pytest.fixture(scope="session")
def values(tiny_values, slides):
    """A function from changes of ``data`` to the values of a recipe over the slides."""

    def make(model="light_cnn", **changes):
        made = tiny_values(slides, name="slides")
        made["data"] = {**made["data"], "options": PHANTOM, **changes}
        made["model"] = {**made["model"], "name": model}
        made["train"] = {**made["train"], "epochs": 1}
        return made

    return make


@pytest.fixture(scope="session")
def fused(values, tmp_path_factory):
    """A run of the fused light CNN; read it, never change it."""
    recipe = values("fusion:light_cnn", magnifications=ALL, fuse=True)
    run = tmp_path_factory.mktemp("runs") / "fused"
    return eosin.train(recipe_from_dict(recipe), output=run).run


@pytest.fixture
def flat(fused, slides):
    """The single images of the fused run's test part, as a table beside them."""
    stacks = pd.read_csv(fused / "manifest.csv", dtype=str)
    tested = set(stacks["patient"][stacks["split"] == "test"])
    images = pd.read_csv(slides / "manifest.csv", dtype=str)
    images[images["patient"].isin(tested)].to_csv(slides / "tested.csv", index=False)
    yield slides / "tested.csv"
    (slides / "tested.csv").unlink()


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def result(run):
    """The run's probabilities of its test part, (N, 2), in the order of its stacks' names."""
    table = pd.read_csv(run / "predictions.csv").query("split == 'test'")
    return table.assign(path=table["path"].map(names)).sort_values("path")[PROBABILITIES].to_numpy()


def names(cell):
    return "|".join(part.rpartition("/")[2] for part in parts_of(cell))


def test_eight_subtypes_and_all_magnifications_are_one_training(values, tmp_path):
    result = eosin.train(recipe_from_dict(values(label="subtype")), output=tmp_path / "run")
    evaluated = read(tmp_path / "run" / "metrics.json")["test"]
    assert set(evaluated["by_class"]) == {name for both in SUBTYPES.values() for name in both}
    assert list(evaluated["by_magnification"]) == ALL
    assert evaluated["image"]["auc"]["value"] is not None
    assert len(evaluated["confusion"]["labels"]) == 8
    assert result.metrics["test"].positive is None


def test_every_image_of_a_slide_is_in_one_bundle_and_is_judged(fused, slides):
    stacks = pd.read_csv(fused / "manifest.csv", dtype=str, keep_default_na=False)
    used = [part for path in stacks["path"] for part in parts_of(path) if part]
    assert len(used) == len(set(used)) == 144
    assert set(stacks["magnification"]) == {"40+100+200+400", "40+100"}
    evaluated = read(fused / "metrics.json")["test"]
    assert evaluated["n_images"] == sum(stacks["split"] == "test")
    assert set(evaluated["by_magnification"]) == {"40+100+200+400", "40+100"}
    model = read(fused / "model" / "model.json")
    assert model["preprocessing"]["magnifications"] == ALL
    assert model["parity"]["max_probability_gap"] <= 1e-4
    page = (fused / "report.html").read_text(encoding="utf-8")
    assert "RGB at 40×, 100×, 200× and 400× together" in page
    assert f"{evaluated['n_images']} stacks of" in page


def test_separate_branches_are_trained_exported_and_predict(values, fused, flat, command, tmp_path):
    recipe = values("fusion:light_cnn", magnifications=ALL, fuse=True)
    recipe["model"]["arguments"] = {"branches": "separate"}
    run = eosin.train(recipe_from_dict(recipe), output=tmp_path / "run").run
    model, shared = read(run / "model" / "model.json"), read(fused / "model" / "model.json")
    head = 128 * 2 + 2
    assert model["params"] == 4 * (shared["params"] - head) + head
    assert (model["arguments"]["branches"], shared["arguments"]["branches"]) == (
        "separate",
        "shared",
    )
    assert model["parity"]["max_probability_gap"] <= 1e-4
    done = command("predict", run / "model", flat, "-o", tmp_path / "p.csv")
    assert done.status == 0, done.err
    found = pd.read_csv(tmp_path / "p.csv")
    found = found.assign(path=found["path"].map(names)).sort_values("path")
    np.testing.assert_allclose(found[PROBABILITIES].to_numpy(), result(run), atol=1e-6)


def test_predict_makes_the_same_bundles_of_a_table(fused, flat, command, tmp_path):
    done = command("predict", fused / "model", flat, "-o", tmp_path / "p.csv")
    assert done.status == 0, done.err
    found = pd.read_csv(tmp_path / "p.csv")
    found = found.assign(path=found["path"].map(names)).sort_values("path")
    np.testing.assert_allclose(found[PROBABILITIES].to_numpy(), result(fused), atol=1e-6)


def test_evaluate_makes_the_same_bundles_of_a_table(fused, flat, command, tmp_path):
    done = command("evaluate", fused / "model", "--data", flat, "-o", tmp_path / "outside")
    assert done.status == 0, done.err
    outside = read(tmp_path / "outside" / "metrics.json")["external"]
    inside = read(fused / "metrics.json")["test"]
    assert outside["confusion"] == inside["confusion"]
    assert outside["n_groups"] == inside["n_groups"]
    again = command("evaluate", fused, "-o", tmp_path / "inside")
    assert again.status == 0, again.err
    assert read(tmp_path / "inside" / "metrics.json")["test"] == inside


def test_one_magnification_is_enough_and_a_broken_image_takes_its_bundle_along(
    fused, flat, command, cut, tmp_path
):
    table = pd.read_csv(flat, dtype=str, keep_default_na=False)
    table = table[["path", "slide", "magnification"]]
    one = table[table["magnification"] == "400"].iloc[:2]
    for place, path in enumerate(one["path"]):
        shutil.copy(flat.parent / path, tmp_path / f"{place}.png")
    cut(tmp_path / "1.png")
    one.assign(path=["0.png", "1.png"]).to_csv(tmp_path / "one.csv", index=False)
    done = command("predict", fused, tmp_path / "one.csv", "-o", tmp_path / "p.csv")
    assert done.status == 1
    found = pd.read_csv(tmp_path / "p.csv")
    assert list(found["path"]) == [f"|||{tmp_path / '0.png'}"]
    assert np.isfinite(found[PROBABILITIES].to_numpy()).all()
    assert "1.png" in (tmp_path / "p.skipped.csv").read_text()


def test_a_folder_of_loose_images_is_refused_with_the_mend(fused, slides, command):
    done = command("predict", fused / "model", slides / "benign")
    assert done.status == 2
    assert "(40, 100, 200, 400)" in done.complaint
    assert "path, slide and magnification" in done.complaint


def test_a_run_s_bundles_train_again_but_no_network_of_single_images(fused, values):
    recipe = values("fusion:light_cnn")
    split = {"protocol": "column"}
    recipe["data"] = {"manifest": str(fused / "manifest.csv"), "positive": "malignant"}
    recipe["data"]["split"] = split
    with pytest.raises(ManifestError, match="every row is a stack of 4 images"):
        eosin.plan(recipe_from_dict(recipe))
    recipe["data"] |= {"magnifications": ALL, "fuse": True}
    assert eosin.plan(recipe_from_dict(recipe))[0].n_images == 48


@pytest.mark.data
def test_the_originals_of_breakhis_make_bundles_and_train(data_root, values, tmp_path):
    recipe = values("fusion:light_cnn", magnifications=ALL, fuse=True, positive="malignant")
    recipe["data"] |= {"dataset": "breakhis", "root": str(data_root / "breakhis-700x460")}
    recipe["data"] |= {"options": {}}
    result = eosin.train(recipe_from_dict(recipe), output=tmp_path / "run")
    stacks = pd.read_csv(tmp_path / "run" / "manifest.csv", dtype=str)
    assert {"40+100+200+400", "40", "400", "100+200"} & set(stacks["magnification"])
    assert stacks.groupby("group")["split"].nunique().eq(1).all()
    assert result.skipped == []


def test_a_fused_model_tests_itself(fused):
    found = eosin.load(fused).selftest().agreement
    assert (found.n_images, found.n_other_decisions) == (8, 0)
