"""Heads on features: standardised over the training part, folded back, and without a choice."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from eosin.artifacts.model import Embedding
from eosin.artifacts.predictions import read_history
from eosin.core.errors import RecipeError
from eosin.networks import build_network, find_spec
from eosin.networks.classifier import Classifier
from eosin.recipe import recipe_from_dict
from eosin.recipe.schema import TrainSection
from eosin.runtime.unpickling import read_pickled_tensors
from eosin.training.data import ImagePart, needs_features_only
from eosin.training.features import Standardisation, embed, fit_head
from eosin.training.tuning import Tuning

N_FEATURES = 6
EMBEDDING = Embedding(channels=tuple("abcdef"), table="t.npz", table_sha256="0")


def make_part(seed, count, shift=0.0):
    """Features of very different size and place, of which the first two tell the class."""
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    noise = random.normal(size=(count, N_FEATURES))
    noise[:, :2] += targets[:, None]
    values = (noise + shift) * 10.0 ** np.arange(-2, 4) + 5.0
    return ImagePart(values.astype(np.float32)[:, None, None, :], targets)


@pytest.fixture
def inputs(train_tiny):
    """What a head on a table is trained on; its validation part lies far away."""
    spec = find_spec("embedding:t.npz")
    return replace(
        train_tiny.inputs("none"),
        train=make_part(0, 64),
        val=make_part(1, 20, shift=50.0),
        preprocessing=EMBEDDING,
        tuning=Tuning(spec.stages, standardise=True),
    )


@pytest.fixture
def make_head():
    """A function to a fresh head on the table."""
    return lambda **arguments: build_network(
        "embedding:t.npz",
        num_classes=2,
        input_px=1,
        in_channels=N_FEATURES,
        arguments=arguments,
    )


def test_a_head_so_trained_is_scikit_learn_s_on_the_features_as_they_were(
    inputs, make_head, train_tiny
):
    assert needs_features_only(inputs)
    penalty, count = 0.2, len(inputs.train)
    section = TrainSection(
        epochs=40,
        batch_size=count,
        optimizer="sgd",
        lr=0.5,
        momentum=0.5,
        weight_decay=penalty,
        monitor="none",
    )
    before = inputs.train.images.copy()
    network = fit_head(make_head(), section, inputs, train_tiny.folder("a"))
    vectors = inputs.train.images.reshape(count, -1)
    scaler = StandardScaler().fit(vectors)
    # A soft-max has two vectors of weights where the other has one: half the penalty each.
    peer = LogisticRegression(C=2 / (penalty * count), tol=1e-8)
    peer.fit(scaler.transform(vectors), inputs.train.targets)
    assert all(weight.requires_grad for weight in network.head.parameters())
    with torch.inference_mode():
        logits = network(torch.from_numpy(vectors)[:, :, None, None]).numpy()
    wanted = peer.decision_function(scaler.transform(vectors))
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], wanted, atol=0.02)
    assert (inputs.train.images == before).all(), "the table itself stays as it was"


def test_folding_changes_no_output_and_a_constant_feature_stays():
    random = np.random.default_rng(0)
    vectors = random.normal(300.0, 7.0, (50, 4)).astype(np.float32)
    vectors[:, 2] = 0.1
    dense = nn.Linear(4, 3)
    scaling = Standardisation.of(vectors)
    standardised = vectors.copy()
    scaling.apply(standardised)
    np.testing.assert_allclose(standardised.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(standardised.std(axis=0), [1, 1, 0, 1], atol=1e-4)
    wanted = dense(torch.from_numpy(standardised))
    scaling.fold_into(dense)
    torch.testing.assert_close(dense(torch.from_numpy(vectors)), wanted, rtol=0, atol=1e-4)


def test_only_a_head_that_begins_with_a_dense_layer_takes_standardised_features(inputs, train_tiny):
    network = Classifier(nn.Flatten(), N_FEATURES, 2)
    network.head = nn.Sequential(nn.ReLU(), nn.Linear(N_FEATURES, 2))
    with pytest.raises(RecipeError, match=r"'transfer\.standardise'.*dense layer"):
        fit_head(network, TrainSection(epochs=1), inputs, train_tiny.folder("a"))


def test_the_time_of_a_head_includes_that_of_its_features(inputs, make_head, train_tiny, on_entry):
    run = train_tiny.folder("a")
    with on_entry(embed, lambda _given: time.sleep(0.1)):
        fit_head(make_head(), TrainSection(epochs=1), inputs, run)
    assert read_history(run.history)["seconds"][0] >= 0.2  # of the training and validation part


@pytest.mark.parametrize("changed", [{"patience": 2}, {"schedule": {"name": "plateau"}}])
def test_what_nothing_drives_is_refused(changed):
    values = {"name": "a", "data": {"manifest": "m.csv"}, "model": {"name": "ernet18"}}
    with pytest.raises(RecipeError, match="cannot be combined with"):
        recipe_from_dict({**values, "train": {"monitor": "none", **changed}})


def test_without_a_monitor_the_last_state_is_kept(train_tiny):
    trained, run = train_tiny("a", monitor="none", lr=0.5, epochs=6)
    losses = np.genfromtxt(run.history, delimiter=",", names=True)["val_loss"]
    assert losses.argmin() < len(losses) - 1, "at this rate an earlier state is better"
    last = read_pickled_tensors(run.last_checkpoint)
    for key, value in trained.state_dict().items():
        assert torch.equal(value, last[key]), key
