"""Loss, penalty and scores of a batch in PyTorch, by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from eosin.artifacts.predictions import read_history
from eosin.augment import POLICIES
from eosin.core.types import DeviceSettings
from eosin.images.preprocess import make_preprocessing, to_input
from eosin.recipe.schema import TrainSection
from eosin.runtime.device import choose_device_settings
from eosin.training.data import FitInputs, ImagePart
from eosin.training.pytorch import TorchLearner

SINGLE = 1e-6  # of numbers around 1, in float32


class Fixed(nn.Module):
    """Says the same logits whatever it sees."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images):
        return self.logits[: len(images)]


def part(targets, value=0):
    images = np.full((len(targets), 2, 2, 3), value, dtype=np.uint8)
    return ImagePart(images, np.array(targets, dtype=np.int64))


@pytest.fixture
def make_learner():
    """A function from a network, the classes of its images and a training section to a learner."""

    def make(network, train=(), val=(), value=0, policy="none", backend=None, **section):
        parts = [one if isinstance(one, ImagePart) else part(one, value) for one in (train, val)]
        inputs = FitInputs(
            train=parts[0],
            val=parts[1],
            preprocessing=make_preprocessing("unit", 2),
            policy=POLICIES.get(policy),
            positive=1,
            n_classes=2,
            seed=0,
            device_settings=choose_device_settings("cpu", "32-true", None),
        )
        return TorchLearner(network, TrainSection(**section), inputs, backend=backend)

    return make


def step(learner, n_images):
    """Train on the first images; return the mean loss."""
    learner.begin_epoch(0)
    return learner.step(learner.read(list(range(n_images)), 0), 0)[2]


def test_class_weights_count_in_the_loss(make_learner):
    # One of three and two of three images: weights 3/2 and 3/4.
    learner = make_learner(
        Fixed([[0.0, 0.0], [0.0, 2.0]]), [0, 1, 1], [0, 1], class_weights="balanced"
    )
    expected = (1.5 * math.log(2) + 0.75 * math.log(1 + math.exp(-2))) / 2.25
    assert learner.evaluate().scores(1)["loss"] == pytest.approx(expected, abs=SINGLE)


def test_training_and_validation_share_the_recipe_s_loss(make_learner):
    # p = 1/2: (1/2)² · ln 2.
    learner = make_learner(Fixed([[0.0, 0.0]]), [0], [0], loss="focal")
    assert learner.evaluate().scores(1)["loss"] == pytest.approx(math.log(2) / 4, abs=SINGLE)
    assert step(learner, 1) == pytest.approx(math.log(2) / 4, abs=SINGLE)


def test_the_penalty_of_p3(make_learner):
    """λ / (2 · batch) · Σ w² pulls weights, but neither biases nor batch-norm's scale."""
    gradients = []
    for l2 in (0.0, 0.5):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 2)
        )
        before = [weight.detach().clone() for weight in network.parameters()]
        step(make_learner(network, [0, 1], l2=l2, value=9), 2)
        gradients.append([weight.grad for weight in network.parameters()])
    for plain, penalised, weight in zip(*gradients, before, strict=True):
        pull = 0.5 / 2 * weight if weight.ndim > 1 else torch.zeros_like(weight)
        torch.testing.assert_close(penalised - plain, pull)


def test_scores_by_hand(make_learner):
    logits = [[2.0, 0.0], [0.0, 2.0], [0.0, 1.0], [1.0, 0.0]]
    scores = make_learner(Fixed(logits), [0], [0, 1, 0, 1]).evaluate().scores(1)
    assert (scores["accuracy"], scores["precision"], scores["recall"]) == (0.5, 0.5, 0.5)
    assert scores["auc"] == 0.75  # three of four pairs are in order


def test_all_batches_of_an_evaluation_count(make_learner):
    learner = make_learner(Fixed([[0.0, 2.0]] * 3), [0], [1, 1, 1, 0, 0], batch_size=3)
    assert learner.evaluate().scores(1)["accuracy"] == 0.6
    assert learner.evaluate().scores(1)["accuracy"] == 0.6


def test_what_is_undefined_is_none(make_learner):
    scores = make_learner(Fixed([[2.0, 0.0]] * 2), [0], [0, 0]).evaluate().scores(1)
    assert (scores["auc"], scores["recall"], scores["accuracy"]) == (None, None, 1.0)


def test_validation_is_never_augmented_and_training_is(make_learner):
    seen = []

    class Look(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(2))

        def forward(self, images):
            seen.append(images.clone())
            return images.mean(dim=(2, 3))[:, :2] * self.factor

    images = np.arange(48, dtype=np.uint8).reshape(4, 2, 2, 3)
    both = ImagePart(images, np.array([0, 1, 0, 1]))
    learner = make_learner(Look(), both, both, policy="p3")
    learner.evaluate()
    step(learner, 4)
    plain = torch.from_numpy(to_input(images, make_preprocessing("unit", 2)))
    assert torch.equal(seen[0], plain)
    assert not torch.allclose(seen[1], plain)
    step(make_learner(Look(), both, both), 4)
    assert torch.equal(seen[2], plain)


@pytest.mark.parametrize(("monitor", "worse"), [("val_loss", 1.0), ("val_auc", -1.0)])
def test_a_plateau_knows_which_way_is_up(make_learner, monitor, worse):
    schedule = {"name": "plateau", "patience": 0, "factor": 0.5}
    rates = []
    for gain in (-worse, worse):
        learner = make_learner(Fixed([[0.0, 0.0]]), [0], monitor=monitor, schedule=schedule, lr=0.1)
        learner.step_schedule(0.0)
        learner.step_schedule(gain)
        rates.append(learner.lr)
    assert rates == [0.1, 0.05]


def test_weights_in_a_checkpoint_are_the_network_s_alone(make_learner, tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    make_learner(network, [0]).save(tmp_path / "last.ckpt", {})
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert set(saved["state_dict"]) == {"1.weight", "1.bias"}


def test_a_compiled_network_learns_and_is_saved_as_the_plain_one(make_learner):
    seen, losses = [], []

    def trace(graph, _examples):
        seen.append(graph)
        return graph.forward

    for backend in (None, trace):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        losses.append(step(make_learner(network, [0, 1, 1], value=7, backend=backend), 3))
        assert network[1].weight.grad.abs().sum() > 0
        assert set(network.state_dict()) == {"1.weight", "1.bias"}
    assert losses[0] == losses[1]
    assert len(seen) == 1


def test_half_precision_scales_its_gradients_and_learns_the_same(train_tiny):
    half = DeviceSettings("cpu", "16-mixed", "cpu")
    losses = []
    for changed in ({}, {"device_settings": half}):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        _, run = train_tiny(str(len(losses)), network=network, changed=changed, epochs=6)
        losses.append(read_history(run.history)["loss"].to_numpy())
        scaler = torch.load(run.last_checkpoint, weights_only=True)["scaler"]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    assert scaler["scale"] > 1
    assert np.ptp(losses[0]) > 0.05
