"""External validation: labels are mapped, and drift against the training images is told."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import eosin
from eosin.artifacts.audit import AuditReport
from eosin.artifacts.integrity import list_run_files
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.profile import Drift, Profile
from eosin.artifacts.versioned import read_document
from eosin.core.errors import UsageError
from eosin.reporting.train_test_overlap import train_test_overlap
from eosin.runs.finished import read_run


@pytest.fixture(scope="module")
def abroad(tiny_run, tmp_path_factory):
    """A table of the tiny run's images as another laboratory would have them: dark and bluish."""
    folder = tmp_path_factory.mktemp("abroad")
    frame = pd.read_csv(tiny_run / "manifest.csv", dtype=str, keep_default_na=False)
    for place, path in enumerate(frame["path"]):
        image = np.asarray(Image.open(tiny_run / path).convert("RGB"), dtype=np.float64)
        Image.fromarray((image * (0.55, 0.6, 0.8)).astype(np.uint8)).save(folder / f"{place}.png")
    frame["path"] = [f"{place}.png" for place in range(len(frame))]
    frame["label"] = frame["label"].replace("malignant", "tumour")
    frame.drop(columns="split").to_csv(folder / "abroad.csv", index=False)
    return folder / "abroad.csv"


def test_the_profile_has_numbers_and_no_ids(tiny_run):
    text = (tiny_run / "model" / "profile.json").read_text()
    frame = pd.read_csv(tiny_run / "manifest.csv", dtype=str)
    assert not [one for column in ("patient", "path") for one in set(frame[column]) if one in text]
    profile = read_document(tiny_run / "model" / "profile.json", Profile)
    train = frame[frame["split"] == "train"]
    assert profile.appearance["red"].n_images == len(train)
    assert profile.appearance["red"].n_groups == train["group"].nunique()
    assert profile.appearance["side_px"].mean == 64
    assert profile.predicted_on == "val"
    assert profile.prediction.n_groups == frame.loc[frame["split"] == "val", "group"].nunique()
    assert sum(profile.classes.values()) == pytest.approx(1)


def test_an_ensemble_of_folds_carries_the_profile_of_all_images(folds_run):
    profile = read_document(folds_run / "model" / "profile.json", Profile)
    frame = pd.read_csv(folds_run / "manifest.csv", dtype=str)
    assert profile.predicted_on == "oof"
    for one in (profile.appearance["focus"], profile.prediction):
        assert one.n_groups == frame["group"].nunique()


def test_drift_is_told_where_it_is(command, tiny_run, abroad, tmp_path):
    line = ("evaluate", tiny_run, "--data", abroad)
    result = command(*line, "-o", tmp_path / "a")
    assert result.status == 1
    assert "label 'tumour'" in result.complaint
    assert "--map tumour=CLASS" in result.complaint
    assert not (tmp_path / "a").exists()

    result = command(*line, "--map", "tumour=malignant", "-o", tmp_path / "a")
    assert result.status == 0, result.err
    assert "drift: strong in" in result.out
    # Other pictures of patients of the same names: perhaps the same patients.
    assert "are in both" in result.out
    assert "the same name may mean another patient" in result.out
    assert "report.html" in result.out
    drift = read_document(tmp_path / "a" / "drift.json", Drift)
    assert drift.shifts["red"].verdict == "far off"
    assert drift.shifts["side_px"].verdict == "as in training"
    assert drift.predicted == "malignant"
    page = (tmp_path / "a" / "report.html").read_text()
    assert 'id="drift"' in page
    assert "Strong drift" in page
    assert (tmp_path / "a" / "figures" / "drift.png").exists()
    given = pd.read_csv(tmp_path / "a" / "manifest.csv")["label_given"]
    assert set(given) == {"benign", "tumour"}


