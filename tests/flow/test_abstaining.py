"""Abstention the whole way: folds, their joined model, ``evaluate`` and ``predict``."""

import json

import numpy as np
import pandas as pd
from tests.facts import tells

from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.metrics import read_metrics
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import PREFIX
from eosin.artifacts.versioned import read_document

CLASSES = ["benign", "malignant"]


def expected_by(quantiles, table, threshold):
    """Whether not the decided class alone is probable enough, from the table alone."""
    held = {name: 1 - table[PREFIX + name] <= quantiles[name] for name in CLASSES}
    is_malignant = table[PREFIX + "malignant"] >= threshold
    alone = np.where(is_malignant, held["malignant"], held["benign"]) & (sum(held.values()) == 1)
    return (~alone).tolist()


def test_held_out_predictions_are_abstained_on_by_the_other_folds(folds_run):
    run = RunFolder(folds_run)
    table = pd.read_csv(run.predictions, dtype={"fold": str})
    result = read_metrics(run.metrics)["oof"]
    assert result.abstention.rule.reason is None
    for fold, own in table.groupby("fold"):
        others = table[table["fold"] != fold]
        quantiles = {}
        for name in CLASSES:
            rows = others[others["label"] == name]
            assert not set(rows["group"]) & set(own["group"])
            # All patients have as many images: each weighs 1 / (G + 1), shared by them.
            sizes, n_groups = rows["group"].value_counts(), rows["group"].nunique()
            assert sizes.nunique() == 1
            scores = np.sort(1 - rows[PREFIX + name])
            reached = np.arange(1, len(rows) + 1) / sizes.iloc[0] / (n_groups + 1)
            quantiles[name] = scores[np.argmax(reached >= 0.55 - 1e-9)]
        info = read_document(ModelFolder(run.fold(0, int(fold)).model).info, ModelInfo)
        assert own["abstained"].tolist() == expected_by(quantiles, own, info.threshold.value)
    assert 0 < table["abstained"].sum() < len(table)
    assert result.abstention.abstention_rate.value == table["abstained"].mean()
    found = result.abstention
    n_abstained = found.n_empty + found.n_several + found.n_contradicted
    assert n_abstained == table["abstained"].sum()


def test_the_joined_model_abstains_by_all_held_out_predictions(command, folds_run, tmp_path):
    info = read_document(ModelFolder(folds_run / "model").info, ModelInfo)
    assert info.abstention.n_groups == {"benign": 5, "malignant": 5}
    assert "not of the ensemble itself" in info.abstention.source
    result = command("predict", folds_run, folds_run / "samples", "-o", tmp_path / "preds.csv")
    assert result.status == 0
    table = pd.read_csv(tmp_path / "preds.csv")
    assert table["abstained"].tolist() == expected_by(
        info.abstention.quantiles, table, info.threshold.value
    )
    n = (table["abstained"] & table["gate"].isna()).sum()  # others are refused
    assert n > 0
    assert tells(result.err, n, len(table), "evaluate.alpha", "evaluate.abstain")


def test_a_judgement_says_why_there_is_no_abstaining(command, tiny_run, tmp_path):
    result = command("evaluate", tiny_run, "-o", tmp_path / "judged")
    assert "1 patient of 'benign', but alpha 0.1 needs 9" in result.out
    assert tells(result.out, "calibration", "ECE")
    assert " false positives per 100 benign" in result.out
    info = json.loads((tiny_run / "model" / "model.json").read_text())
    assert info["abstention"]["quantiles"] is None
    assert info["temperature_source"] == "val"
    table = pd.read_csv(tmp_path / "judged" / "predictions.csv")
    assert not table["abstained"].any()
