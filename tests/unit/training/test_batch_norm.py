"""Batch-norm's statistics before an evaluation: whose they are, and that resuming keeps them."""

from contextlib import suppress

import numpy as np
import pytest
import torch
from tests.facts import same_history
from torch import nn

from eosin.images.preprocess import make_preprocessing
from eosin.training.batch_norm import estimating
from eosin.training.data import RECALIBRATED
from eosin.training.loader import InputScaling

SECTION = {"batch_norm": "recalibrated", "batch_size": 11}


@pytest.fixture
def noisy_network():
    """Dropout before batch-norm, as in P1: the noise widens what batch-norm sees."""

    def make(seed=0):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(192, 16), nn.Dropout(0.7), nn.BatchNorm1d(16), nn.Linear(16, 2)
        )

    return make


def clean_statistics(network, part):
    """Mean and variance of what reaches the batch-norm, in one go over the whole part."""
    scale = InputScaling(make_preprocessing("unit", part.images.shape[1]))
    with torch.no_grad():
        into = network[1](network[0](scale(torch.from_numpy(part.images))))
    return into.mean(dim=0), into.var(dim=0)


def test_statistics_are_those_of_training_images_without_noise(
    train_tiny, noisy_network, make_part
):
    trained, _ = train_tiny("a", network=noisy_network(), policy="p1", **SECTION)
    mean, variance = clean_statistics(trained, make_part(0, 33))
    torch.testing.assert_close(trained[3].running_mean, mean, rtol=1e-4, atol=1e-5)
    # Variances of batches of eleven, averaged: not that of all 33, but no dropout's either.
    torch.testing.assert_close(trained[3].running_var, variance, rtol=0.3, atol=0.0)
    running, _ = train_tiny("b", network=noisy_network(), policy="p1", batch_size=11)
    assert (running[3].running_var > 1.5 * trained[3].running_var).all()


def test_every_image_counts_the_same_in_a_last_batch_that_is_small(
    train_tiny, noisy_network, make_part
):
    section = {**SECTION, "batch_size": 31}  # of 33 images
    trained, _ = train_tiny("a", network=noisy_network(), **section)
    mean, _ = clean_statistics(trained, make_part(0, 33))
    torch.testing.assert_close(trained[3].running_mean, mean, rtol=1e-4, atol=1e-5)


def test_training_itself_is_not_touched(train_tiny, noisy_network):
    a, _ = train_tiny("a", network=noisy_network(), epochs=1, **SECTION)
    b, _ = train_tiny("b", network=noisy_network(), epochs=1, batch_size=11)
    for first, second in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(first, second)


def test_everything_but_the_statistics_stays_as_it_was(noisy_network):
    network = noisy_network().eval()
    network[3].momentum = 0.3
    with estimating(network):
        assert [layer.training for layer in network] == [False, False, False, True, False]
        network(torch.rand(4, 3, 8, 8))
        network(torch.rand(8, 3, 8, 8))
    assert network[3].momentum == 0.3
    assert not any(layer.training for layer in network.modules())


def test_momentum_comes_back_after_a_failure(noisy_network):
    network = noisy_network().eval()
    with suppress(RuntimeError), estimating(network):
        network(torch.rand(4, 5))
    assert network[3].momentum == 0.1
    assert not network[3].training


def test_few_of_many_images_the_same_at_every_evaluation(train_tiny, noisy_network, make_part):
    part, seen = make_part(0, RECALIBRATED + 100), []

    class Watching(nn.Flatten):
        def forward(self, images):
            if not self.training and len(images) == 256:
                seen.append(np.round(images.detach().numpy() * 255).astype(np.uint8))
            return super().forward(images)

    network = noisy_network()
    network[0] = Watching()
    section = {**SECTION, "epochs": 2, "batch_size": 256}
    train_tiny("a", network=network, changed={"train": part}, **section)
    known = {image.tobytes() for image in part.images.transpose(0, 3, 1, 2)}
    first, second = np.split(np.concatenate(seen), 2)
    assert len({image.tobytes() for image in first} & known) == RECALIBRATED
    np.testing.assert_array_equal(first, second)


class Cut(Exception):  # noqa: N818 -- a power cut is no error
    """The power fails."""


def test_a_resumed_training_ends_where_a_straight_one_does(train_tiny, noisy_network, same_weights):
    rows = []

    def cut(row):
        rows.append(row)
        if len(rows) == 2:
            raise Cut

    straight, run = train_tiny("straight", network=noisy_network(), **SECTION)
    with pytest.raises(Cut):
        train_tiny("cut", network=noisy_network(), on_row=cut, **SECTION)
    resumed, other = train_tiny("cut", network=noisy_network(9), **SECTION)
    assert same_weights(straight, resumed)
    assert same_history(run.history, other.history)
