"""Calibration, decisions and abstention of a split; thresholds by bound; folds joined."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.facts import tells

from eosin.artifacts.manifest import make_samples
from eosin.artifacts.metrics import Threshold
from eosin.evaluation import (
    Evaluated,
    calibrate_abstention,
    evaluate_predictions,
    pool_folds,
    tune_threshold,
)
from eosin.evaluation.thresholds import cross_calibrate
from eosin.metrics.conformal import prediction_sets
from eosin.recipe.schema import EvaluateSection

SECTION = EvaluateSection(resamples=200, alpha=0.2)
ROUNDING = 1e-12


def table(n_groups=12, n_images=10, *, seed=0, first=0, **columns):
    """Samples of as many patients, half of them malignant, and what a fair model says of them."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_groups), n_images)
    positive = patient % 2
    hard = random.normal(0, 0.6, n_groups)[patient]
    logit = 2 * (2 * positive - 1) + hard + random.normal(0, 1.5, len(patient))
    malignant = 1 / (1 + np.exp(-logit))
    frame = pd.DataFrame(
        {
            "path": [f"{first + i}.png" for i in range(len(patient))],
            "label": np.where(positive == 1, "malignant", "benign"),
            "patient": [f"p{first + p}" for p in patient],
            **columns,
        }
    )
    samples = make_samples(frame, root="/", positive="malignant")
    return samples, np.stack([1 - malignant, malignant], axis=1)


def judged_at(samples, probabilities, value=0.4, **further):
    threshold = Threshold(value=value, source="val", target_recall=0.9)
    decided = (probabilities[:, 1] >= value).astype(np.int64)
    return Evaluated(samples, probabilities, decided, threshold, **further)


def test_the_bins_are_what_the_calibration_error_is_made_of():
    samples, probabilities = table()
    raw = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    result = judged_at(
        samples, probabilities, uncalibrated=raw, temperature=3.0, temperature_source="val"
    )
    found = evaluate_predictions(result, SECTION, 0)
    calibration = found.calibration
    assert (calibration.temperature, calibration.source) == (3.0, "val")
    assert [one.low for one in calibration.bins[1:]] == [one.high for one in calibration.bins[:-1]]
    held = [one for one in calibration.bins if one.n]
    gaps = sum(one.n * abs(one.accuracy - one.confidence) for one in held) / len(samples)
    assert gaps == pytest.approx(found.image["ece"].value, abs=ROUNDING)
    empty = next(one for one in calibration.bins if not one.n)
    assert (empty.confidence, empty.accuracy) == (None, None)
    as_raw = evaluate_predictions(replace(result, probabilities=raw), SECTION, 0).image
    assert calibration.uncalibrated == {name: as_raw[name] for name in ("brier", "ece")}
    assert calibration.uncalibrated["ece"] != found.image["ece"]
    assert (
        evaluate_predictions(judged_at(samples, probabilities), SECTION, 0).calibration.uncalibrated
        == {}
    )


def test_decisions_speak_of_the_locked_threshold():
    samples, probabilities = table()
    found = evaluate_predictions(judged_at(samples, probabilities), SECTION, 0)
    specificity, decisions = found.at_threshold["specificity"], found.decisions
    wrong = decisions.false_positives
    called = probabilities[samples.targets == 0, 1] >= 0.4
    assert wrong.value == pytest.approx(100 * called.mean(), abs=1e-9)
    assert wrong.low == 100 * (1 - specificity.high) < wrong.value
    assert wrong.high == 100 * (1 - specificity.low) > wrong.value
    assert (decisions.prevalence, decisions.is_stated) == (0.5, False)
    precision = found.at_threshold["precision"].value
    assert decisions.ppv.value == pytest.approx(precision, abs=ROUNDING)
    at_half = next(point for point in decisions.curve if point.threshold == 0.5)
    hits, false = ((probabilities[samples.targets == c, 1] >= 0.5).sum() for c in (1, 0))
    assert at_half.model == pytest.approx((hits - false) / len(samples), abs=ROUNDING)
    assert at_half.everyone == pytest.approx(0.0, abs=ROUNDING)

    rare = SECTION.model_copy(update={"prevalence": 0.02})
    stated = evaluate_predictions(judged_at(samples, probabilities), rare, 0).decisions
    assert (stated.prevalence, stated.is_stated) == (0.02, True)
    assert stated.ppv.value < decisions.ppv.value
    assert stated.curve == decisions.curve


