"""``ensemble``: the mean of finished runs, evaluated on what all of them held out."""

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

import eosin
from eosin.artifacts.integrity import list_run_files, write_finished
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.metrics import read_metrics
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import read_predictions
from eosin.artifacts.versioned import read_document
from eosin.exporting.merging import merge_onnx
from eosin.inference.classifier import Classifier
from eosin.recipe import recipe_from_dict

#: An image resized twice is not quite one resized once: 64 px, then 52 px.
RESIZED_TWICE = 0.05


@pytest.fixture(scope="module")
def train(tmp_path_factory, tiny_values, tiny_phantom, tiny_run):
    def run(name, split=None, **model):
        values = tiny_values(tiny_phantom)
        values["data"] = {**values["data"], "split": {**values["data"]["split"], **(split or {})}}
        values["model"] = {**values["model"], **model}
        values["train"] = {**values["train"], "epochs": 1}
        output = tmp_path_factory.mktemp("members") / name
        return eosin.train(recipe_from_dict(values), output=output).run

    return run


@pytest.fixture(scope="module")
def small_run(train):
    """The split of ``tiny_run``; smaller images, in other units, blue before red."""
    return train("small", input_px=52, preprocessing="caffe")


@pytest.fixture(scope="module")
def image_run(train):
    """Divided by image."""
    return train("image", {"protocol": "image"})


@pytest.fixture(scope="module")
def joined(tiny_run, small_run, tmp_path_factory):
    """The ensemble of the two; read it, never change it."""
    return eosin.ensemble(
        [tiny_run, small_run], output=tmp_path_factory.mktemp("joined") / "ensemble"
    )


def held_out(run, split="test"):
    """What a run said of its held-out images, by file name."""
    frame = read_predictions(run / "predictions.csv")
    frame = frame[frame["split"] == split]
    return frame.assign(name=[path.rpartition("/")[2] for path in frame["path"]]).set_index("name")


def threshold_of(run):
    return read_document(ModelFolder(run / "model").info, ModelInfo).threshold.value


def test_the_mean_of_what_the_runs_said(joined, tiny_run, small_run):
    got = held_out(joined.run)
    parts = [held_out(run).loc[got.index] for run in (tiny_run, small_run)]
    expected = np.mean([part["prob_malignant"] for part in parts], axis=0)
    assert len(got) == len(held_out(tiny_run))
    np.testing.assert_allclose(got["prob_malignant"], expected, rtol=0, atol=1e-12)
    found = joined.metrics["test"]
    assert found == read_metrics(joined.run / "metrics.json")["test"]
    right = (got["predicted"] == got["label"]).mean()
    assert found.image["accuracy"].value == pytest.approx(right)
    threshold = np.mean([threshold_of(run) for run in (tiny_run, small_run)])
    assert found.threshold.value == pytest.approx(threshold)
    positive = got["label"] == "malignant"
    recall = (got["prob_malignant"][positive] >= threshold).mean()
    assert found.at_threshold["recall"].value == pytest.approx(recall)


def test_members_of_two_sizes_in_one_file(joined, command, tiny_run, tmp_path):
    info = read_document(ModelFolder(joined.run / "model").info, ModelInfo)
    assert info.preprocessing.input_px == (64, 64)
    assert info.parity["max_member_gap"] == joined.gap <= RESIZED_TWICE
    assert [(one.run, one.input_px) for one in info.members] == [
        (tiny_run.name, (64, 64)), ("small", (52, 52)),
    ]  # fmt: skip
    assert info.params == sum(one.params for one in info.members)
    result = command("evaluate", joined.run, "-o", tmp_path / "again")
    assert result.status == 0
    again, first = held_out(tmp_path / "again"), held_out(joined.run)
    gap = (again["prob_malignant"] - first["prob_malignant"].loc[again.index]).abs().max()
    assert gap <= RESIZED_TWICE
    # One gate, fitted on the training images of both.
    infos = [
        read_document(ModelFolder(one / "model").info, ModelInfo) for one in (joined.run, tiny_run)
    ]
    assert infos[0].gate.n_images >= infos[1].gate.n_images
    measured = [
        read_metrics(one / "metrics.json")["test"] for one in (joined.run, tmp_path / "again")
    ]
    assert measured[0].gate.by_reason == measured[1].gate.by_reason


