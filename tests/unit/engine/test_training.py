"""Training: the same twice, counted in evaluations, left in its best state."""

import numpy as np
import pytest

from eosin.core.errors import RecipeError
from eosin.engine import (
    SGD,
    Adam,
    Dense,
    Dropout,
    Flatten,
    Network,
    Plan,
    ReLU,
    Schedule,
    evaluate,
    shuffled,
)

SHAPE = (3, 3, 1)


def make(seed=0):
    return Network([Flatten(), Dense(8), ReLU(), Dropout(0.2), Dense(2)], SHAPE, seed=seed)


def examples(count):
    random = np.random.default_rng(0)
    targets = random.integers(2, size=count)
    images = random.standard_normal((count, *SHAPE)) + 2 * targets[:, None, None, None]
    return images.astype(np.float32), targets


def train(seed=0, **plan):
    images, targets = examples(50)
    network = make(seed)
    rows = network.fit(
        shuffled(images, targets, 8, seed),  # six batches of 8 and one of 2
        Adam(0.01),
        Plan(epochs=6, steps=7, **plan),
        evaluate=lambda found: evaluate(found, images, targets),
    )
    return network, rows


def test_the_same_seed_gives_the_same_weights_and_history():
    (one, rows), (two, again), (other, _) = train(), train(), train(seed=1)
    assert rows == again
    assert all(np.array_equal(one.state[name], value) for name, value in two.state.items())
    assert not np.array_equal(one.state["dense1.weight"], other.state["dense1.weight"])


def test_a_network_learns_what_can_be_learnt():
    _, rows = train()
    assert rows[-1]["val_accuracy"] > 0.95
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.parametrize(
    ("evaluations", "after"), [(1, [7]), (3, [3, 5, 7]), (7, [*range(1, 8)]), (20, [*range(1, 8)])]
)
def test_an_epoch_has_as_many_evaluations_as_planned(evaluations, after):
    _, rows = train(evaluations=evaluations)
    expected = [(epoch, 7 * epoch + step) for epoch in range(6) for step in after]
    assert [(row["epoch"], row["step"]) for row in rows] == expected


def test_history_tells_the_batches_since_the_last_evaluation():
    images, targets = examples(10)
    network, seen = make(), []
    rows = network.fit(
        lambda _: [(images[:8], targets[:8]), (images[8:], targets[8:])],
        SGD(0.0),
        Plan(1, 2),
        evaluate=lambda _: {"val_loss": 1.0},
        on_step=lambda logits, wanted: seen.append((logits.argmax(axis=1) == wanted).tolist()),
    )
    assert [len(hits) for hits in seen] == [8, 2]
    assert rows[0]["accuracy"] == pytest.approx(np.mean([*seen[0], *seen[1]]))
    assert rows[0].keys() == {"step", "epoch", "lr", "loss", "accuracy", "val_loss"}


def fit_scripted(scores, *, monitor="val_loss", **plan):
    """A training whose evaluations give what is written, and its state at each."""
    images, targets = examples(8)
    network, result, states = make(), iter(scores), []

    def evaluate(found):
        states.append(found.state["dense1.weight"].copy())
        return {monitor: next(result)}

    rows = network.fit(
        lambda _: [(images, targets)] * 4,
        SGD(0.1),
        Plan(epochs=3, steps=4, evaluations=4, monitor=monitor, **plan),
        evaluate=evaluate,
    )
    return network, rows, states


def test_training_stops_after_evaluations_without_gain_and_keeps_the_best():
    scores = [3.0, 2.0, 2.0, np.nan, 1.0, 1.5, 1.2, 1.1, 0.1]
    network, rows, states = fit_scripted(scores, patience=3)
    assert len(rows) == 8  # the fifth is the best, and three follow
    assert np.array_equal(network.state["dense1.weight"], states[4])


def test_more_accuracy_is_better_and_a_first_score_that_is_no_number_is_none():
    scores = [np.nan, 0.5, 0.9, *[0.6] * 9]
    network, rows, states = fit_scripted(scores, monitor="val_accuracy")
    assert len(rows) == 12
    assert np.array_equal(network.state["dense1.weight"], states[2])


def test_the_rate_drops_every_so_many_evaluations():
    _, rows, _ = fit_scripted([1.0] * 12, schedule=Schedule(factor=0.5, every=5))
    assert [row["lr"] for row in rows] == [0.1] * 5 + [0.05] * 5 + [0.025] * 2


def test_a_score_that_nobody_tells_is_refused():
    with pytest.raises(RecipeError, match="'val_f1', only step, epoch"):
        train(monitor="val_f1")