def test_without_a_threshold_or_a_positive_class_no_decision_is_judged():
    samples, probabilities = table()
    nothing = Threshold(value=None, source="val", target_recall=None)
    result = replace(judged_at(samples, probabilities), threshold=nothing)
    assert evaluate_predictions(result, SECTION, 0).decisions is None
    result = replace(judged_at(samples, probabilities), samples=replace(samples, positive=None))
    assert evaluate_predictions(result, SECTION, 0).decisions is None


def test_abstention_is_judged_on_every_image_and_decisions_on_the_rest():
    samples, probabilities = table(n_groups=20)
    rule = calibrate_abstention(*table(n_groups=20, seed=1), SECTION, "val")
    sets = prediction_sets(probabilities, list(rule.quantiles.values()))
    result = judged_at(samples, probabilities, 0.5, abstention=rule, sets=sets)
    found = evaluate_predictions(result, SECTION, 0).abstention
    inside = sets[np.arange(len(sets)), samples.targets]
    held, decided = sets.sum(axis=1), result.decided
    _, probabilities_of_rule = table(n_groups=20, seed=1)
    own = prediction_sets(probabilities_of_rule, list(rule.quantiles.values()))
    assert rule.undecided == (own.sum(axis=1) != 1).mean() > 0
    assert 0 < (held != 1).sum() < len(samples)
    assert found.rule == rule
    assert found.coverage.value == inside.mean()
    for index, name in enumerate(samples.class_names):
        assert found.coverage_by_class[name].value == inside[samples.targets == index].mean()
        assert found.coverage_by_class[name].low < found.coverage_by_class[name].value
    assert found.abstention_rate.value == (held != 1).mean()
    assert found.abstention_rate.low < found.abstention_rate.high
    assert (found.n_empty, found.n_several) == ((held == 0).sum(), (held == 2).sum())
    right = (decided == samples.targets)[held == 1]
    assert found.kept["accuracy"].value == right.mean() > (decided == samples.targets).mean()
    np.testing.assert_array_equal(result.abstained, held != 1)
    assert found.n_contradicted == 0


def test_a_decision_against_its_own_set_is_no_decision():
    samples, probabilities = table(n_groups=20)
    rule = calibrate_abstention(*table(n_groups=20, seed=1), SECTION, "val")
    sets = prediction_sets(probabilities, list(rule.quantiles.values()))
    # So low that much is called malignant whose set holds benign alone.
    result = judged_at(samples, probabilities, 0.05, abstention=rule, sets=sets)
    alone = sets.sum(axis=1) == 1
    against = alone & ~sets[np.arange(len(sets)), result.decided]
    assert 0 < against.sum() < alone.sum()
    np.testing.assert_array_equal(result.abstained, ~alone | against)
    found = evaluate_predictions(result, SECTION, 0).abstention
    assert found.n_contradicted == against.sum()
    n_abstained = found.n_empty + found.n_several + found.n_contradicted
    assert found.abstention_rate.value == n_abstained / len(samples)
    right = (result.decided == samples.targets)[alone & ~against]
    assert found.kept["accuracy"].value == right.mean()


def test_a_refused_rule_has_no_numbers_but_its_reason():
    samples, probabilities = table(n_groups=4)
    rule = calibrate_abstention(samples, probabilities, SECTION, "val")
    result = judged_at(samples, probabilities, abstention=rule)
    found = evaluate_predictions(result, SECTION, 0).abstention
    assert tells(rule.reason, 2, "benign", "alpha 0.2", 4)
    assert found.coverage.value is None
    assert found.abstention_rate.reason == found.coverage_by_class["benign"].reason == rule.reason
    assert rule.undecided is None
    assert not result.abstained.any()
    wanted = SECTION.model_copy(update={"abstain": False})
    assert calibrate_abstention(samples, probabilities, wanted, "val") is None
    assert evaluate_predictions(judged_at(samples, probabilities), SECTION, 0).abstention is None


def test_a_threshold_by_the_lower_bound_says_what_it_reaches_and_when_it_cannot():
    samples, probabilities = table(n_groups=40)
    section = SECTION.model_copy(update={"recall_bound": "lower", "target_recall": 0.8})
    found = tune_threshold(samples, probabilities, section, "val", seed=3)
    assert (found.bound, found.reason) == ("lower", None)
    assert found.recall.low >= 0.8
    point = tune_threshold(
        samples, probabilities, section.model_copy(update={"recall_bound": "point"}), "val"
    )
    assert found.value < point.value
    # What the validation part itself is evaluated by, at the same resamples.
    same = evaluate_predictions(judged_at(samples, probabilities, found.value), section, 3)
    assert same.at_threshold["recall"] == found.recall

    few, said = table(n_groups=8)
    missed = tune_threshold(few, said, section, "val")
    assert missed.bound == "point"
    assert missed.value == tune_threshold(few, said, SECTION.model_copy(
        update={"target_recall": 0.8}), "val").value  # fmt: skip
    assert tells(missed.reason, "recall", 4, "malignant", 5)
    whole = section.model_copy(update={"target_recall": 1.0})
    missed = tune_threshold(samples, probabilities, whole, "val")
    assert missed.bound == "point"
    assert missed.reason.startswith("chosen by the point estimate of recall: ")


