"""Verdicts on printed values, from counts worked by hand."""

import pytest

from eosin.artifacts.metrics import Metric
from eosin.papers import Cell, Recomputed
from eosin.reproduction.verdicts import compare_with_printed, recompute

P1_COUNTS = ((7407, 593), (277, 7723))


def cell(printed="84.2", **more):
    values = {"row": "accuracy", "unit": "%", "experiment": "net", "quantity": "accuracy"}
    return Cell(printed=printed, **{**values, **more})


def ours(value, half_width=0.02):
    return Metric(value=value, low=value - half_width, high=value + half_width)


def verdict(printed, measured, **more):
    return compare_with_printed(printed, measured, **more).verdict


def test_a_metric_follows_from_printed_counts():
    accuracy = Recomputed(confusion=P1_COUNTS, metric="accuracy")
    assert recompute(accuracy) == pytest.approx((7407 + 7723) / 16000)
    recall = Recomputed(confusion=P1_COUNTS, metric="recall")
    assert recompute(recall) == pytest.approx(7723 / 8000)
    of_the_first = Recomputed(confusion=P1_COUNTS, metric="recall", positive=0)
    assert recompute(of_the_first) == pytest.approx(7407 / 8000)


def test_f1_a_ratio_and_a_sum_follow_from_printed_numbers():
    assert recompute(Recomputed(precision=86.90, recall=90.65)) == pytest.approx(0.88735, abs=1e-5)
    assert recompute(Recomputed(ratio=(126, 145))) == pytest.approx(126 / 145)
    assert recompute(Recomputed(sum=(2432, 9248))) == 11680


def test_a_text_that_nothing_measures_has_no_verdict():
    assert verdict(cell("ReLU", unit="", experiment="", quantity=""), None) == ""


def test_two_forms_at_once_are_refused():
    with pytest.raises(ValueError, match="needed"):
        Recomputed(ratio=(1, 2), sum=(1,))


def test_equal_experiment_and_a_value_in_a_narrow_interval_is_reproduced():
    assert verdict(cell(), ours(0.85)) == "reproduced"


def test_a_value_outside_the_interval_differs_by_the_difference():
    found = compare_with_printed(cell(), ours(0.90))
    assert found.verdict == "differs"
    assert "+5.8" in found.reason


def test_a_wide_interval_allows_no_verdict():
    assert verdict(cell(), ours(0.842, half_width=0.031)) == "too uncertain"
    assert verdict(cell(), Metric(value=0.842)) == "too uncertain"


@pytest.mark.parametrize("kind", ["data", "split", "epochs", "weights", "size", "settings"])
def test_another_experiment_is_not_comparable_however_equal_the_value_is(kind):
    found = compare_with_printed(cell(), ours(0.842), differs={kind: "why"})
    assert (found.verdict, found.reason) == ("not comparable", kind)


def test_what_contradicts_the_paper_s_own_counts_is_called_so():
    printed = cell("95.4", recomputed=Recomputed(confusion=P1_COUNTS, metric="accuracy"))
    assert verdict(printed, ours(0.954), recomputed=0.945625) == "contradicted within the paper"


def test_a_paper_that_agrees_with_itself_earns_us_no_verdict():
    for printed in ("94.56", "94.6", "94.5"):
        alone = cell(printed, experiment="", quantity="")
        assert verdict(alone, None, recomputed=0.945625) == ""


def test_counts_are_exact_or_not_whatever_differs():
    params = cell("319,106", unit="", quantity="params")
    assert verdict(params, Metric(value=319106), differs={"data": "why"}) == "exact"
    assert verdict(params, Metric(value=319107)) == "differs"
    in_millions = cell("14.7", unit="M", quantity="params")
    assert verdict(in_millions, Metric(value=14_715_714)) == "exact"


def test_numbers_of_images_are_compared_on_the_paper_s_data_only():
    images = cell("2013", unit="", quantity="images")
    assert verdict(images, Metric(value=550), differs={"data": "why"}) == "not comparable"
    assert verdict(images, Metric(value=2013)) == "exact"


@pytest.mark.parametrize("kind", ["data", "split", "settings"])
def test_batches_are_compared_where_data_split_and_settings_are_the_paper_s(kind):
    batches = cell("51", unit="", quantity="batches")
    assert verdict(batches, Metric(value=51)) == "exact"
    assert verdict(batches, Metric(value=26), differs={kind: "why"}) == "not comparable"


def test_a_file_of_the_printed_size_does_not_differ():
    size = cell("2,475", unit="KB", quantity="file_bytes")
    assert verdict(size, Metric(value=2_475_300)) == "exact"
    assert verdict(size, Metric(value=1_284_000)) == "differs"


def test_the_coverage_of_an_interval_stands_beside_the_verdict():
    few = Metric(value=0.85, low=0.83, high=0.87, reason="12 groups: covers 90 %")
    assert compare_with_printed(cell(), few).reason == few.reason


def test_times_are_never_compared():
    time = cell("49", unit="min", quantity="seconds")
    assert verdict(time, Metric(value=49 * 60)) == "not comparable"


def test_several_readings_get_no_verdict():
    assert verdict(cell(), ours(0.842), unclear=True) == "not described"
    reduced = compare_with_printed(cell(), ours(0.842), unclear=True, differs={"epochs": "few"})
    assert reduced.verdict == "not described"
    assert "epochs" in reduced.reason


def test_a_failed_training_says_why():
    found = compare_with_printed(cell(), None, failure="memory ran out")
    assert (found.verdict, found.reason) == ("not possible here", "memory ran out")


def test_an_undefined_metric_says_why():
    found = compare_with_printed(cell(), Metric(value=None, reason="one class"))
    assert (found.verdict, found.reason) == ("not possible here", "one class")
