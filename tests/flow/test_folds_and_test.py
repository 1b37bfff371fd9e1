"""A test part beside the folds: seen by no fold, predicted by each network and by their mean."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from tests.facts import tells

import eosin
from eosin.artifacts.comparison import Comparison
from eosin.artifacts.layout import ComparisonFolder, RunFolder
from eosin.artifacts.metrics import read_metrics
from eosin.artifacts.predictions import read_predictions
from eosin.artifacts.run import SplitReport
from eosin.artifacts.versioned import read_document
from eosin.recipe import read_recipe, recipe_from_dict
from eosin.runs.finished import read_run

FOLDS = ("0-0", "0-1", "0-2", "1-0", "1-1", "1-2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_values, tiny_phantom):
    """A folder with a run of two repeats and its images; copied, never changed."""
    folder = tmp_path_factory.mktemp("beside")
    for name in ("benign", "malignant"):
        shutil.copytree(tiny_phantom / name, folder / "images" / name)
    values = tiny_values(folder / "images")
    values["data"] |= {"dataset": "folder", "positive": "malignant", "options": {}}
    values["data"]["split"] = {"protocol": "folds", "k": 3, "repeats": 2, "val": 0.4, "test": 0.3}
    values["model"] |= {"input_px": 52, "backend": "numpy"}
    values["train"] |= {"epochs": 1}
    eosin.train(recipe_from_dict(values), output=folder / "run")
    return folder


@pytest.fixture(scope="module")
def run(trained):
    return RunFolder(trained / "run")


@pytest.fixture(scope="module")
def predicted(run):
    return read_predictions(run.predictions)


def test_no_fold_holds_an_image_or_group_of_the_test_part(run):
    whole = pd.read_csv(run.manifest)
    test, rest = (whole[whole["split"] == name] for name in ("test", "train"))
    assert len(test) + len(rest) == len(whole)
    assert not set(test["group"]) & set(rest["group"])
    assert set(test["label"]) == {"benign", "malignant"}
    for name in FOLDS:
        own = pd.read_csv(run.folds / name / "manifest.csv")
        assert [path.split("/")[-1] for path in own["path"]] == [
            path.split("/")[-1] for path in rest["path"]
        ]
    report = read_document(run.split, SplitReport)
    assert list(report.parts) == [*FOLDS, "test"]
    assert report.parts["test"].n_images == len(test)
    assert abs(sum(part.got for name, part in report.parts.items() if name[0] != "1") - 1) < 1e-9


def test_each_network_and_their_mean_predict_the_test_part(run, predicted):
    metrics = read_metrics(run.metrics)
    assert set(metrics) == {"oof", "test", "test_by_fold"}
    rows = {name: predicted[predicted["split"] == name] for name in metrics}
    n_test = metrics["test"].n_images
    assert len(rows["test"]) == n_test == rows["test"]["path"].nunique()
    assert set(rows["test"]["repeat"]) == set(rows["test"]["fold"]) == {""}
    single = rows["test_by_fold"]
    assert single.groupby(["repeat", "fold"]).size().to_dict() == {
        (name[0], name[2]): n_test for name in FOLDS
    }
    # The mean over rounds of a round's accuracy is the split's.
    right = single["predicted"] == single["label"]
    rounds = right.groupby(single["repeat"]).mean()
    assert metrics["test_by_fold"].image["accuracy"].value == pytest.approx(rounds.mean())
    # RUN/model is the mean of the single networks.
    mean = single.groupby("path")["prob_malignant"].mean().loc[rows["test"]["path"]]
    np.testing.assert_allclose(mean, rows["test"]["prob_malignant"], atol=1e-4)


def test_the_run_is_about_its_test_part(run):
    page = run.report.read_text(encoding="utf-8")
    assert tells(page, "3-fold", "30", "test_by_fold")
    single = read_predictions(run.predictions).query("split == 'test_by_fold'")
    rounds = (single["predicted"] == single["label"]).groupby(single["repeat"]).mean()
    table = re.search(r"network on the test images.*?</table>", page, re.DOTALL)[0]
    assert tells(table, "1", 3, f"{rounds['0']:.3f}", "2", 3, f"{rounds['1']:.3f}", "All", 6)
    found = read_run(run.root)
    assert found.split == "test"
    # Compared and joined as a single model: its threshold, and what its training knew.
    assert set(found.rows["threshold"]) == {found.info.threshold.value}
    ((_, divided),) = found.divisions
    assert set(divided.frame["split"]) == {"train", "test"}


def test_evaluating_again_gives_both_splits(command, run, tmp_path):
    metrics = read_metrics(run.metrics)
    for name, words in (("test", ()), ("oof", ("--split", "oof"))):
        result = command("evaluate", run.root, *words, "-o", tmp_path / name)
        assert result.status == 0, result.err
        assert read_metrics(tmp_path / name / "metrics.json")[name] == metrics[name]


def test_a_moved_run_finds_its_images(command, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "here")
    (tmp_path / "here" / "images").rename(tmp_path / "else")
    run = RunFolder(tmp_path / "here" / "run")
    place = tmp_path / "else"
    result = command("train", "--resume", run.root, "--set", f"data.root={place}")
    assert result.status == 0, result.err
    for folder in (run, *run.fold_runs()):
        for path in pd.read_csv(folder.manifest)["path"]:
            assert (folder.root / path).resolve().is_relative_to(place.resolve())
    assert read_recipe(run.recipe).data.split.test_share == 0.3


def test_the_plan_lists_the_test_part(command, run):
    result = command("train", run.recipe, "--plan")
    assert result.status == 0, result.err
    assert tells(result.out, "0-0", "1-2", "test", "6 networks")


def test_each_fold_s_network_is_a_block_of_a_range_test(run, tmp_path):
    other = eosin.train(run.recipe, overrides=["train.lr=0.02"], output=tmp_path / "other")
    found = eosin.compare([run.root, other.run], output=tmp_path / "compared")
    tests = read_document(ComparisonFolder(found.page.parent).document, Comparison).ranges
    assert [(len(test.rows), test.n_each) for test in tests] == [(2, len(FOLDS))]
