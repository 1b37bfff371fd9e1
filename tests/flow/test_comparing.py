"""``compare`` on trained runs: costs, the page, and what the command says."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.facts import has_files, tells
from tests.tiny_runs import relist

import eosin
from eosin.artifacts.comparison import Comparison
from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import read_history
from eosin.artifacts.versioned import read_document, write_document
from eosin.exporting.costs import read_cost
from eosin.reporting import write_comparison_page


@pytest.fixture(scope="module")
def compared(tiny_run, folds_run, tmp_path_factory):
    output = tmp_path_factory.mktemp("compared") / "both"
    return eosin.compare([tiny_run, folds_run], output=output)


def test_costs_are_those_of_the_model_folders(compared, tiny_run, folds_run):
    tiny, folds = compared.comparison.runs
    assert (tiny.networks, folds.networks) == (1, 2)
    assert tiny.judged == tiny.deployed
    for run, result in ((tiny_run, tiny.deployed), (folds_run, folds.deployed)):
        info = read_document(ModelFolder(run / "model").info, ModelInfo)
        assert (result.params, result.macs) == (info.params, info.macs)
        assert result.onnx_bytes == (run / "model" / "model.onnx").stat().st_size
        assert result.latency.images == "real"
        assert 0 < result.latency.low <= result.latency.median <= result.latency.high
    assert folds.deployed.params == 2 * folds.judged.params == 2 * tiny.deployed.params
    assert folds.deployed.macs == 2 * tiny.deployed.macs > 0
    assert tiny.training_seconds > 0


def test_curves_and_matrices_are_those_of_the_common_images(compared, tiny_run):
    tiny, folds = compared.comparison.runs
    assert [len(run.learning) for run in (tiny, folds)] == [1, 2]
    for run in (tiny, folds):
        matrix = np.array(run.confusion.matrix)
        assert matrix.sum() == compared.comparison.n_images
        assert np.trace(matrix) / matrix.sum() == pytest.approx(run.image["accuracy"].value)
        area = np.trapezoid(run.roc.y, run.roc.x)
        assert area == pytest.approx(run.image["auc"].value, abs=1e-3)
        # Every fold's time to its best epoch lies within the time of all.
        assert 0 < sum(curve.value("seconds") for curve in run.learning) <= run.training_seconds
        assert run.judged.trainable == run.judged.params
    history = read_history(tiny_run / "history.csv")
    assert tiny.learning[0].epochs == [1, 2]
    losses = tiny.learning[0].values["val_loss"]
    assert losses == pytest.approx(list(history["val_loss"]), rel=1e-5)


def test_macs_of_an_older_model_are_counted(model):
    folder = ModelFolder(model)
    info = read_document(folder.info, ModelInfo)
    write_document(folder.info, info.model_copy(update={"macs": None}))
    assert read_cost(folder, latency=None).macs == info.macs


def test_the_page_is_made_from_the_document_alone(compared, tmp_path):
    again = tmp_path / compared.folder.name
    again.mkdir()
    shutil.copy(compared.folder / "comparison.json", again)
    page = write_comparison_page(again).read_text(encoding="utf-8")
    assert page == compared.page.read_text(encoding="utf-8")
    assert 'src="http' not in page
    # The table comes first; of two runs no scatter plot is drawn: confusion, ROC, accuracy, loss.
    main = page.partition("<main")[2]
    assert main.index("<table") < main.index("caution") < main.index("<details")
    assert page.count("<img") == 4
    assert "Within noise" in page
    assert has_files(again / "comparison.html")
    assert compared.comparison == read_document(again / "comparison.json", Comparison)


@pytest.fixture(scope="module")
def disagreeing(tiny_run, tmp_path_factory):
    """A comparison of a run with one that predicts the other class for every third image."""
    folder = tmp_path_factory.mktemp("disagreeing")
    other = Path(shutil.copytree(tiny_run, folder / "other"))
    shutil.rmtree(other / "model")  # two of one model are not compared
    frame = pd.read_csv(other / "predictions.csv", dtype=str)
    names = [name for name in frame if name.startswith("prob_")]
    frame.loc[::3, names] = frame.loc[::3, names[::-1]].to_numpy()
    frame.to_csv(other / "predictions.csv", index=False)
    relist(other)
    return eosin.compare([tiny_run, other], output=folder / "both")


def test_a_run_has_the_same_intervals_in_its_report_and_in_a_comparison(folds_run, tmp_path):
    names = {"one": 0, "other": 3}
    for name, n_changed in names.items():
        run = Path(shutil.copytree(folds_run, tmp_path / name))
        shutil.rmtree(run / "model")  # two of one model are not compared
        frame = pd.read_csv(run / "predictions.csv", dtype=str)
        probabilities = [column for column in frame if column.startswith("prob_")]
        of_some = frame.loc[: n_changed - 1, probabilities[::-1]]
        frame.loc[: n_changed - 1, probabilities] = of_some.to_numpy()
        frame.to_csv(run / "predictions.csv", index=False)
        relist(run)
    compared = eosin.compare([tmp_path / name for name in names], output=tmp_path / "both")
    image = next(run.image for run in compared.comparison.runs if run.name == "one")
    predicted = pd.read_csv(folds_run / "predictions.csv", dtype={"patient": str})
    patients = list(dict.fromkeys(predicted["group"]))
    assert patients != sorted(patients)  # of fold after fold

    def accuracy(rows):
        return (rows["predicted"] == rows["label"]).mean()

    alone = eosin.metrics.interval(predicted, accuracy, predicted["group"], bounds=(0, 1))
    found = image["accuracy"]
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))


def test_images_on_which_the_runs_disagree_are_shown_with_their_names(disagreeing):
    compared = disagreeing
    found, (pair,) = compared.comparison, compared.comparison.pairs
    assert found.n_disagreements == pair.mcnemar.only_one + pair.mcnemar.only_other > 0
    assert len(found.disagreements) == found.n_disagreements
    page = compared.page.read_text(encoding="utf-8")
    for one in found.disagreements:
        assert one.predicted[0] != one.predicted[1]
        assert one.label in one.predicted
        name = one.path.rpartition("/")[2]
        assert tells(page, name, "true class", one.label, "correct", "wrong")
    table = pd.read_csv(compared.folder / "tables" / "disagreements.csv")
    assert list(table.iloc[:, 2:].itertuples(index=False, name=None)) == [
        tuple(one.predicted) for one in found.disagreements
    ]


def test_thumbnails_of_a_comparison_that_are_gone_are_left_out(disagreeing, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    shutil.copy(disagreeing.folder / "comparison.json", again)
    page = write_comparison_page(again).read_text(encoding="utf-8")
    n_shown = sum(bool(one.file) for one in disagreeing.comparison.disagreements)
    assert n_shown == len(list((disagreeing.folder / "samples").iterdir())) > 0
    before = disagreeing.page.read_text(encoding="utf-8")
    assert before.count("<img") - page.count("<img") == n_shown
    assert "disagreements.csv" in page


def test_the_table_has_a_row_a_run(compared):
    table = pd.read_csv(compared.folder / "comparison.csv")
    assert list(table["run"]) == [run.name for run in compared.comparison.runs]
    assert list(table["auc"]) == [run.image["auc"].value for run in compared.comparison.runs]
    assert list(table["deployed_macs"]) == [r.deployed.macs for r in compared.comparison.runs]


def test_what_evaluate_made_is_compared_without_costs(compared, tiny_run, folds_run, tmp_path):
    again = eosin.evaluate(folds_run, split="oof", output=tmp_path / "evaluated").folder
    found = eosin.compare([tiny_run, again], output=tmp_path / "out").comparison
    assert found.n_images == compared.comparison.n_images
    assert found.runs[1].image["auc"] == compared.comparison.runs[1].image["auc"]
    assert found.runs[1].deployed.params is None


def test_the_command_tells_and_refuses(command, tiny_run, folds_run, tmp_path):
    result = command("compare", tiny_run, folds_run, "-o", tmp_path / "out", "--metric", "accuracy")
    assert result.status == 0
    assert "images of" in result.out.splitlines()[0]
    assert (tmp_path / "out" / "comparison.html").exists()
    alone = command("compare", tiny_run)
    assert alone.status == 2
    assert "at least two runs" in alone.complaint
    for wrong, words in (
        (tiny_run / "model", "not a finished run folder"),
        (tmp_path / "nowhere", "does not exist"),
        (tiny_run, "given twice"),
    ):
        assert words in command("compare", tiny_run, wrong, "-o", tmp_path / "new").complaint
    full = command("compare", tiny_run, folds_run, "-o", tmp_path / "out")
    assert "is not empty" in full.complaint
    assert not (tmp_path / "new").exists()
