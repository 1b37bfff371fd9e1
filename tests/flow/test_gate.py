"""The gate the whole way: in ``model.json``, ``predict``, ``evaluate``, folds and the recipe."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.facts import tells
from tests.tiny_runs import edit

import eosin
from eosin.artifacts.metrics import read_metrics


@pytest.fixture
def foreign(tmp_path):
    """A folder of a white image, a red square, noise and digits' black ground."""
    rng = np.random.default_rng(0)
    images = {
        "white": np.full((64, 64, 3), 250),
        "red": np.full((64, 64, 3), 1) * [220, 20, 20],
        "noise": rng.integers(0, 256, (64, 64, 3)),
        "digit": np.tile(np.where(abs(np.arange(64) - 32) < 6, 255, 0)[:, None], (64, 1, 3)),
    }  # fmt: skip
    folder = tmp_path / "foreign"
    folder.mkdir()
    for name, image in images.items():
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def test_foreign_images_are_abstained_on_with_their_reason(command, run_of, foreign, tmp_path):
    run = run_of("grouped")
    result = command("predict", run, foreign, "-o", tmp_path / "preds.csv")
    assert result.status == 0
    table = pd.read_csv(tmp_path / "preds.csv", keep_default_na=False)
    reasons = {path.rsplit("/")[-1][:-4]: reason for path, reason in table[["path", "gate"]].values}
    assert (reasons["white"], reasons["red"], reasons["digit"]) == ("blank", "blank", "domain")
    assert reasons["noise"]
    assert table["abstained"].all()
    assert tells(result.err, 4, "gate", "blank")
    record = json.loads((tmp_path / "preds.json").read_text())
    assert record["refused"]["blank"] == 2
    assert record["n_abstained"] == 4


def test_real_images_pass_and_evaluate_repeats_the_training(command, run_of, tmp_path):
    run = run_of("grouped")
    own = read_metrics(run / "metrics.json")["test"]
    assert own.gate.share.value <= 0.1
    result = command("evaluate", run, "-o", tmp_path / "again")
    assert result.status == 0
    assert read_metrics(tmp_path / "again" / "metrics.json")["test"].gate == own.gate
    table = pd.read_csv(run / "predictions.csv", keep_default_na=False)
    test = table[table["split"] == "test"]
    assert (test["gate"] != "").mean() == own.gate.share.value
    assert test.loc[test["gate"] != "", "abstained"].all()
    assert tells((run / "report.html").read_text(), "Gate before prediction")
    assert tells((run / "model" / "card.md").read_text(), "Gate before prediction")


def test_folds_have_gates_of_their_own_and_their_ensemble_one_of_all_images(folds_run):
    infos = [
        json.loads((place / "model" / "model.json").read_text())["gate"]
        for place in (folds_run, *sorted((folds_run / "folds").iterdir()))
    ]
    assert infos[0]["n_groups"] > max(info["n_groups"] for info in infos[1:])
    assert read_metrics(folds_run / "metrics.json")["oof"].gate is not None


def test_a_model_without_a_gate_says_so_and_predicts_all(command, copy_of, foreign, tmp_path):
    run = copy_of("grouped")
    edit(run, "model/model.json", lambda info: {k: v for k, v in info.items() if k != "gate"})
    result = command("predict", run / "model", foreign, "-o", tmp_path / "preds.csv")
    assert result.status == 0
    assert "gate" not in pd.read_csv(tmp_path / "preds.csv")
    assert tells(result.err, "no gate")


def test_a_gate_of_other_measures_is_refused(command, copy_of, foreign):
    run = copy_of("grouped")

    def rename(info):
        info["gate"]["measures"]["warmth"] = info["gate"]["measures"].pop("tissue")

    edit(run, "model/model.json", rename)
    result = command("predict", run / "model", foreign)
    assert result.status == 1
    assert tells(result.complaint, "gate", "measures")


def test_the_recipe_turns_the_gate_off(tiny_run, tmp_path):
    recipe = eosin.load_run(tiny_run).recipe
    values = recipe.model_dump(mode="json") if hasattr(recipe, "model_dump") else recipe
    values["evaluate"]["gate"] = False
    values["train"] |= {"epochs": 1}
    eosin.train(values, output=tmp_path / "run")
    info = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert info["gate"] is None
    assert "gate" not in pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert read_metrics(tmp_path / "run" / "metrics.json")["test"].gate is None
