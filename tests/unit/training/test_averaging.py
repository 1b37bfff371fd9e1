"""Averaged weights: their values by hand, and that they are what is evaluated and kept."""

import numpy as np
import pytest
import torch

from eosin.artifacts.predictions import read_history
from eosin.images.preprocess import make_preprocessing
from eosin.recipe.schema import TrainSection
from eosin.training.checkpoints import load_tensors
from eosin.training.loader import InputScaling
from eosin.training.pytorch import TorchLearner
from eosin.training.sampler import make_batches
from eosin.training.tuning import Tuning

SINGLE = {"rtol": 1e-5, "atol": 1e-6}  # sums in single precision, in another order
STAGES = {"stem": "0", "head": "5"}


@pytest.fixture
def learn(train_tiny, make_network, tmp_path):
    """A function that trains some epochs step by step.

    It returns the learner, the weights after each step and each epoch, and what would be kept.
    """

    def run(epochs=2, changed=None, **section):
        section = TrainSection(epochs=epochs, batch_size=8, lr=0.01, **section)
        inputs = train_tiny.inputs("p1", **(changed or {}))
        learner = TorchLearner(make_network(), section, inputs)
        batches = make_batches(inputs.train.targets, section, inputs.seed)
        steps, ends = [], []
        for epoch in range(epochs):
            learner.begin_epoch(epoch)
            for rows in batches.of(epoch):
                learner.step(learner.read(rows, epoch), len(steps))
                steps.append(copied(learner.network.state_dict()))
            tally = learner.evaluate()
            ends.append(steps[-1])
        learner.save_weights(tmp_path / "kept.safetensors")
        return learner, tally, steps, ends, load_tensors(tmp_path / "kept.safetensors")

    return run


def copied(state):
    return {key: value.clone() for key, value in state.items()}


def floats(state):
    return [key for key, value in state.items() if value.is_floating_point()]


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_ema_by_hand(learn, decay):
    *_, steps, _, kept = learn(weight_averaging="ema", ema_decay=decay)
    wanted = {key: steps[0][key].double() for key in floats(steps[0])}
    for number, step in enumerate(steps[1:], start=1):
        now = min(decay, (1 + number) / (10 + number))
        wanted = {key: now * mean + (1 - now) * step[key] for key, mean in wanted.items()}
    assert kept.keys() == steps[0].keys()
    for key, mean in wanted.items():  # batch-norm's statistics among them
        torch.testing.assert_close(kept[key].double(), mean, **SINGLE)
    assert any(not torch.allclose(kept[key], steps[-1][key]) for key in wanted)


def test_without_decay_it_is_the_last_step(train_tiny, same_weights):
    plain, run = train_tiny("plain")
    average, other = train_tiny("ema", weight_averaging="ema", ema_decay=0.0)
    assert same_weights(plain, average)
    columns = ["loss", "val_loss", "val_auc"]
    np.testing.assert_array_equal(
        read_history(run.history)[columns], read_history(other.history)[columns]
    )


def test_swa_is_the_mean_of_the_last_quarter_with_its_own_batch_norm(learn, make_part):
    learner, *_, ends, kept = learn(epochs=8, weight_averaging="swa")
    for key, _ in learner.network.named_parameters():
        wanted = torch.stack([ends[number][key] for number in (6, 7)]).mean(dim=0)
        torch.testing.assert_close(kept[key], wanted, **SINGLE)
    first, relu, norm = learner.network[0], learner.network[1], learner.network[2]
    first.load_state_dict({"weight": kept["0.weight"], "bias": kept["0.bias"]})
    scale = InputScaling(make_preprocessing("unit", 8))
    with torch.inference_mode():
        reached = relu(first(scale(torch.from_numpy(make_part(0, 33).images))))
    torch.testing.assert_close(kept["2.running_mean"], reached.mean(dim=(0, 2, 3)), **SINGLE)
    assert not torch.allclose(kept["2.running_mean"], norm.running_mean, **SINGLE)


def test_before_the_last_quarter_swa_evaluates_the_network_itself(train_tiny):
    section = {"epochs": 8}
    _, run = train_tiny("plain", **section)
    _, other = train_tiny("swa", weight_averaging="swa", **section)
    before, after = read_history(run.history), read_history(other.history)
    columns = ["loss", "val_loss"]
    np.testing.assert_array_equal(before[columns][:6], after[columns][:6])
    assert (before["val_loss"][6:] != after["val_loss"][6:]).all()
    # The training itself is the same.
    np.testing.assert_array_equal(before["loss"], after["loss"])


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_what_is_evaluated_is_what_is_kept(learn, make_network, make_part, kind):
    learner, tally, *_, kept = learn(weight_averaging=kind)
    network = make_network().eval()
    network.load_state_dict(kept)
    scale = InputScaling(make_preprocessing("unit", 8))
    with torch.inference_mode():
        logits = network(scale(torch.from_numpy(make_part(1, 12).images)))
    np.testing.assert_allclose(tally.state()["logits"], logits.numpy(), **SINGLE)
    assert learner.network.training


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_frozen_layers_and_their_statistics_stay(learn, make_network, kind):
    changed = {"tuning": Tuning(STAGES, "backbone")}
    *_, kept = learn(changed=changed, weight_averaging=kind)
    frozen = [key for key in kept if not key.startswith("5.")]
    before = make_network().state_dict()
    assert all(torch.equal(kept[key], before[key]) for key in frozen)
    assert not torch.equal(kept["5.weight"], before["5.weight"])
