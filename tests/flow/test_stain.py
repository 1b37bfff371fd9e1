"""Stain normalisation from recipe to prediction: fitted once, the same wherever it is applied."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.facts import tells

import eosin
from eosin.core.errors import RecipeError
from eosin.recipe import recipe_from_dict

PROBABILITIES = ["prob_benign", "prob_malignant"]
SAME = 1e-6  # of a probability, between two ways to the same bytes


@pytest.fixture(scope="session")
def slides(tmp_path_factory, tiny_phantom, tiny_run):
    """The tiny phantom as a table of images, one of them empty glass."""
    folder = tmp_path_factory.mktemp("stained")
    table = pd.read_csv(tiny_run / "manifest.csv", dtype=str).drop(columns="split")
    for number, cell in enumerate(table["path"]):
        shutil.copyfile((tiny_run / cell).resolve(), folder / f"{number}.png")
    table["path"] = [f"{number}.png" for number in range(len(table))]
    Image.new("RGB", (64, 64), (250, 250, 250)).save(folder / "7.png")
    table.to_csv(folder / "images.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def train(tiny_values, slides):
    """A function that trains on the slides with a stain section."""

    def run(output, stain, **split):
        values = tiny_values(slides, stain=stain)
        values["data"] = {
            "manifest": str(slides / "images.csv"),
            "positive": "malignant",
            "split": {**values["data"]["split"], **split},
        }
        values["train"]["epochs"] = 1
        return eosin.train(recipe_from_dict(values), output=output).run

    return run


@pytest.fixture(scope="session")
def by_tile(train, tmp_path_factory):
    """A run of two folds, each tile's own stain brought to the training part's; only read it."""
    split = {"protocol": "folds", "k": 2, "val": 0.4}
    return train(tmp_path_factory.mktemp("runs") / "tile", {"method": "macenko"}, **split)


@pytest.fixture(scope="session")
def by_patient(train, tmp_path_factory):
    """A run that normalises the stain of each patient; only read it."""
    stain = {"method": "reinhard", "unit": "patient"}
    return train(tmp_path_factory.mktemp("runs") / "patient", stain)


def result(run, name="model/model.json"):
    return json.loads((run / name).read_text(encoding="utf-8"))


def test_each_fold_fits_its_own_reference_and_the_ensemble_has_their_mean(by_tile):
    folds = [result(by_tile / "folds" / name)["preprocessing"]["stain"] for name in ("0-0", "0-1")]
    assert folds[0]["stain_matrix"] != folds[1]["stain_matrix"]
    assert {fold["fitted_on"] for fold in folds} == {"the training part"}
    joined = result(by_tile)["preprocessing"]["stain"]
    assert joined["fitted_on"] == "the mean of 2 references"
    expected = np.mean([fold["max_concentrations"] for fold in folds], axis=0)
    assert joined["max_concentrations"] == pytest.approx(expected)
    assert np.linalg.norm(joined["stain_matrix"], axis=1) == pytest.approx([1.0, 1.0])


def test_what_could_not_be_normalised_is_counted_and_named(by_tile, slides):
    found = result(by_tile, "stain.json")
    (unchanged,) = found["unchanged"]
    assert (by_tile / unchanged["path"]).resolve() == slides / "7.png"
    assert found["parts"]["oof"] == {"n_images": 60, "unchanged": {unchanged["reason"]: 1}}
    assert list(result(by_tile / "folds" / "0-0", "stain.json")["parts"]) == [
        "train",
        "val",
        "test",
    ]
    page = (by_tile / "report.html").read_text(encoding="utf-8")
    assert "mean of 2 references" in page
    assert "Not normalised" in page


@pytest.mark.parametrize("name", ["by_tile", "by_patient"])
def test_a_prediction_normalises_as_the_training_did(name, request, slides):
    run = request.getfixturevalue(name)
    if name == "by_tile":
        run = run / "folds" / "0-1"
    given = [slides / "images.csv"] if name == "by_patient" else [slides]
    table = eosin.predict(run, given).table
    table["file"] = table["path"].str.rpartition("/")[2]
    known = pd.read_csv(run / "predictions.csv", dtype={"patient": str})
    known["file"] = known["path"].str.rpartition("/")[2]
    both = known.merge(table, on="file")
    assert len(both) == len(known)
    for column in PROBABILITIES:
        gap = both[f"{column}_x"] - both[f"{column}_y"]
        assert gap.abs().max() < SAME
    assert table.set_index("file")["stain"].pop("7.png") != "normalised"


def test_judging_again_gives_the_same_numbers_and_counts(by_tile, tmp_path):
    again = eosin.evaluate(by_tile, split="oof", output=tmp_path / "again")
    first, second = result(by_tile, "metrics.json"), result(again.folder, "metrics.json")
    assert second["oof"]["image"]["auc"]["value"] == first["oof"]["image"]["auc"]["value"]
    counts = result(again.folder, "stain.json")["parts"]
    assert counts == result(by_tile, "stain.json")["parts"]


@pytest.fixture(scope="session")
def raw_tests(train, tmp_path_factory):
    """A run of two folds that normalises the stain of its training images alone; only read it."""
    split = {"protocol": "folds", "k": 2, "val": 0.4}
    stain = {"method": "macenko", "apply_to": "training"}
    return train(tmp_path_factory.mktemp("runs") / "raw", stain, **split)


def test_raw_test_images_stay_raw_in_training_evaluation_and_prediction(
    raw_tests, by_tile, slides, tmp_path
):
    fold = raw_tests / "folds" / "0-0"
    given, usual = (result(run / "folds" / "0-0")["preprocessing"] for run in (raw_tests, by_tile))
    assert given["stain"] is None
    assert given["training_stain"] == usual["stain"]
    assert list(result(fold, "stain.json")["parts"]) == ["train"]
    table = eosin.predict(fold, [slides]).table
    assert "stain" not in table
    table["file"] = table["path"].str.rpartition("/")[2]
    known = pd.read_csv(fold / "predictions.csv", dtype={"patient": str})
    known["file"] = known["path"].str.rpartition("/")[2]
    both = known.merge(table, on="file")
    assert len(both) == len(known)
    assert {"val", "test"} <= set(known["split"])
    assert (both["prob_benign_x"] - both["prob_benign_y"]).abs().max() < SAME
    again = eosin.evaluate(raw_tests, split="oof", output=tmp_path / "again")
    first, second = result(raw_tests, "metrics.json"), result(again.folder, "metrics.json")
    assert second["oof"]["image"]["auc"]["value"] == first["oof"]["image"]["auc"]["value"]
    assert not (again.folder / "stain.json").exists()


def test_a_network_learns_from_the_normalised_training_images(raw_tests, by_tile):
    # The training is that of a run that normalises all; its validation images differ.
    histories = [pd.read_csv(run / "folds" / "0-0" / "history.csv") for run in (raw_tests, by_tile)]
    assert list(histories[0]["loss"]) == list(histories[1]["loss"])
    assert list(histories[0]["val_loss"]) != list(histories[1]["val_loss"])


def test_the_page_and_the_ensemble_say_that_training_images_alone_are_normalised(raw_tests):
    joined = result(raw_tests)["preprocessing"]
    assert joined["stain"] is None
    assert joined["training_stain"]["fitted_on"] == "the mean of 2 references"
    for name in ("report.html", "model/card.md"):
        text = (raw_tests / name).read_text(encoding="utf-8")
        assert tells(text, "training images only", "Macenko")


def test_the_stain_of_patients_needs_a_table_that_tells_them(by_patient, slides, command):
    result = command("predict", by_patient, slides)
    assert result.status == 2
    assert "each patient" in result.complaint
    assert "with path and patient" in result.complaint
    bare = slides / "bare.csv"
    table = pd.read_csv(slides / "images.csv", dtype=str)
    table[["path", "label"]].to_csv(bare, index=False)
    for arguments in (("evaluate", by_patient, "--data", bare), ("predict", by_patient, bare)):
        result = command(*arguments)
        assert result.status == 1
        assert "has no patient for any image" in result.complaint
    # An image of an unknown patient tells its own stain, as in training.
    table.loc[3, "patient"] = ""
    table[["path", "patient"]].to_csv(bare, index=False)
    assert len(eosin.predict(by_patient, [bare]).table) == len(table)


def test_predicting_says_what_was_judged_as_it_is(by_tile, slides, command):
    result = command("predict", by_tile, slides / "7.png", slides / "8.png")
    assert result.status == 0
    assert "stain not normalised: 1 " in result.err
    assert result.out.splitlines()[0].endswith(",stain")


def test_runs_that_normalise_otherwise_make_no_ensemble(by_tile, by_patient, command, tmp_path):
    result = command("ensemble", by_tile, by_patient, "-o", tmp_path / "both")
    assert result.status == 1
    assert "differ in their stain normalisation" in result.complaint


def test_patients_that_a_split_by_image_cuts_are_refused(train, command, tmp_path):
    with pytest.raises(RecipeError, match=r"'stain.unit': patient P0"):
        train(tmp_path / "cut", {"method": "reinhard", "unit": "patient"}, protocol="image")


def test_judging_again_by_patient_gives_the_same_numbers(by_patient, tmp_path):
    again = eosin.evaluate(by_patient, output=tmp_path / "again")
    first = pd.read_csv(by_patient / "predictions.csv")
    first = first[first["split"] == "test"].reset_index(drop=True)
    second = pd.read_csv(again.folder / "predictions.csv")
    for column in PROBABILITIES:
        assert (first[column] - second[column]).abs().max() < SAME


def test_an_ensemble_counts_what_its_members_left_as_it_was(by_tile, train, command, tmp_path):
    stain = {"method": "macenko"}
    other = train(tmp_path / "other", stain, protocol="folds", k=2, val=0.5)
    result = command("ensemble", by_tile, other, "-o", tmp_path / "both")
    assert result.status == 0
    found = json.loads((tmp_path / "both" / "stain.json").read_text(encoding="utf-8"))
    (unchanged,) = found["unchanged"]
    assert unchanged["path"].endswith("7.png")
    assert found["parts"]["oof"]["n_images"] == 60


@pytest.mark.parametrize(
    ("stain", "complaint"),
    [
        ({"method": "macenco"}, "macenko"),
        ({"method": "macenko", "reference": "absent.png"}, "'stain.reference'"),
        ({"unit": "slide"}, "need a `method`"),
        ({"apply_to": "training"}, "need a `method`"),
        ({"method": "vahadane", "unit": "slide"}, "has no slide for any image"),
    ],
)
def test_what_cannot_be_normalised_by_is_refused(
    stain, complaint, recipe_file, slides, tmp_path, command
):
    bare = tmp_path / "bare.csv"
    table = pd.read_csv(slides / "images.csv", dtype=str)[["path", "label", "patient"]]
    table["path"] = [str(slides / path) for path in table["path"]]
    table.to_csv(bare, index=False)
    data = {"manifest": str(bare), "positive": "malignant", "options": {}}
    recipe = recipe_file(data=data, stain=stain, drop=("dataset", "root"))
    result = command("train", recipe, "-o", tmp_path / "run")
    assert result.status in {1, 2}
    assert complaint in result.complaint
    assert not (tmp_path / "run").exists()


def test_fluorescence_has_no_stain_to_normalise(recipe_file, tmp_path, command):
    data = {"modality": "fluorescence"}
    recipe = recipe_file(data=data, stain={"method": "reinhard"})
    result = command("train", recipe, "-o", tmp_path / "run")
    assert result.status == 2
    assert "'stain.method': 'reinhard'" in result.complaint
    assert "fluorescence" in result.complaint
