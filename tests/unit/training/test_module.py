"""Loss, penalty and scores of a batch, by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from eosin.augment import POLICIES
from eosin.images.preprocess import make_preprocessing
from eosin.recipe.schema import TrainSection
from eosin.runtime.device import choose_device_settings
from eosin.training.data import FitInputs, ImagePart
from eosin.training.module import ClassifierModule

SINGLE = 1e-6  # of numbers around 1, in float32


class Fixed(nn.Module):
    """Says the same logits whatever it sees."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images):
        return self.logits[: len(images)]


@pytest.fixture
def make_module():
    """A function from a network and a training section to the module under test."""

    def make(network, weights=(1.0, 1.0), policy="none", positive=1, backend=None, **section):
        nothing = ImagePart(np.zeros((0, 2, 2, 3), np.uint8), np.zeros(0, np.int64))
        inputs = FitInputs(
            train=nothing,
            val=nothing,
            preprocessing=make_preprocessing("unit", 2),
            policy=POLICIES.get(policy),
            positive=positive,
            n_classes=len(weights),
            seed=0,
            device_settings=choose_device_settings("cpu", "32-true", None),
        )
        module = ClassifierModule(
            network,
            TrainSection(**section),
            inputs,
            class_weights=np.array(weights),
            evaluations=1,
            backend=backend,
        )
        # Outside a trainer there is no epoch and no step.
        module.trainer = None
        return module

    return make


def batch(targets, value=0):
    n = len(targets)
    images = torch.full((n, 2, 2, 3), value, dtype=torch.uint8)
    return images, torch.tensor(targets), torch.arange(n)


def test_class_weights_count_in_the_loss(make_module):
    # ln 2 and ln(1 + e²) − 2 … each weighted, divided by the sum of the weights.
    module = make_module(Fixed([[0.0, 0.0], [0.0, 2.0]]), weights=(3.0, 1.0))
    module.validation_step(batch([0, 1]), 0)
    expected = (3 * math.log(2) + math.log(1 + math.exp(-2))) / 4
    assert module.take_scores()["val_loss"] == pytest.approx(expected, abs=SINGLE)


def test_training_and_validation_share_the_recipe_s_loss(make_module):
    # p = 1/2: (1/2)² · ln 2.
    module = make_module(Fixed([[0.0, 0.0]]), loss="focal")
    module.validation_step(batch([0]), 0)
    scores = module.take_scores()
    assert scores["val_loss"] == pytest.approx(math.log(2) / 4, abs=SINGLE)
    trained = module.training_step(batch([0]), 0)
    assert trained.item() == pytest.approx(math.log(2) / 4, abs=SINGLE)


def test_the_penalty_of_p3(make_module):
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight.fill_(2.0)  # 3 weights: 12
        network[0].bias.fill_(100.0)
        network[1].weight.fill_(100.0)
        network[3].weight.fill_(-1.0)  # 8 weights: 8
        network[3].bias.fill_(100.0)
    module = make_module(network, l2=0.1)
    # λ / (2 · batch) · Σ w², without biases and batch-norm
    assert module._penalty(4).item() == pytest.approx(0.1 / 8 * 20, abs=SINGLE)
    plain = make_module(network, l2=0.0)
    penalised, bare = (
        module.training_step(batch([0, 1], 9), 0),
        plain.training_step(batch([0, 1], 9), 0),
    )
    assert (penalised - bare).item() == pytest.approx(0.1 / 4 * 20, abs=1e-3)  # of a loss of 100s


def test_the_penalty_pulls_weights_to_zero(make_module):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    module = make_module(network, l2=0.5)
    module._penalty(2).backward()
    torch.testing.assert_close(network[1].weight.grad, 0.25 * network[1].weight)
    assert network[1].bias.grad is None


def test_the_reported_loss_is_without_the_penalty(make_module):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    module = make_module(network, l2=100.0)
    loss = module.training_step(batch([0, 1, 1], 50), 0)
    penalty = module._penalty(3).item()
    assert module.take_scores()["loss"] == pytest.approx(loss.item() - penalty, rel=1e-4)


def test_scores_by_hand(make_module):
    module = make_module(Fixed([[2.0, 0.0], [0.0, 2.0], [0.0, 1.0], [1.0, 0.0]]))
    module.validation_step(batch([0, 1, 0, 1]), 0)
    scores = module.take_scores()
    assert scores["val_accuracy"] == 0.5
    assert scores["val_precision"] == 0.5
    assert scores["val_recall"] == 0.5
    assert scores["val_auc"] == 0.75  # three of four pairs are in order
    assert scores["loss"] is None


def test_batches_are_tallied_until_the_scores_are_taken(make_module):
    module = make_module(Fixed([[0.0, 2.0], [0.0, 2.0], [0.0, 2.0]]))
    module.validation_step(batch([1, 1, 1]), 0)
    module.validation_step(batch([0]), 1)
    assert module.take_scores()["val_accuracy"] == 0.75
    module.validation_step(batch([0]), 0)
    assert module.take_scores()["val_accuracy"] == 0.0


def test_what_is_undefined_is_none(make_module):
    module = make_module(Fixed([[2.0, 0.0], [2.0, 0.0]]))
    module.validation_step(batch([0, 0]), 0)
    scores = module.take_scores()
    assert scores["val_auc"] is None
    assert scores["val_recall"] is None
    assert scores["val_accuracy"] == 1.0


def test_validation_is_never_augmented_and_training_is(make_module):
    seen = []

    class Look(nn.Module):
        def forward(self, images):
            seen.append(images.clone())
            return images.mean(dim=(2, 3))[:, :2] * torch.ones(2, requires_grad=True)

    images = torch.arange(48, dtype=torch.uint8).reshape(4, 2, 2, 3)
    given = (images, torch.tensor([0, 1, 0, 1]), torch.arange(4))
    module = make_module(Look(), policy="p3")
    module.validation_step(given, 0)
    module.training_step(given, 0)
    assert torch.equal(seen[0], module.prepare(images))
    assert not torch.allclose(seen[1], seen[0])
    make_module(Look(), policy="none").training_step(given, 0)
    assert torch.equal(seen[2], seen[0])


@pytest.mark.parametrize(
    ("monitor", "mode"), [("val_loss", "min"), ("val_accuracy", "max"), ("val_auc", "max")]
)
def test_a_plateau_knows_which_way_is_up(make_module, monitor, mode):
    module = make_module(nn.Linear(2, 2), monitor=monitor, schedule={"name": "plateau"})
    module.configure_optimizers()
    assert module.scheduler.mode == mode


def test_weights_in_a_checkpoint_are_the_network_s_alone(make_module):
    module = make_module(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    assert set(module.state_dict()) == {"network.1.weight", "network.1.bias"}


def test_a_compiled_network_learns_and_is_saved_as_the_plain_one(make_module):
    seen = []

    def trace(graph, _examples):
        seen.append(graph)
        return graph.forward

    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    plain, compiled = make_module(network), make_module(network, backend=trace)
    of = batch([0, 1, 1], value=7)
    losses = [module.training_step(of, 0) for module in (plain, compiled)]
    assert torch.equal(*losses)
    assert len(seen) == 1
    losses[1].backward()
    assert network[1].weight.grad.abs().sum() > 0
    assert compiled.state_dict().keys() == plain.state_dict().keys()
