"""What is measured on a split: who is evaluated, by which decision, in which block."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.facts import tells

from eosin.artifacts.manifest import make_samples
from eosin.artifacts.metrics import Threshold, read_metrics, write_metrics
from eosin.evaluation import Evaluated, evaluate_predictions, tune_threshold
from eosin.metrics.catalogue import MAIN_METRICS, METRIC_NAMES
from eosin.recipe.schema import EvaluateSection
from eosin.reporting.outline import headline_table

SECTION = EvaluateSection(resamples=100, alpha=0.3)
# Eight images of four patients; the probability of the positive class (malignant) of each.
MALIGNANT = np.array([0.1, 0.6, 0.2, 0.3, 0.9, 0.8, 0.4, 0.7])
TRUTH = ["benign"] * 4 + ["malignant"] * 4


@pytest.fixture
def samples():
    frame = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(8)],
            "label": TRUTH,
            "patient": ["a", "a", "b", "b", "c", "c", "d", "d"],
            "magnification": ["100", "40", "100", "40", "100", "40", "100", ""],
        }
    )
    return make_samples(frame, root="/", positive="malignant")


def evaluated(samples, decided=None):
    probabilities = np.stack([1 - MALIGNANT, MALIGNANT], axis=1)
    decided = probabilities.argmax(axis=1) if decided is None else np.array(decided)
    threshold = Threshold(value=0.35, source="val", target_recall=0.9)
    return Evaluated(samples, probabilities, decided, threshold)


def test_arg_max_and_threshold_are_judged_apart(samples):
    found = evaluate_predictions(evaluated(samples, decided=[0, 1, 0, 0, 1, 1, 1, 1]), SECTION, 0)
    # Arg-max errs on 0.6 (benign) and 0.4 (malignant); the threshold only on 0.6.
    assert found.image["accuracy"].value == 0.75
    assert found.image["recall"].value == 0.75
    assert found.at_threshold["accuracy"].value == 0.875
    assert found.at_threshold["recall"].value == 1.0
    assert found.confusion.labels == ["benign", "malignant"]
    assert found.confusion.matrix == [[3, 1], [1, 3]]
    assert found.threshold.value == 0.35


def test_a_file_of_before_a_metric_was_added_is_read(samples, tmp_path):
    found = evaluate_predictions(evaluated(samples), SECTION, 0)
    old = {name: metric for name, metric in found.image.items() if name != "mcc"}
    write_metrics(tmp_path / "metrics.json", {"test": found.model_copy(update={"image": old})})
    read = read_metrics(tmp_path / "metrics.json")["test"]
    assert read.image == old
    assert read.at_threshold == found.at_threshold
    names = [row[0].text for row in headline_table("", {"a": read.image}).rows]
    assert len(names) == len(MAIN_METRICS) - 1


def test_everything_the_contract_names_is_there(samples):
    found = evaluate_predictions(evaluated(samples), SECTION, 0)
    assert set(found.image) == set(METRIC_NAMES)
    assert set(found.at_threshold) == set(METRIC_NAMES)
    assert (found.n_images, found.n_patients, found.n_groups) == (8, 4, 4)
    assert found.positive == "malignant"
    # Patients: a 1/2, b 2/2, c 2/2, d 1/2.
    assert found.patient["recognition_rate"].value == 0.75
    assert set(found.by_class) == {"benign", "malignant"}
    assert found.by_site == {}


def test_magnifications_in_numeric_order_without_the_unknown(samples):
    found = evaluate_predictions(evaluated(samples), SECTION, 0)
    assert list(found.by_magnification) == ["40", "100"]
    # 40: 0.6 (benign, wrong), 0.3 (benign), 0.8 (malignant).
    assert found.by_magnification["40"].metrics["accuracy"].value == pytest.approx(2 / 3)
    assert found.by_magnification["100"].metrics["accuracy"].value == 0.75


def test_a_magnification_has_its_recognition_rate_counts_and_curves(samples, tmp_path):
    found = evaluate_predictions(evaluated(samples), SECTION, 0)
    low = found.by_magnification["40"]
    # Patients at 40: a 0/1, b 1/1, c 1/1.
    assert low.metrics["recognition_rate"].value == pytest.approx(2 / 3)
    assert low.metrics["recognition_rate"].n == 3
    assert low.confusion.matrix == [[1, 1], [0, 1]]
    # The malignant 0.8 stands above both benign images.
    assert (low.curves.roc["malignant"].x, low.curves.roc["malignant"].y) == (
        [0.0, 0.0, 1.0],
        [0.0, 1.0, 1.0],
    )
    write_metrics(tmp_path / "metrics.json", {"test": found})
    # In the file they stand beside the metrics.
    entry = json.loads((tmp_path / "metrics.json").read_text())["test"]["by_magnification"]["40"]
    assert set(entry) == {*METRIC_NAMES, "recognition_rate", "confusion", "curves"}
    assert entry["accuracy"]["value"] == pytest.approx(2 / 3)
    assert read_metrics(tmp_path / "metrics.json")["test"] == found


def test_a_magnification_of_before_it_had_counts_is_read(samples, tmp_path):
    found = evaluate_predictions(evaluated(samples), SECTION, 0)
    write_metrics(tmp_path / "metrics.json", {"test": found})
    document = json.loads((tmp_path / "metrics.json").read_text())
    for entry in document["test"]["by_magnification"].values():
        for name in ("recognition_rate", "confusion", "curves"):
            del entry[name]
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    read = read_metrics(tmp_path / "metrics.json")["test"].by_magnification["40"]
    assert read.metrics["accuracy"] == found.by_magnification["40"].metrics["accuracy"]
    assert (read.confusion, read.curves) == (None, None)


def test_a_magnification_of_one_class_has_no_curve(samples):
    samples.frame["magnification"] = ["40"] * 4 + ["100"] * 4
    found = evaluate_predictions(evaluated(samples), SECTION, 0)
    assert found.by_magnification["40"].curves.roc == {}
    assert found.by_magnification["40"].confusion.matrix == [[3, 1], [0, 0]]


def test_sites_are_judged_where_there_are_any(samples):
    samples.frame["site"] = ["x", "x", "x", "x", "y", "y", "y", "y"]
    found = evaluate_predictions(evaluated(samples), SECTION, 0)
    assert list(found.by_site) == ["x", "y"]
    assert found.by_site["x"]["recall"].value is None  # no malignant image there
    assert found.by_site["x"]["recall"].reason


def test_unknown_patients_are_null(samples):
    samples.frame["patient"] = ""
    found = evaluate_predictions(evaluated(samples), SECTION, 0)
    assert found.n_patients is None
    assert found.patient["recognition_rate"].value is None
    assert found.patient["recognition_rate"].reason


def test_intervals_follow_the_seed(samples):
    frame = pd.concat([samples.frame] * 4, ignore_index=True)
    frame["path"] = [f"{i}.png" for i in range(32)]
    frame["group"] = [f"g{i // 2}" for i in range(32)]
    many = make_samples(frame, root="/", positive="malignant")
    probabilities = np.tile(evaluated(samples).probabilities, (4, 1))
    whole = Evaluated(
        many, probabilities, probabilities.argmax(axis=1), evaluated(samples).threshold
    )
    first = evaluate_predictions(whole, SECTION, 0)
    assert first == evaluate_predictions(whole, SECTION, 0)
    assert first.image["accuracy"].low < 0.75 < first.image["accuracy"].high
    assert first != evaluate_predictions(whole, SECTION, 1)


def test_a_task_of_three_classes_has_no_positive():
    frame = pd.DataFrame({"path": list("abc"), "label": ["x", "y", "z"]})
    samples = make_samples(frame, root="/")
    probabilities = np.eye(3) * 0.7 + 0.1
    whole = Evaluated(
        samples, probabilities, np.arange(3), tune_threshold(samples, probabilities, SECTION, "val")
    )
    found = evaluate_predictions(whole, SECTION, 0)
    assert found.positive is None
    assert found.image["accuracy"].value == 1.0
    assert found.threshold == Threshold(value=None, source="no positive class", target_recall=None)
    assert whole.positive is None


@pytest.mark.parametrize(
    ("target", "value"),
    [(0.25, 0.9), (0.5, 0.8), (0.75, 0.7), (0.76, 0.4), (1.0, 0.4)],
)
def test_the_threshold_is_the_highest_that_reaches_the_recall(samples, target, value):
    section = EvaluateSection(target_recall=target)
    probabilities = evaluated(samples).probabilities
    found = tune_threshold(samples, probabilities, section, "val")
    assert (found.value, found.source, found.target_recall) == (value, "val", target)
    reached = (MALIGNANT[4:] >= found.value).mean()
    assert found.recall.value == reached >= target
    # Two malignant groups give no interval.
    assert (found.bound, found.recall.low) == ("point", None)


def test_the_column_of_the_positive_class_is_looked_up(samples):
    frame = samples.frame.assign(label=["malignant"] * 4 + ["a_tumour"] * 4)
    first = make_samples(frame, root="/", positive="a_tumour")
    assert first.class_names == ("a_tumour", "malignant")
    probabilities = np.stack([MALIGNANT, 1 - MALIGNANT], axis=1)
    assert tune_threshold(
        first, probabilities, EvaluateSection(target_recall=1.0), "val"
    ).value == (0.4)


def test_a_part_without_the_positive_class_locks_nothing(samples):
    benign = samples.where(np.arange(8) < 4)
    found = tune_threshold(benign, evaluated(samples).probabilities[:4], SECTION, "val")
    assert (found.value, found.target_recall) == (None, None)
    assert tells(found.reason, "malignant", "val")
