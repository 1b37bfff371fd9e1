"""Words about pairs follow intervals of whole groups, never tests of single images."""

import pytest

from eosin.artifacts.comparison import (
    ComparedPair,
    ComparedRun,
    Comparison,
    Cost,
    IndependentTest,
    PairedMetric,
)
from eosin.artifacts.metrics import Metric
from eosin.reporting.formatting import p_text, signed
from eosin.reporting.sections.costs import cost_table, pareto_figures, section
from eosin.reporting.sections.differences import difference_text, outcome, turned
from eosin.reporting.style import render_figure


def entry(low, high, p_holm):
    gap = Metric(value=0.05 if low is None else (low + high) / 2, low=low, high=high)
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


def run(name, params):
    metric = Metric(value=0.9, low=0.8, high=0.95)
    cost = Cost(params=params, macs=4 * params, onnx_bytes=3 * params)
    return ComparedRun(
        name=name, model="m", preprocessing="p", protocol="by group", split="test", seed=0,
        n_judged=9, n_seen_groups=0, n_leaks=0, simulated=False, at_threshold={}, networks=1,
        image=dict.fromkeys(("auc", "accuracy", "recall"), metric), judged=cost, deployed=cost,
        training_seconds=None, device=None,
    )  # fmt: skip


def compared(*params):
    """Compare runs with so many weights."""
    return Comparison(
        eosin="0", created="2026-03-01T12:00:00Z", platform="p", threads=1, metric="auc",
        metrics=["auc", "accuracy", "recall"], positive="malignant", n_images=9, n_patients=9,
        n_groups=9, resamples=100, flips=100, seed=0, pairs=[],
        runs=[run(str(one), one) for one in params],
    )  # fmt: skip


@pytest.mark.parametrize("params", [(20, 300_000, 30_000_000), (1_000_000, 9_000_000)])
def test_a_wide_axis_names_few_costs_and_a_narrow_one_several(params, on_entry):
    figures = []
    with on_entry(render_figure, lambda given: figures.append(given["figure"])):
        pareto_figures(compared(*params))
    axes = figures[0].axes[0]
    low, high = axes.get_xlim()
    assert 3 <= sum(low <= place <= high for place in axes.get_xticks()) <= 8


@pytest.mark.parametrize(("n_runs", "is_drawn"), [(2, False), (3, False), (4, True)])
def test_scatter_plots_need_four_runs(n_runs, is_drawn):
    found = section(compared(*(10 ** (3 + n) for n in range(n_runs))))
    assert bool(list(found.figures())) == is_drawn


def test_what_is_small_is_not_told_as_nothing():
    few, many = ([cell.text for cell in row] for row in cost_table(compared(400, 4_000_000)).rows)
    assert few[2:5] == ["400", "0.0016", "0.0012"]
    assert many[3:5] == ["16.0", "12.00"]


def test_differences_and_p_values_as_text():
    assert difference_text(Metric(value=0.05, low=-0.011, high=0.1)) == "+0.050 (−0.011 to +0.100)"
    assert difference_text(Metric(value=0.05)) == "+0.050"
    assert signed(-0.0001) == "0.000"
    assert (p_text(0.0004), p_text(0.05), p_text(None)) == ("<0.001", "0.050", "—")