def test_it_is_a_run_and_a_model_as_any_other(joined, command, tiny_run, tiny_phantom, tmp_path):
    assert command("predict", joined.run, tiny_phantom / "benign").status == 0
    manifest = joined.run / "manifest.csv"
    result = command(
        "evaluate", joined.run / "model", "--data", manifest, "-o", tmp_path / "outside"
    )
    assert result.status == 0
    page = (joined.run / "report.html").read_text(encoding="utf-8")
    assert "Members and ensemble" in page
    assert f"eosin ensemble {tiny_run.name} small -o RERUN" in page
    assert "not used in training" in page
    (joined.run / "report.html").unlink()
    assert command("report", joined.run).status == 0


def test_only_what_every_run_held_out_is_judged(command, tiny_run, image_run, tmp_path):
    result = command("ensemble", tiny_run, image_run, "-o", tmp_path / "e")
    assert result.status == 0, result.err
    common = set(held_out(tiny_run).index) & set(held_out(image_run).index)
    assert set(held_out(tmp_path / "e").index) == common
    n_left = len(set(held_out(tiny_run).index) ^ set(held_out(image_run).index))
    assert (
        f"{len(common)} images are held out in every run; left out: {n_left} that another run "
        "trained or validated on" in result.err
    )
    assert "a probability differs by up to" not in result.err  # all read the images alike
    # The one run knows that the other, divided by image, has trained on the same patients.
    assert "image: " in result.err
    audit = json.loads((tmp_path / "e" / "audit.json").read_text())
    assert {finding["message"].partition(":")[0] for finding in audit["findings"]} == {"image"}
    page = (tmp_path / "e" / "report.html").read_text(encoding="utf-8")
    assert "also in training" in page


def test_folds_are_averaged_as_held_out_by_fold(command, folds_run, tiny_run, tmp_path):
    result = command("ensemble", folds_run, tiny_run, "-o", tmp_path / "e")
    assert result.status == 0, result.err
    got = held_out(tmp_path / "e", "oof")
    parts = [held_out(folds_run, "oof").loc[got.index], held_out(tiny_run).loc[got.index]]
    expected = np.mean([part["prob_malignant"] for part in parts], axis=0)
    np.testing.assert_allclose(got["prob_malignant"], expected, rtol=0, atol=1e-12)
    # No fold's threshold evaluates an image that it was chosen on.
    own = {str(fold): threshold_of(folds_run / "folds" / f"0-{fold}") for fold in (0, 1)}
    thresholds = (parts[0]["fold"].map(own) + threshold_of(tiny_run)) / 2
    positive = got["label"] == "malignant"
    recall = (got["prob_malignant"] >= thresholds)[positive].mean()
    metrics = read_metrics(tmp_path / "e" / "metrics.json")["oof"]
    assert metrics.at_threshold["recall"].value == pytest.approx(recall)
    info = read_document(ModelFolder(tmp_path / "e" / "model").info, ModelInfo)
    # The file holds both folds' networks, one of which has trained on each image.
    assert list(info.metrics) == ["members_held_out"]
    assert info.parity["max_probability_gap"] <= 1e-4
    result = command("evaluate", tmp_path / "e", "-o", tmp_path / "x")
    assert result.status == 1
    assert "has no split" in result.complaint


def test_a_member_of_other_classes_is_named(command, tiny_run, tmp_path):
    other = shutil.copytree(tiny_run, tmp_path / "other")
    change(other, class_names=["benign", "tumour"], positive="tumour", abstention=None)
    for name in ("manifest.csv", "predictions.csv"):
        text = (other / name).read_text().replace("malignant", "tumour")
        (other / name).write_text(text)
    list_run_files(RunFolder(other))
    result = command("ensemble", tiny_run, other, "-o", tmp_path / "e")
    assert result.status == 1
    assert "differ in their classes: benign, tumour against benign, malignant" in result.complaint
    assert not (tmp_path / "e").exists()


