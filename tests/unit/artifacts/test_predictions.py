"""predictions.csv, logits.parquet and history.csv."""

import numpy as np
import pandas as pd
import pytest

from eosin.artifacts.manifest import make_samples, write_table
from eosin.artifacts.predictions import (
    HISTORY_COLUMNS,
    logits_table,
    predictions_table,
    read_history,
    read_predictions,
    write_history,
    write_logits,
)
from eosin.core.errors import ArtifactError

PROBABILITIES = np.array([[0.75, 0.25], [0.4, 0.6]])


@pytest.fixture
def samples():
    frame = pd.DataFrame(
        {
            "path": ["a.png", "b.png"],
            "label": ["benign", "malignant"],
            "patient": ["007", ""],
            "split": ["test", "test"],
        }
    )
    return make_samples(frame, root="/", positive="malignant")


def test_the_columns_are_the_contract_s(samples):
    table = predictions_table(samples, PROBABILITIES)
    assert list(table.columns) == [
        "path",
        "label",
        "patient",
        "group",
        "magnification",
        "split",
        "prob_benign",
        "prob_malignant",
        "predicted",
        "decision",
        "correct",
        "abstained",
    ]
    assert list(table["predicted"]) == list(table["decision"]) == ["benign", "malignant"]
    assert list(table["correct"]) == [True, True]
    assert list(table["magnification"]) == ["", ""]
    assert list(table["abstained"]) == [False, False]


def test_folds_pass_through(samples):
    samples.frame["repeat"], samples.frame["fold"] = "0", "3"
    table = predictions_table(samples, PROBABILITIES, abstained=[0, 1])
    assert list(table.columns[6:8]) == ["repeat", "fold"]
    assert list(table["abstained"]) == [False, True]


def test_a_decision_at_a_threshold_is_told_beside_the_class(samples):
    table = predictions_table(samples, PROBABILITIES, decided=np.array([1, 1]))
    assert list(table["predicted"]) == ["benign", "malignant"]
    assert list(table["decision"]) == ["malignant", "malignant"]
    assert list(table["correct"]) == [True, True]


def test_round_trip_keeps_text_and_numbers(samples, tmp_path):
    table = predictions_table(samples, PROBABILITIES)
    write_table(tmp_path / "predictions.csv", table)
    back = read_predictions(tmp_path / "predictions.csv")
    assert list(back["patient"]) == ["007", ""]
    np.testing.assert_array_equal(back[["prob_benign", "prob_malignant"]], PROBABILITIES)
    assert back["abstained"].dtype == back["correct"].dtype == bool


def test_a_foreign_table_is_refused(tmp_path):
    path = tmp_path / "p.csv"
    with pytest.raises(ArtifactError, match="does not exist"):
        read_predictions(path)
    path.write_text("")
    with pytest.raises(ArtifactError, match=r"p\.csv .* empty"):
        read_predictions(path)
    path.write_text("path,label\na,b\n")
    with pytest.raises(ArtifactError, match="lacks the column 'predicted'"):
        read_predictions(path)


def test_logits_are_kept_to_the_last_bit(samples, tmp_path):
    logits = np.array([[1 / 3, -np.pi], [1e-300, 7.0]])
    write_logits(tmp_path / "l.parquet", logits_table(samples, logits))
    back = pd.read_parquet(tmp_path / "l.parquet")
    assert list(back.columns) == ["path", "split", "logit_benign", "logit_malignant"]
    np.testing.assert_array_equal(back[["logit_benign", "logit_malignant"]], logits)


def test_history_leaves_empty_what_was_not_measured(tmp_path):
    row = dict.fromkeys(HISTORY_COLUMNS, 0.5) | {"step": 3, "epoch": 0, "val_auc": None}
    write_history(tmp_path / "h.csv", [row])
    back = read_history(tmp_path / "h.csv")
    assert list(back.columns) == list(HISTORY_COLUMNS)
    assert back["val_auc"].isna().all()
    assert back["loss"][0] == 0.5
    with pytest.raises(ArtifactError, match="does not exist"):
        read_history(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.75", "nan"),
        ("0.75", "inf"),
        ("0.75", "1.75"),
        ("0.75", "-0.75"),
        ("0.75", "0.7"),
        ("0.75", "none"),
        ("0.75", ""),
        ("True", "maybe"),
        (",b,True", ",c,True"),
        ("prob_b", "prob_a"),
        ("x.png", ""),
        ("prob_a,prob_b", "a,b"),
    ],
)
def test_predictions_that_cannot_be_are_named(tmp_path, old, new):
    path = tmp_path / "predictions.csv"
    text = "path,label,split,prob_a,prob_b,predicted,abstained\nx.png,a,test,0.25,0.75,b,True\n"
    path.write_text(text)
    assert len(read_predictions(path)) == 1
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ArtifactError, match=r"predictions\.csv"):
        read_predictions(path)


@pytest.mark.parametrize(
    "text", ["step,epoch\n4,0\n4,1\n", "step,epoch\nx,0\n", "step,other\n4,0\n"]
)
def test_a_history_that_cannot_be_is_named(tmp_path, text):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(ArtifactError, match=r"history\.csv"):
        read_history(tmp_path / "history.csv")
