"""Abstention on the page: other values of alpha, and rules that leave most images undecided."""

import numpy as np
import pandas as pd
import pytest
from tests.facts import tells
from tests.tiny_runs import edit, relist

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import PREFIX
from eosin.metrics.conformal import calibrate
from eosin.reporting.sections import abstention
from eosin.runs.finished import read_run


def alphas_of(run):
    """Return the rows of the table of alphas."""
    section = abstention.section(read_run(run))
    (table,) = (table for table in section.tables() if table.name == "alphas")
    return [[cell.text for cell in row] for row in table.rows]


def separate(run, names):
    """Give the images of a run the probabilities of a fair model; no decision contradicts them."""
    path = RunFolder(run).predictions
    frame = pd.read_csv(path, dtype={"patient": str, "group": str})
    random = np.random.default_rng(0)
    truth = (frame["label"] == names[1]).to_numpy()
    score = 1 / (1 + np.exp(-(2 * truth - 1 + random.normal(0, 1.2, len(frame)))))
    frame[PREFIX + names[0]], frame[PREFIX + names[1]] = 1 - score, score
    frame["predicted"] = frame["decision"] = np.where(score >= 0.5, names[1], names[0])
    frame["correct"] = frame["predicted"] == frame["label"]
    frame.to_csv(path, index=False)
    relist(run)
    return frame


@pytest.mark.parametrize("kind", ["grouped", "folds"])
def test_three_alphas_have_their_share_of_abstentions_and_accuracy_of_the_rest(copy_of, kind):
    run, names = copy_of(kind), ("benign", "malignant")
    frame = separate(run, names)
    rows = alphas_of(run)
    assert [row[0] for row in rows] == ["0.1", "0.2", "0.35"]
    if kind == "folds":
        return  # by the other folds, as test_abstaining.py has it
    val, test = (frame[frame["split"] == part] for part in ("val", "test"))
    columns = [PREFIX + name for name in names]
    for alpha, abstained, accuracy in rows[1:]:
        targets = (val["label"] == names[1]).to_numpy(dtype=np.int64)
        scores = val[columns].to_numpy()
        rule = calibrate(scores, targets, list(val["group"]), names, float(alpha))
        limits = np.array([rule.quantiles[name] for name in names])
        is_one = (1 - test[columns].to_numpy() <= limits).sum(axis=1) == 1
        assert abstained == f"{100 * (1 - is_one.mean()):.1f}\u00a0%"
        assert accuracy == f"{test['correct'][is_one].mean():.3f}"


def test_an_alpha_that_needs_more_patients_has_no_share(copy_of):
    run = copy_of("grouped")
    separate(run, ("benign", "malignant"))
    # Six patients of each class calibrate; alpha 0.1 needs nine.
    first, second, _ = alphas_of(run)
    assert tells(first[1], "too few patients")
    assert "%" in second[1]


@pytest.mark.parametrize(("undecided", "is_told"), [(0.5, False), (0.51, True), (None, False)])
def test_a_rule_that_leaves_most_images_undecided_names_its_settings(run, undecided, is_told):
    def change(model):
        model["abstention"]["undecided"] = undecided

    edit(run, "model/model.json", change)
    words = " ".join(
        block for block in abstention.section(read_run(run)).content if isinstance(block, str)
    )
    assert tells(words, "evaluate.alpha", "evaluate.abstain") == is_told