def test_images_of_the_training_are_as_in_training(tiny_run, tmp_path, command):
    frame = pd.read_csv(tiny_run / "manifest.csv", dtype=str, keep_default_na=False)
    frame["path"] = [str((tiny_run / path).resolve()) for path in frame["path"]]
    frame.to_csv(tmp_path / "same.csv", index=False)
    made = eosin.evaluate(tiny_run, data=tmp_path / "same.csv", output=tmp_path / "same")
    assert made.drift.verdict == "as in training"
    # And are no external images: by the name of the file, or of its copy under another name.
    frame["path"] = [shutil.copy(p, tmp_path / f"{n}.png") for n, p in enumerate(frame["path"])]
    frame.assign(patient="", group="").to_csv(tmp_path / "copies.csv", index=False)
    copies = eosin.evaluate(tiny_run, data=tmp_path / "copies.csv", output=tmp_path / "copies")
    train = frame["split"] != "test"
    for one, n in ((made, frame.loc[train, "patient"].nunique()), (copies, int(train.sum()))):
        assert one.audit == read_document(one.folder / "audit.json", AuditReport)
        assert train_test_overlap(read_run(one.folder)).n_groups == n
        result = f"from an external data set; {n} of these"
        assert result in (one.folder / "report.html").read_text()
    # The test part alone, which no training saw, shares nothing.
    frame[~train].to_csv(tmp_path / "test.csv", index=False)
    result = command("evaluate", tiny_run, "--data", tmp_path / "test.csv", "-o", tmp_path / "t")
    assert "overlap: none found" in result.out
    result = command("evaluate", tiny_run, "--data", tmp_path / "same.csv", "-o", tmp_path / "u",
                   "--pseudonymise")  # fmt: skip
    assert "caution  " in result.out
    assert "over-optimistic" in result.out
    assert not [p for p in set(frame["patient"]) if p in (tmp_path / "u/audit.json").read_text()]
    # Of its own images a run tells none.
    assert not (tiny_run / "drift.json").exists()
    assert 'id="drift"' not in (tiny_run / "report.html").read_text()


def test_an_overlap_that_could_not_be_looked_for_is_no_absence(command, tiny_run, abroad, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    frame = pd.read_csv(run / "manifest.csv", dtype=str, keep_default_na=False)
    frame["path"] = [str((tiny_run / path).resolve()) for path in frame["path"]]
    n_gone = int((frame["split"] != "test").sum()) - 1
    gone = frame.index[frame["split"] != "test"][1:]
    frame.loc[gone, "path"] = [f"gone/{n}.png" for n in gone]
    frame.to_csv(run / "manifest.csv", index=False)
    list_run_files(RunFolder(run))
    labels = ("--map", "tumour=malignant")
    result = command("evaluate", run, "--data", abroad, *labels, "-o", tmp_path / "a")
    assert result.status == 0, result.err
    assert f"{n_gone} images of the training could not be read" in result.out


def test_a_model_of_before_has_no_profile_and_is_judged_all_the_same(
    command, tiny_run, abroad, tmp_path
):
    model = shutil.copytree(tiny_run / "model", tmp_path / "model")
    (model / "profile.json").unlink()
    info = json.loads((model / "model.json").read_text())
    del info["files"]  # nor a list of its files
    (model / "model.json").write_text(json.dumps(info))
    labels = ("--map", "tumour=malignant")
    result = command("evaluate", model, "--data", abroad, *labels, "-o", tmp_path / "a")
    assert result.status == 0, result.err
    assert "drift: unknown: the model has no reference profile" in result.out
    assert "others of these patients, is unknown" in result.out
    assert "others of these patients, is unknown" in (tmp_path / "a" / "report.html").read_text()
    assert json.loads((tmp_path / "a" / "drift.json").read_text())["shifts"] == {}
    assert "no reference profile" in (tmp_path / "a" / "report.html").read_text()


def test_a_stated_prevalence_holds_for_outside_images_too(tiny_run, abroad, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    recipe = (run / "recipe.toml").read_text()
    assert "[evaluate]" in recipe
    (run / "recipe.toml").write_text(recipe.replace("[evaluate]", "[evaluate]\nprevalence = 0.02"))
    list_run_files(RunFolder(run))
    options = {"data": abroad, "labels": {"tumour": "malignant"}}

    def stated(place, name, **further):
        made = eosin.evaluate(place, output=tmp_path / name, **options, **further)
        found = made.metrics["external"].decisions
        return found.prevalence, found.is_stated

    assert stated(run, "a") == (0.02, True)
    assert stated(tiny_run / "model", "b") == (0.5, False)
    assert stated(tiny_run / "model", "c", prevalence=0.1) == (0.1, True)
    with pytest.raises(UsageError, match="must be between 0 and 1, got 10"):
        stated(tiny_run / "model", "d", prevalence=10)


def test_a_map_belongs_to_an_outside_manifest(command, tiny_run):
    result = command("evaluate", tiny_run, "--map", "tumour=malignant")
    assert result.status == 2
    assert "--data" in result.complaint
