"""Folders that version 0.1 wrote are read today, without sums, thumbnails or pages made anew.

``tests/fixtures/run-0.1`` is of a training on the phantom's slides (stacks of magnifications),
without its page, figures, thumbnails and checkpoints; ``model-0.1-numpy`` is a model folder of the
NumPy backend as an installation without PyTorch writes it.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eosin
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import read_predictions
from eosin.data.phantom import PhantomOptions, write_phantom
from eosin.runs.finished import read_run

FIXTURES = Path(__file__).parents[1] / "fixtures"
MAGNIFICATIONS = ("40", "100", "200", "400")
PROBABILITIES = ["prob_benign", "prob_malignant"]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """The slides that the run was trained on, where its manifest looks for them."""
    folder = tmp_path_factory.mktemp("old") / "phantom-slides"
    sizes = {"patients": 12, "images_per_patient": 4, "size_px": 64}
    write_phantom(PhantomOptions(**sizes, magnifications=MAGNIFICATIONS), folder)
    return folder


def test_a_stage_s_time_is_read_under_its_former_name():
    seconds = read_run(FIXTURES / "run-0.1").environment.seconds
    assert seconds["evaluate"] > 0
    assert "judge" not in seconds


@pytest.fixture
def run(phantom):
    copy = shutil.copytree(FIXTURES / "run-0.1", phantom.parent / "run")
    yield copy
    shutil.rmtree(copy)


@pytest.fixture
def twin(run):
    """A run of another model by name, for what wants two."""
    copy = shutil.copytree(run, run.parent / "twin")
    info = copy / "model" / "model.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "weights_sha256": "0" * 64}))
    yield copy
    shutil.rmtree(copy)


def test_the_page_and_the_card_are_made_anew(run, command):
    result = command("report", run)
    assert result.status == 0, result.err
    assert (run / "report.html").exists()
    assert command("report", run).status == 0  # the card that was replaced is listed
    assert read_run(run).evaluated.n_images == 3


def test_a_run_judges_its_images_as_it_did(run, tmp_path):
    made = eosin.evaluate(run, output=tmp_path / "again")
    before, after = (read_predictions(place / "predictions.csv") for place in (run, made.folder))
    before = before[before["split"] == "test"]
    gap = np.abs(before[PROBABILITIES].to_numpy() - after[PROBABILITIES].to_numpy())
    # Another platform draws the phantom nearly alike.
    assert list(before["label"]) == list(after["label"])
    assert gap.max() < 0.01


def test_two_runs_are_compared_and_averaged(run, twin, tmp_path):
    compared = eosin.compare([run, twin], output=tmp_path / "compare").comparison
    assert (compared.n_images, len(compared.pairs)) == (3, 1)
    joined = eosin.ensemble([run, twin], output=tmp_path / "ensemble")
    assert joined.gap < 1e-4
    mean = read_predictions(RunFolder(joined.run).predictions)
    alone = read_predictions(run / "predictions.csv")
    alone = alone[alone["split"] == "test"]
    assert sorted(mean["prob_benign"]) == pytest.approx(sorted(alone["prob_benign"]))


def test_a_model_of_bundles_predicts(run, phantom, tmp_path):
    table = pd.DataFrame(
        {"path": str(path), "slide": path.stem[:7], "magnification": path.stem.split("-")[2]}
        for path in sorted(phantom.rglob("*.png"))
    )
    table.to_csv(tmp_path / "slides.csv", index=False)
    found = eosin.predict(run, [tmp_path / "slides.csv"]).table
    assert len(found) == 12
    assert np.allclose(found[PROBABILITIES].sum(axis=1), 1)


def test_a_model_of_the_numpy_backend_predicts(phantom, caplog):
    found = eosin.predict(FIXTURES / "model-0.1-numpy", [phantom / "benign"]).table
    assert len(found) == len(list((phantom / "benign").rglob("*.png"))) > 0
    assert np.allclose(found[PROBABILITIES].sum(axis=1), 1)
    assert "checksums" not in caplog.text
