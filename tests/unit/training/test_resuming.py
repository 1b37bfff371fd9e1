"""Seeds, and a training that was cut off: on the CPU the weights are equal to the bit."""

import numpy as np
import pytest
import torch

from eosin.artifacts.predictions import read_history


class Cut(Exception):  # noqa: N818 -- a power cut is no error
    """The power fails."""


@pytest.fixture
def cut_at():
    """A function from an evaluation to a listener that cuts the training off there."""

    def make(evaluation):
        rows = []

        def listen(row):
            rows.append(row)
            if len(rows) == evaluation:
                raise Cut

        return listen

    return make


def test_the_same_seed_gives_the_same_weights(train_tiny, same_weights):
    first, _ = train_tiny("a")
    torch.rand(5)  # somebody else draws from the process's generator
    second, _ = train_tiny("b")
    assert same_weights(first, second)


def test_another_seed_gives_others(train_tiny, same_weights):
    first, _ = train_tiny("a")
    second, _ = train_tiny("b", changed={"seed": 8})
    assert not same_weights(first, second)


SCHEDULES = {
    "constant": {},
    "step": {"schedule": {"name": "step", "every": 3}},
    "plateau": {"schedule": {"name": "plateau", "patience": 0}},
    "cosine": {"schedule": {"name": "cosine"}},
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(
    ("batch_size", "evaluations", "cut"),
    [
        (8, 1, 3),
        (8, 2, 6),
        (7, 2, 6),  # five steps an epoch: the last one comes after the last evaluation
    ],
)
def test_a_resumed_training_ends_where_a_straight_one_does(
    train_tiny, cut_at, make_network, same_weights, name, batch_size, evaluations, cut
):
    section = {**SCHEDULES[name], "evaluations_per_epoch": evaluations}
    section["batch_size"] = batch_size
    straight, run = train_tiny("straight", **section)
    with pytest.raises(Cut):
        train_tiny("cut", on_row=cut_at(cut), **section)
    resumed, resumed_run = train_tiny("cut", network=make_network(99), **section)
    assert same_weights(straight, resumed)
    history, resumed_history = read_history(run.history), read_history(resumed_run.history)
    assert len(history) == 4 * evaluations
    np.testing.assert_array_equal(history, resumed_history)
    last, resumed_last = (
        torch.load(folder.last_checkpoint, weights_only=True)["state_dict"]
        for folder in (run, resumed_run)
    )
    assert all(torch.equal(last[key], resumed_last[key]) for key in last)


def test_augmentation_goes_on_where_it_was(train_tiny, cut_at, same_weights):
    straight, _ = train_tiny("straight", policy="p3")
    with pytest.raises(Cut):
        train_tiny("cut", on_row=cut_at(2), policy="p3")
    resumed, _ = train_tiny("cut", policy="p3")
    assert same_weights(straight, resumed)


def test_a_finished_training_is_not_trained_on(train_tiny, same_weights, make_network):
    finished, run = train_tiny("a")
    rows = []
    again, _ = train_tiny("a", network=make_network(99), on_row=rows.append)
    assert rows == []
    assert same_weights(finished, again)
    assert len(read_history(run.history)) == 4


def test_a_training_that_stopped_early_stays_stopped(train_tiny, same_weights, make_network):
    # A rate of almost nothing: nothing is gained after the first evaluation or two.
    section = {"epochs": 30, "patience": 2, "lr": 1e-12, "evaluations_per_epoch": 2}
    stopped, run = train_tiny("a", **section)
    count = len(read_history(run.history))
    assert count < 60
    rows = []
    again, _ = train_tiny("a", network=make_network(99), on_row=rows.append, **section)
    assert rows == []
    assert same_weights(stopped, again)
    assert len(read_history(run.history)) == count


def test_ctrl_c_is_a_keyboard_interrupt_and_can_be_resumed(train_tiny, same_weights):
    straight, _ = train_tiny("straight")

    def press(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tiny("cut", on_row=press)
    resumed, _ = train_tiny("cut")
    assert same_weights(straight, resumed)