def folds(n_groups=10, *, shared=False):
    """Three folds of one repeat and one of another, which holds the first fold's patients."""
    parts = []
    for number, (repeat, first) in enumerate([("0", 0), ("0", 1000), ("0", 2000), ("1", 0)]):
        samples, said = table(n_groups, seed=number, first=0 if shared else first, repeat=repeat)
        parts.append(judged_at(samples, said, 0.3 + number / 10, uncalibrated=said))
    return parts


def test_each_fold_abstains_by_what_the_others_of_its_repeat_said():
    parts = folds()[:3]
    pooled = pool_folds(parts, SECTION)
    for place, part in enumerate(parts):
        others = [one for one in parts if one is not part]
        joined = replace(
            others[0].samples,
            frame=pd.concat([one.samples.frame for one in others], ignore_index=True),
        )
        said = np.concatenate([one.probabilities for one in others])
        rule = calibrate_abstention(joined, said, SECTION, "others")
        rows = slice(place * 100, place * 100 + 100)
        expected = prediction_sets(part.probabilities, list(rule.quantiles.values()))
        np.testing.assert_array_equal(pooled.sets[rows], expected)
    assert pooled.abstention.quantiles is None
    assert pooled.abstention.reason is None
    assert pooled.abstention.n_groups == {"benign": 10, "malignant": 10}
    held = pooled.sets.sum(axis=1)
    against = ~pooled.sets[np.arange(len(held)), pooled.decided]
    assert pooled.abstained.sum() == ((held != 1) | against).sum() > 0
    assert (pooled.threshold.value, pooled.threshold.target_recall) == (None, 0.9)
    assert pooled.temperature is None
    np.testing.assert_array_equal(pooled.decided, np.concatenate([part.decided for part in parts]))


def test_another_drawing_of_the_folds_and_shared_groups_calibrate_nothing():
    pooled = pool_folds(folds(), SECTION)
    # The only fold of its repeat has no others.
    assert pooled.sets is None
    assert pooled.abstention.n_groups == {"benign": 0, "malignant": 0}
    assert pooled.abstention.reason.startswith("0 groups of 'benign'")
    assert pool_folds(folds(shared=True)[:3], SECTION).abstention.reason.startswith("0 groups")
    without = SECTION.model_copy(update={"abstain": False})
    assert pool_folds(folds(), without).abstention is None


def test_folds_of_many_groups_are_pooled_at_once():
    parts = [table(20_000, 1, seed=seed, first=30_000 * seed) for seed in (0, 1)]
    start = time.process_time()
    _, sets = cross_calibrate(parts, SECTION)
    assert len(sets) == 40_000
    # It takes a tenth of that; to look every group up in a list took five times as long.
    assert time.process_time() - start < 5.0


def test_a_bound_that_one_fold_missed_is_not_claimed():
    parts = [
        replace(one, threshold=one.threshold.model_copy(update={"bound": "lower"}))
        for one in folds()[:3]
    ]
    assert pool_folds(parts, SECTION).threshold.bound == "lower"
    missed = parts[2].threshold.model_copy(update={"bound": "point", "reason": "no interval"})
    found = pool_folds([*parts[:2], replace(parts[2], threshold=missed)], SECTION).threshold
    assert (found.bound, found.reason) == ("point", "1 of 3 folds: no interval")


def test_folds_without_a_threshold_of_their_own_are_counted():
    parts = folds()[:3]
    lacks = Threshold(value=None, source="val", target_recall=None, reason="no image of 'm' in val")
    pooled = pool_folds([replace(parts[0], threshold=lacks), *parts[1:]], SECTION)
    assert tells(pooled.threshold.reason, "1 of 3 folds", "'m'", "val")
    assert pooled.threshold.target_recall == 0.9
    nowhere = pool_folds([replace(part, threshold=lacks) for part in parts], SECTION)
    assert nowhere.threshold.target_recall is None
