from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from eosin.artifacts.layout import RunFolder
from eosin.augment import POLICIES
from eosin.images.preprocess import make_preprocessing
from eosin.recipe.schema import TrainSection
from eosin.runtime.device import choose_device_settings
from eosin.training.data import FitInputs, ImagePart
from eosin.training.pytorch import fit

PX = 8


def part(seed, count):
    """Noise, brighter where the class is 1."""
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    images = random.integers(0, 200, (count, PX, PX, 3)) + 40 * targets[:, None, None, None]
    return ImagePart(images.astype(np.uint8), targets)


@pytest.fixture(scope="session")
def make_part():
    """A function from a seed and a number of images to images and classes."""
    return part


@pytest.fixture
def make_network():
    """A function from a seed to a network with batch-norm and dropout."""

    def make(seed=0):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.ReLU(),
            nn.BatchNorm2d(4),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(4 * 36, 2),
        )

    return make


@pytest.fixture
def train_tiny(tmp_path, make_network):
    """A function that trains the tiny network and returns it with its run folder."""

    def make_inputs(policy, **changed):
        inputs = FitInputs(
            train=part(0, 33),
            val=part(1, 12),
            preprocessing=make_preprocessing("unit", PX),
            policy=POLICIES.get(policy),
            positive=1,
            n_classes=2,
            seed=7,
            device_settings=choose_device_settings("cpu", "32-true", None),
        )
        return replace(inputs, **changed)

    def train(name, *, network=None, on_row=None, policy="p1", changed=None, **section):
        values = {"epochs": 4, "batch_size": 8, "lr": 0.01, **section}
        run = RunFolder(tmp_path / name)
        network = make_network() if network is None else network
        trained = fit(
            network,
            TrainSection(**values),
            make_inputs(policy, **(changed or {})),
            run,
            on_row=on_row,
        )
        return trained, run

    train.inputs = make_inputs
    train.folder = lambda name: RunFolder(tmp_path / name)
    return train


@pytest.fixture
def same_weights():
    """A function that tells whether two networks are equal to the bit."""

    def same(a, b):
        a, b = a.state_dict(), b.state_dict()
        return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)

    return same
