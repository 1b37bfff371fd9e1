"""The front, and P3's demands, by hand."""

import pytest

from eosin.artifacts.comparison import ComparedRun, Cost, Latency, find_fronts
from eosin.artifacts.metrics import Metric
from eosin.evaluation.comparison import light_against_large, median_interval


def run(name, auc, params, *, size=None, rounds=(0.01,) * 9, recall=(0.95, 0.91, 0.98), seen=0):
    block = {
        "auc": Metric(value=auc),
        "recall": Metric(value=recall[0], low=recall[1], high=recall[2]),
        "f1": Metric(value=0.86, low=0.80, high=0.90),
    }
    low, median, high = median_interval(rounds)
    time = Latency(median=median, low=low, high=high, rounds=list(rounds), images="real")
    cost = Cost(params=params, onnx_bytes=size or 4 * params, latency=time)
    return ComparedRun(
        name=name, model="m", preprocessing="p", protocol="by group", split="test", seed=0,
        n_judged=9, n_seen_groups=seen, n_leaks=0, simulated=False, image=block, at_threshold={},
        networks=1, judged=cost, deployed=cost, training_seconds=None, device=None,
    )  # fmt: skip


def test_the_front_holds_what_no_other_beats():
    runs = [
        run("cheap", 0.8, 10),
        run("dear", 0.9, 100),
        run("beaten", 0.85, 100),
        run("equal", 0.8, 10),
        run("saw", 0.99, 1, seen=3),
    ]
    fronts = find_fronts(runs, "auc")
    assert fronts["params"] == ["cheap", "dear", "equal"]
    assert "training_seconds" not in fronts


def test_a_head_on_features_is_no_light_model():
    head = run("head", 0.95, 1).model_copy(update={"is_head": True})
    runs = [run("light", 0.8, 10), run("large", 0.9, 99), head]
    assert find_fronts(runs, "auc")["params"] == ["light", "large"]
    assert light_against_large(runs, "auc").light == "light"


def answers(light, large):
    found = light_against_large([light, large], "auc")
    return {one.name: one.is_met for one in found.criteria}


def test_p3_s_demands_are_met_where_the_whole_interval_meets_them():
    light = run("light", 0.8, 1000, size=2_999_999)
    large = run("large", 0.9, 9000, size=20_000_000, rounds=(0.1,) * 9)
    assert answers(light, large) == {
        "recall": True, "f1": None, "bytes": True, "seconds": True, "smaller": True, "faster": True,
    }  # fmt: skip
    missed = run("light", 0.8, 1000, size=4_000_001, rounds=(0.6,) * 9, recall=(0.8, 0.7, 0.89))
    assert answers(missed, large) == {
        "recall": False, "f1": None, "bytes": False, "seconds": False, "smaller": False,
        "faster": False,
    }  # fmt: skip


def test_a_time_that_wavers_about_the_limit_decides_nothing():
    light = run("light", 0.8, 10, rounds=(0.4, 0.6) * 10)
    assert answers(light, run("large", 0.9, 99, rounds=(1.0,) * 20))["seconds"] is None
    assert answers(light, run("large", 0.9, 99, rounds=(1.0,) * 20))["faster"] is None


def test_models_of_one_size_are_not_held_against_each_other():
    assert light_against_large([run("a", 0.8, 10), run("b", 0.9, 10)], "auc") is None
    assert light_against_large([run("a", 0.8, 10), run("saw", 0.9, 99, seen=1)], "auc") is None


def test_the_better_of_two_smallest_is_asked():
    runs = [run("a", 0.8, 10), run("b", 0.9, 10), run("c", 0.7, 99)]
    assert light_against_large(runs, "auc").light == "b"


@pytest.mark.parametrize(("n", "low", "high"), [(9, 1, 7), (21, 5, 15)])
def test_the_interval_of_a_median_is_the_sign_test_s(n, low, high):
    from scipy.stats import binom

    found = median_interval(range(n))
    assert found == (low, (n - 1) / 2, high)
    # As many values outside as chance leaves out at most once in twenty.
    assert 2 * binom.cdf(low, n, 0.5) <= 0.05 < 2 * binom.cdf(low + 1, n, 0.5)
