"""What fine-tuning trains in which epoch, how fast, and what a frozen backbone saves."""

import numpy as np
import pytest
import torch
from tests.facts import same_history
from torch import nn

from eosin.artifacts.predictions import read_history
from eosin.networks.registry import count_params
from eosin.recipe.schema import TrainSection
from eosin.training.data import needs_features_only
from eosin.training.features import fit_head
from eosin.training.optimisers import make_optimizer
from eosin.training.pytorch import fit
from eosin.training.tuning import Tuning

STAGES = {"stem": "0", "middle": "2", "head": "5"}


@pytest.fixture
def make_staged():
    """A function to a small network of three stages."""

    def make(seed=0):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.Conv2d(4, 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * 16, 2),
        )

    return make


def test_stages_thaw_from_the_head_towards_the_input(make_staged):
    tuning = Tuning(STAGES, "backbone", unfreeze_every=2)
    cuts = [tuning.cut(make_staged(), epoch) for epoch in range(7)]
    assert cuts == ["5", "5", "2", "2", None, None, None]
    inside = Tuning(STAGES, "before:3", unfreeze_every=1)  # first the rest of the cut stage
    assert [inside.cut(make_staged(), epoch) for epoch in range(3)] == ["3", "2", None]


def test_without_thawing_the_cut_stays(make_staged):
    assert [Tuning(STAGES, "before:middle").cut(make_staged(), e) for e in (0, 9)] == ["2", "2"]
    assert Tuning(STAGES).cut(make_staged(), 0) is None


def test_rates_fall_from_stage_to_stage(make_staged):
    network = make_staged()
    section = TrainSection(lr=0.1)
    optimizer = make_optimizer(network, section, Tuning(STAGES, layer_decay=0.5))
    rates = {id(w): group["lr"] for group in optimizer.param_groups for w in group["params"]}
    assert optimizer.param_groups[0]["lr"] == 0.1  # history tells the head's
    assert rates[id(network[5].weight)] == 0.1
    assert rates[id(network[2].weight)] == 0.05
    assert rates[id(network[0].weight)] == rates[id(network[1].weight)] == 0.025


def test_frozen_weights_and_statistics_stay(train_tiny, make_staged):
    before = make_staged().state_dict()
    changed = {"tuning": Tuning(STAGES, "before:middle")}
    trained, _ = train_tiny("a", network=make_staged(), changed=changed)
    for key, value in trained.state_dict().items():
        assert torch.equal(value, before[key]) == key.startswith(("0.", "1.")), key


def test_what_no_training_has_included_is_trained_before_the_cut(train_tiny, make_staged):
    before = make_staged().state_dict()
    untrained = ("0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var")
    tuning = Tuning(STAGES, "backbone", untrained=untrained, layer_decay=0.5)
    trained, _ = train_tiny("a", network=make_staged(), changed={"tuning": tuning})
    for key, value in trained.state_dict().items():
        kept = key in {"0.weight", "2.weight", "2.bias"}
        assert torch.equal(value, before[key]) == kept, key


def test_thawed_weights_move_from_their_epoch_on(train_tiny, make_staged):
    before = make_staged().state_dict()
    trained, _ = train_tiny(
        "a",
        network=make_staged(),
        changed={"tuning": Tuning(STAGES, "backbone", unfreeze_every=1)},
        epochs=2,
        monitor="val_loss",
    )
    moved = {
        key for key, value in trained.state_dict().items() if not torch.equal(value, before[key])
    }
    assert {"5.weight", "2.weight"} <= moved
    assert not moved & {"0.weight", "1.running_mean"}


def test_what_was_trained_is_counted_after_the_end_too(train_tiny, make_staged):
    changed = {"tuning": Tuning(STAGES, "backbone", unfreeze_every=1)}
    trained, _ = train_tiny("a", network=make_staged(), changed=changed, epochs=2)
    again, _ = train_tiny("a", network=make_staged(9), changed=changed, epochs=2)
    counts = [count_params(network, trained_only=True) for network in (trained, again)]
    assert counts == [count_params(trained) - count_params(trained[:2])] * 2


def test_a_resumed_thawing_ends_where_a_straight_one_does(train_tiny, make_staged, same_weights):
    class Cut(Exception):  # noqa: N818 -- a power cut is no error
        pass

    rows = []

    def cut(row):
        rows.append(row)
        if len(rows) == 2:
            raise Cut

    changed = {"tuning": Tuning(STAGES, "backbone", unfreeze_every=1, layer_decay=0.5)}
    straight, run = train_tiny("straight", network=make_staged(), changed=changed)
    with pytest.raises(Cut):
        train_tiny("cut", network=make_staged(), changed=changed, on_row=cut)
    resumed, other = train_tiny("cut", network=make_staged(9), changed=changed)
    assert same_weights(straight, resumed)
    assert same_history(run.history, other.history)


@pytest.fixture
def head_inputs(train_tiny):
    """A function to the inputs of a tiny training, and its folder; keywords change the tuning."""

    def make(name, policy="none", **tuning):
        return train_tiny.inputs(policy, tuning=Tuning(STAGES, **tuning)), train_tiny.folder(name)

    return make


@pytest.mark.parametrize(
    ("policy", "tuning", "expected"),
    [
        ("none", {"freeze": "backbone"}, True),
        ("none", {"freeze": "before:head"}, True),
        ("p1", {"freeze": "backbone"}, False),
        ("none", {"freeze": "before:middle"}, False),
        ("none", {}, False),
        ("none", {"freeze": "backbone", "unfreeze_every": 1}, False),
        ("none", {"freeze": "backbone", "untrained": ("0.bias",)}, False),
    ],
)
def test_features_are_kept_only_where_they_cannot_change(head_inputs, policy, tuning, expected):
    inputs, _ = head_inputs("a", policy, **tuning)
    assert needs_features_only(inputs) is expected


def test_a_head_on_kept_features_is_trained_as_one_on_images(head_inputs, make_staged):
    inputs, run = head_inputs("kept", freeze="backbone")
    _, other = head_inputs("images", freeze="backbone")
    section = TrainSection(epochs=4, batch_size=8, lr=0.01)
    kept = fit_head(make_staged(), section, inputs, run)
    whole = fit(make_staged(), section, inputs, other)
    for key, value in kept.state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[key], rtol=1e-4, atol=1e-6)
    trained = [[w.requires_grad for w in network.parameters()] for network in (kept, whole)]
    assert trained[0] == trained[1]
    assert 0 < sum(trained[0]) < len(trained[0])
    histories = [read_history(folder.history)["val_loss"] for folder in (run, other)]
    np.testing.assert_allclose(*histories, rtol=1e-5)


def test_the_images_are_seen_once_however_many_epochs(head_inputs, make_staged):
    inputs, run = head_inputs("a", freeze="backbone")
    network, seen = make_staged(), []
    network[0].register_forward_pre_hook(lambda _m, given: seen.append(len(given[0])))
    fit_head(network, TrainSection(epochs=30, batch_size=8), inputs, run)
    assert sum(seen) == len(inputs.train) + len(inputs.val)
    assert len(read_history(run.history)) == 30
