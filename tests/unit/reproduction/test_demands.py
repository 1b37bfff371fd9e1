"""Requirements of a paper: met or not, with the interval and with what differs."""

from dataclasses import dataclass, field

import pytest
from tests.facts import tells

from eosin.artifacts.metrics import Metric
from eosin.papers import Demand, read_paper
from eosin.reproduction import values
from eosin.reproduction.values import check_demand, evaluate_items


@dataclass
class Finished:
    """An outcome whose run measures what a test says."""

    run: Metric
    differs: dict = field(default_factory=dict)


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setattr(values, "measure", lambda run, quantity: run)

    def check(outcomes, **limits):
        demand = Demand(name="a", place="b", experiment="light", quantity="recall", **limits)
        found = {(name, "strict"): outcome for name, outcome in outcomes.items()}
        return check_demand(demand, found).strict

    return check


def recall(value, low, high):
    return Finished(Metric(value=value, low=low, high=high))


def test_a_limit_outside_the_interval_is_met_or_not(strict):
    assert tells(strict({"light": recall(0.95, 0.92, 0.97)}, above=0.9), "met", "95.0 %", "92.0")
    assert strict({"light": recall(0.85, 0.82, 0.88)}, above=0.9).startswith("not met")


def test_a_limit_inside_the_interval_is_within_noise(strict):
    found = strict({"light": recall(0.906, 0.84, 0.94)}, above=0.9)
    assert tells(found, "met", "within noise", "90.6 %", "84.0", "94.0")
    missed = strict({"light": recall(0.88, 0.84, 0.94)}, above=0.9)
    assert tells(missed, "not met", "within noise")


def test_what_differs_is_named_of_all_that_are_compared(strict):
    light = Finished(Metric(value=1.0), {"epochs": "few"})
    large = Finished(Metric(value=10.0), {"size": "64 px"})
    found = strict({"light": light, "large": large}, against=("large",), less_by=0.5)
    assert tells(found, "met", "90 %", "epochs", "size")


def test_a_value_that_the_paper_does_not_print_has_no_unit_alone():
    paper = read_paper("P2")
    item = next(one for one in paper.items if any(not c.printed and c.unit for c in one.cells))
    for found in evaluate_items(paper, [item], {}, "quick"):
        assert found.printed == "" or found.printed[0].isdigit()
