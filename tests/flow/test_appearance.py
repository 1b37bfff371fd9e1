"""A training whose split is drawn by appearance: what it writes, prints and states."""

import json

import pandas as pd
import pytest
from tests.facts import same_history, tells
from tests.tinted import write_tinted

import eosin
from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.metrics import read_metrics
from eosin.core.text import plain_lines
from eosin.evaluation import evaluate_predictions
from eosin.recipe import recipe_from_dict, recipe_to_toml

SETTINGS = [
    "name=tinted",
    "model.name=light_cnn",
    "model.input_px=64",
    "train.epochs=1",
    "train.batch_size=16",
    "train.device=cpu",
    "evaluate.resamples=100",
    "data.split.by=appearance",
]
SPLIT = ["data.split.train=0.5", "data.split.val=0.25", "data.split.test=0.25"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_tinted(tmp_path_factory.mktemp("tinted") / "images")


def recipe_of(table, split):
    data = {"data": {"manifest": str(table), "positive": "tumour"}}
    return data | {"name": "tinted", "model": {"name": "light_cnn"}}, [*SETTINGS, *split]


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    recipe, settings = recipe_of(table, SPLIT)
    folder = tmp_path_factory.mktemp("runs") / "run"
    eosin.train(recipe, overrides=settings, output=folder)
    return folder


def test_patients_stay_unknown_in_metrics_and_pages(run):
    manifest = pd.read_csv(run / "manifest.csv", dtype=str, keep_default_na=False)
    assert (manifest.groupby("appearance")["split"].nunique() == 1).all()
    assert manifest["group"].nunique() == len(manifest)
    test = read_metrics(run / "metrics.json")["test"]
    assert test.n_patients is None
    assert test.n_groups == test.n_images
    n = manifest["appearance"].nunique()
    said = (f"{n} clusters", "not patients")
    report = (run / "report.html").read_text(encoding="utf-8")
    assert tells(report, "patients are unknown")
    assert tells(report, *said)
    assert tells(ModelFolder(run / "model").card_text.read_text(encoding="utf-8"), *said)
    shown = json.loads((run / "split.json").read_text(encoding="utf-8"))
    assert all(part["n_groups"] == part["n_images"] for part in shown["parts"].values())


def test_a_resumed_run_has_the_same_clusters_and_weights(run, table, tmp_path, on_entry):
    recipe, settings = recipe_of(table, SPLIT)
    stopped = tmp_path / "stopped"

    def stop(_):
        raise KeyboardInterrupt

    with on_entry(evaluate_predictions, stop), pytest.raises(eosin.InterruptedRunError):
        eosin.train(recipe, overrides=settings, output=stopped)
    eosin.train(resume=stopped)
    tables = [pd.read_csv(one / "manifest.csv", dtype=str) for one in (run, stopped)]
    assert tables[0][["split", "appearance"]].equals(tables[1][["split", "appearance"]])
    assert same_history(run / "history.csv", stopped / "history.csv")


def test_a_dry_run_states_the_number_of_clusters(table):
    recipe, settings = recipe_of(table, SPLIT)
    found, audit = eosin.plan(recipe, overrides=settings)
    assert found.n_clusters == 9
    assert not audit.leaks
    assert tells(plain_lines([found.table()]), "9 appearance clusters", "not patients")


def test_known_patients_stop_the_command_in_one_line(tiny_values, tiny_phantom, tmp_path, command):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe_to_toml(recipe_from_dict(tiny_values(tiny_phantom))))
    result = command("train", recipe, "--set", "data.split.by=appearance", "--plan")
    assert result.status == 2
    assert tells(result.complaint, "patients of 60 of 60 images are known")