def test_a_member_that_averages_other_views_is_named(command, tiny_run, tmp_path):
    other = shutil.copytree(tiny_run, tmp_path / "other")
    change(other, test_time="dihedral")
    result = command("ensemble", tiny_run, other, "-o", tmp_path / "e")
    assert result.status == 1
    assert "differ in their test-time views: dihedral against none" in result.complaint
    assert not (tmp_path / "e").exists()


def change(run, **values):
    """Change the model of a copied run, which then is another model."""
    path = ModelFolder(run / "model").info
    info = json.loads(path.read_text()) | {"weights_sha256": "0" * 64, **values}
    path.write_text(json.dumps(info))


def test_what_is_no_second_run(command, joined, tiny_run, tmp_path):
    half = shutil.copytree(tiny_run, tmp_path / "half")
    RunFolder(half).metrics.unlink()
    head = shutil.copytree(tiny_run, tmp_path / "head")
    change(head, preprocessing={"channels": ["f0"], "table": "f.csv", "table_sha256": "0"})
    for others, status, said in (
        ((), 2, "at least two runs, got 1"),
        ((tiny_run.parent / "." / tiny_run.name,), 2, "is given twice"),
        ((shutil.copytree(tiny_run, tmp_path / "copy"),), 2, "are the same model"),
        ((tiny_run / "model",), 1, "Name the run folder"),
        ((joined.run,), 1, "is itself an ensemble of runs"),
        ((head,), 1, "takes features that were computed elsewhere (f.csv)"),
        ((half,), 1, "it has no metrics.json. To resume: eosin train --resume"),
    ):
        result = command("ensemble", tiny_run, *others, "-o", tmp_path / "e")
        assert result.status == status, said
        assert said in result.complaint
        assert not (tmp_path / "e").exists()


def test_runs_that_share_no_held_out_image(command, tiny_run, tmp_path):
    other = shutil.copytree(tiny_run, tmp_path / "other")
    change(other)
    frame = pd.read_csv(other / "predictions.csv", dtype=str)
    frame["split"] = frame["split"].map({"val": "test", "test": "val"})
    frame.to_csv(other / "predictions.csv", index=False)
    list_run_files(RunFolder(other))
    result = command("ensemble", tiny_run, other, "-o", tmp_path / "e")
    assert result.status == 1
    assert "no image is held out in every run" in result.complaint
    assert "same split and seed" in result.complaint


def test_an_image_that_changed_between_the_trainings(command, tiny_run, tmp_path):
    other = shutil.copytree(tiny_run, tmp_path / "other")
    change(other)
    inputs = pd.read_parquet(RunFolder(other).inputs)
    inputs.assign(content="another").to_parquet(RunFolder(other).inputs)
    result = command("ensemble", tiny_run, other, "-o", tmp_path / "e")
    assert result.status == 1
    assert "was changed between" in result.complaint


def test_a_file_that_is_not_the_mean_is_no_model(command, on_entry, tiny_run, tmp_path):
    other = shutil.copytree(tiny_run, tmp_path / "other")
    change(other, temperature=3.0)
    # One member is lost on its way into the file.
    with on_entry(merge_onnx, lambda given: given["members"].pop()):
        result = command("ensemble", tiny_run, other, "-o", tmp_path / "e")
    assert result.status == 1
    assert "differs from the mean" in result.complaint
    assert not ModelFolder(tmp_path / "e" / "model").info.exists()


def test_without_the_package_that_merges_nothing_is_written(
    tiny_run, small_run, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(eosin.MissingPartError, match="onnx"):
        eosin.ensemble([tiny_run, small_run], output=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_what_is_stopped_half_way_is_no_run(command, stop_at, tiny_run, small_run, tmp_path):
    with stop_at(write_finished):
        result = command("ensemble", tiny_run, small_run, "-o", tmp_path / "e")
    assert result.status == 130
    # Members of two sizes differ notably from their mean.
    assert "a probability differs by up to" in result.err
    assert command("report", tmp_path / "e").status == 1
    with stop_at(merge_onnx):
        assert command("ensemble", tiny_run, small_run, "-o", tmp_path / "f").status == 130
    with pytest.raises(eosin.EosinError, match=r"not a model folder|does not exist"):
        Classifier(tmp_path / "f" / "model")
