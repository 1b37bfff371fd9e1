"""Dot-and-interval charts hold all that they draw."""

from matplotlib.axes import Axes

from eosin.artifacts.metrics import Metric
from eosin.reporting.sections.results import Series, interval_figure


def test_a_metric_below_zero_lies_inside_the_axis(on_entry):
    ends = []  # of the axes, as they are set last

    def note(given):
        if isinstance(given["left"], float):
            ends.append(given["left"])

    metrics = {
        "auc": Metric(value=0.4, low=0.1, high=0.8),
        "mcc": Metric(value=-0.126, low=-0.475, high=0.258),
    }
    with on_entry(Axes.set_xlim, note):
        assert interval_figure([Series("one", metrics)], name="x", caption="y")
        assert interval_figure([Series("one", metrics)], name="x", caption="y", only=["auc"])
    assert min(ends) < -0.475
    assert -0.1 < ends[-1] <= 0.1
