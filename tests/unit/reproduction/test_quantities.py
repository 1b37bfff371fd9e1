"""Quantities of a run: read from its files, worked by hand beside them."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest

from eosin.metrics.catalogue import METRIC_NAMES
from eosin.papers import read_paper
from eosin.reproduction.jobs import full_recipe
from eosin.reproduction.quantities import is_known, measure, network_facts
from eosin.runs.finished import read_run

NAMES = set(METRIC_NAMES)


@pytest.fixture(scope="module")
def run(tiny_run):
    return read_run(tiny_run)


@pytest.fixture(scope="module")
def written(tiny_run):
    return json.loads((tiny_run / "metrics.json").read_text())["test"]


def test_metrics_carry_their_interval(run, written):
    found = measure(run, "accuracy")
    assert found.model_dump() == pytest.approx(written["image"]["accuracy"], nan_ok=True)
    assert measure(run, "val/auc").value is not None
    assert (
        measure(run, "patient/recognition_rate").value
        == written["patient"]["recognition_rate"]["value"]
    )
    assert (
        measure(run, "class:benign/precision").value
        == written["by_class"]["benign"]["precision"]["value"]
    )


def test_counts_of_the_confusion_matrix(run, written):
    labels, matrix = written["confusion"]["labels"], written["confusion"]["matrix"]
    for row, truth in enumerate(labels):
        for column, predicted in enumerate(labels):
            found = measure(run, f"confusion:{truth}:{predicted}").value
            assert found == matrix[row][column]


def test_values_of_the_history(run, tiny_run):
    history = pd.read_csv(tiny_run / "history.csv")
    assert measure(run, "history:loss@first").value == pytest.approx(history["loss"].iloc[0])
    assert measure(run, "history:loss@last").value == pytest.approx(history["loss"].iloc[-1])
    assert measure(run, "history:val_loss@min").value == pytest.approx(history["val_loss"].min())
    first = history[history["epoch"] == 0]
    assert measure(run, "history:loss@1").value == pytest.approx(first["loss"].iloc[-1])
    assert measure(run, "history:loss@mean:1").value == pytest.approx(first["loss"].mean())
    step = int(history["step"].iloc[0])
    assert measure(run, f"history:loss@step:{step}").value == pytest.approx(history["loss"].iloc[0])
    assert measure(run, "history:loss@99").value is None
    assert measure(run, "epochs").value == history["epoch"].max() + 1


def test_sizes_of_the_data(run, tiny_run):
    manifest = pd.read_csv(tiny_run / "manifest.csv")
    assert measure(run, "images").value == len(manifest)
    assert measure(run, "images:benign").value == (manifest["label"] == "benign").sum()
    assert measure(run, "train_images").value == (manifest["split"] == "train").sum()
    assert (
        measure(run, "file_bytes").value
        == (tiny_run / "model" / "model.safetensors").stat().st_size
    )


def test_what_a_run_lacks_is_null_with_a_reason(run):
    found = measure(run, "magnification:999/accuracy")
    assert found.value is None
    assert found.reason


@pytest.mark.parametrize(
    "quantity",
    ["accuracy", "val/f1", "confusion:a:b", "history:loss@best", "images:benign:200", "layer:x"],
)
def test_names_of_quantities(quantity):
    assert is_known(quantity, NAMES)


@pytest.mark.parametrize(
    "quantity", ["acuracy", "best/accuracy", "confusion:a", "history:loss", "history:loss@worst"]
)
def test_other_names_are_none(quantity):
    assert not is_known(quantity, NAMES)


def test_a_network_is_counted_without_a_training():
    recipe = full_recipe(read_paper("P3").experiments[0])
    facts = network_facts(recipe)
    assert facts["params"] == facts["trainable"] == 319_106
    layers = {name: value for name, value in facts.items() if name.startswith("layer:")}
    assert sum(n for name, n in layers.items() if not name.endswith(":stored")) == 319_106
    # A running mean and a running variance for each of 16 + 32 + 64 channels.
    assert facts["params:stored"] == 319_106 + 2 * 112
    # The last layer has 128 inputs; 1,000 classes in place of 2.
    assert facts["params:1000"] == 319_106 + 998 * (128 + 1)
    assert facts["layer:features.2:stored"] == 2 * facts["layer:features.2"] == 64


def test_numbers_of_the_recipe_as_published():
    facts = network_facts(full_recipe(read_paper("P3").experiments[0]))
    assert facts["recipe:train.l2"] == 0.1
    assert facts["recipe:train.evaluations_per_epoch"] == 20


@pytest.mark.parametrize(("scores", "batches"), [([0.7] * 11, None), ([0.1, 0.2, 0.3], 3)])
def test_batches_of_an_epoch_that_early_stopping_cut_are_unknown(scores, batches):
    # P3's patience is 10 evaluations: after the first of eleven none is better.
    steps = range(1, len(scores) + 1)
    history = pd.DataFrame({"step": steps, "epoch": 0, "val_accuracy": scores})
    recipe = full_recipe(read_paper("P3").experiments[0])
    run = SimpleNamespace(history=history, folds=(), recipe=recipe)
    assert measure(run, "batches").value == batches
