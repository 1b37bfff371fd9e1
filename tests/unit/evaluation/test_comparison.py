"""The front, and the interval of a median, by hand."""

import pytest

from eosin.artifacts.comparison import ComparedRun, Cost, find_fronts
from eosin.artifacts.metrics import Metric
from eosin.evaluation.comparison import median_interval


def run(name, auc, params, *, seen=0):
    block = {
        "auc": Metric(value=auc),
    }
    cost = Cost(params=params, onnx_bytes=4 * params, latency=None)
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


def test_a_head_on_features_is_on_no_front():
    head = run("head", 0.95, 1).model_copy(update={"is_head": True})
    runs = [run("light", 0.8, 10), run("large", 0.9, 99), head]
    assert find_fronts(runs, "auc")["params"] == ["light", "large"]


@pytest.mark.parametrize(("n", "low", "high"), [(9, 1, 7), (21, 5, 15)])
def test_the_interval_of_a_median_is_the_sign_test_s(n, low, high):
    from scipy.stats import binom

    found = median_interval(range(n))
    assert found == (low, (n - 1) / 2, high)
    # As many values outside as chance leaves out at most once in twenty.
    assert 2 * binom.cdf(low, n, 0.5) <= 0.05 < 2 * binom.cdf(low + 1, n, 0.5)
