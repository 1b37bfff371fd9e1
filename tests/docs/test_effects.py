"""Differences between runs, and the tables of conditions."""

import json

import numpy as np
import pandas as pd
import pytest
from benchmarks import effects, tables
from benchmarks.pairing import paired_gain


def write_run(folder, sharpness, groups=12, images=5, shift=0):
    rng = np.random.default_rng(0)
    n_rows = groups * images
    label = np.arange(n_rows) % 2
    probability = 1 / (1 + np.exp(-sharpness * (label - 0.5) - rng.normal(size=n_rows)))
    frame = pd.DataFrame(
        {
            "path": [f"{row + shift}.png" for row in range(n_rows)],
            "label": np.array(["a", "b"])[label],
            "group": [f"g{row // images}" for row in range(n_rows)],
            "split": "test",
            "prob_a": 1 - probability,
            "prob_b": probability,
            "predicted": np.array(["a", "b"])[(probability > 0.5).astype(int)],
        }
    )
    (folder / "model").mkdir(parents=True)
    frame.to_csv(folder / "predictions.csv", index=False)
    info = {"class_names": ["a", "b"], "positive": "b"}
    (folder / "model" / "model.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


@pytest.fixture
def runs(tmp_path):
    # One folder for both, since paths start from it.
    return [write_run(tmp_path / name, s) for name, s in (("weak", 0.5), ("strong", 4.0))]


def test_a_run_gains_nothing_over_itself(runs):
    gain = paired_gain(runs[0], runs[0])
    # Nothing varies: that is no interval of width zero.
    assert gain["auc"] == {"value": 0.0, "low": None, "high": None}
    assert (gain["n_images"], gain["n_groups"]) == (60, 12)


def test_runs_on_other_images_are_not_compared(runs, tmp_path):
    with pytest.raises(SystemExit, match="not evaluated on the same images"):
        paired_gain(runs[0], runs[1])
    moved = write_run(tmp_path / "moved", 4.0, shift=1)
    with pytest.raises(SystemExit, match="not evaluated on the same images"):
        paired_gain(runs[0], moved)


def test_a_better_run_gains_and_the_other_way_round_loses(runs):
    for run in runs:
        frame = pd.read_csv(run / "predictions.csv")
        frame["path"] = "/images/" + frame["path"]
        frame.to_csv(run / "predictions.csv", index=False)
    gain = paired_gain(runs[1], runs[0], ["auc", "specificity"])
    loss = paired_gain(runs[0], runs[1], ["auc", "specificity"])
    for metric in ("auc", "specificity"):
        assert gain[metric]["value"] > 0
        assert loss[metric]["value"] == pytest.approx(-gain[metric]["value"])
        assert gain[metric]["low"] <= gain[metric]["value"] <= gain[metric]["high"]


def test_every_condition_of_every_experiment_can_be_read():
    from eosin.experiment.validation import check_names
    from eosin.recipe import read_recipe

    experiments = effects.read_experiments()
    assert len(experiments) > 5
    for experiment in experiments.values():
        for condition in experiment.conditions:
            recipe = effects.ROOT / "recipes" / f"{experiment.recipe}.toml"
            check_names(read_recipe(recipe, experiment.settings(condition)))


def test_a_table_of_conditions_leaves_out_what_no_row_has(tmp_path, monkeypatch):
    metric = {"value": 0.8, "low": 0.7, "high": 0.9, "reason": None}
    change = {"value": 0.1, "low": -0.1, "high": 0.2}
    row = {"condition": "none", "settings": ["a=1"], "auc": metric, "gain": None}
    row |= {"unchanged": None, "seconds": 61.4, "git": "abc"}
    other = {**row, "condition": "more", "settings": ["a=1", "b=2"], "gain": {"auc": change}}
    found = {"recipe": "r", "seed": 0, "device": "cpu", "metrics": ["auc"], "n_images": 9}
    found |= {"n_groups": 3, "n_patients": None, "rows": [row, other]}
    (tmp_path / "one.json").write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.setattr(effects, "STORE", tmp_path)
    text = effects.effects_table("one")
    assert "| condition | AUC | AUC − none | time |" in text
    assert "| more | 0.800 (0.700–0.900) | +0.100 (-0.100 to +0.200) | 61 s |" in text
    assert "more: `b=2`" in text


def test_a_kept_table_is_rendered_as_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tables, "STORE", tmp_path)
    tables.write_table("one", "What it shows.", "python -m x", ["a", "b"], [["1", "2"]])
    assert tables.render_table("one") in capsys.readouterr().out
    assert "| 1 | 2 |" in tables.render_table("one")
