"""Words about pairs follow intervals of whole groups, never tests of single images."""

import pytest

from eosin.artifacts.comparison import ComparedPair, IndependentTest, PairedMetric
from eosin.artifacts.metrics import Metric
from eosin.reporting.noise import difference_text, outcome, p_text, signed, turned


def entry(low, high, p_holm):
    gap = Metric(value=0.05, low=low, high=high)
    return PairedMetric(difference=gap, p=p_holm, p_holm=p_holm)


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "words"),
    [
        (-0.01, 0.11, 0.001, "noise"),
        (0.0, 0.10, 0.001, "noise"),
        (0.01, 0.09, 0.049, "apart"),
        (0.01, 0.09, 0.05, "unsettled"),
        (0.01, 0.09, None, "unsettled"),
        (-0.09, -0.01, 0.01, "apart"),
        (None, None, 0.001, "unknown"),
    ],
)
def test_outcomes(low, high, p_holm, words):
    assert outcome(entry(low, high, p_holm)) == words


def test_a_pair_turned_round():
    test = IndependentTest(p=1e-9)
    pair = ComparedPair(
        one="a", other="b", metrics={"auc": entry(-0.01, 0.11, 0.2)}, mcnemar=test, delong=None
    )
    assert turned(pair, "auc", "a") is pair.metrics["auc"]
    gap = turned(pair, "auc", "b").difference
    assert (gap.value, gap.low, gap.high) == (-0.05, -0.11, 0.01)


def test_differences_and_p_values_as_text():
    assert difference_text(Metric(value=0.05, low=-0.011, high=0.1)) == "+0.050 (−0.011 to +0.100)"
    assert difference_text(Metric(value=0.05)) == "+0.050"
    assert signed(-0.0001) == "0.000"
    assert (p_text(0.0004), p_text(0.05), p_text(None)) == ("<0.001", "0.050", "—")
