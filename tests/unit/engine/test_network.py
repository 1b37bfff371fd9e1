"""A network: what it refuses, its parts by name, its weights on the disk."""

import numpy as np
import pytest

from eosin.core.errors import ArtifactError, RecipeError, TrainingError
from eosin.engine import (
    SGD,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    MaxPool2d,
    Network,
    light_cnn,
    mnist_cnn,
    softmax,
)


def small(seed=0, classes=2):
    layers = [Conv2d(3, 3, padding="same"), LeakyReLU(), MaxPool2d(), Flatten(), Dropout(0.3)]
    return Network([*layers, Dense(classes)], (6, 6, 1), seed=seed)


@pytest.fixture
def images():
    return np.random.default_rng(0).standard_normal((5, 6, 6, 1)).astype(np.float32)


TARGETS = np.array([0, 1, 1, 0, 1])


def test_the_papers_networks_have_their_sizes():
    network = light_cnn()
    assert network.count_params() == 319_106
    assert network.shapes["conv2d1"] == (56, 56, 16)
    assert network.shapes["maxpool2d1"] == (13, 13, 32)
    assert network.shapes["flatten1"] == (2304,)
    small_network = mnist_cnn()
    # 3·3·1·8 + 8, 3·3·8·8 + 8, 288·10 + 10
    assert small_network.count_params() == 80 + 584 + 2890 == 3554
    assert small_network.shapes["conv2d1"] == (13, 13, 8)
    assert small_network.shapes["flatten1"] == (288,)


def test_he_draws_have_their_variance():
    weight = light_cnn().parameters["dense1.weight"]
    assert weight.std() == pytest.approx(np.sqrt(2 / 2304), rel=0.01)
    assert weight.dtype == np.float32


def test_probabilities_do_not_depend_on_the_batch(images):
    network = small()
    alone = np.concatenate([network.predict(images[i : i + 1]) for i in range(5)])
    assert np.abs(network.predict(images, batch_size=2) - alone).max() < 1e-6
    assert np.abs(alone.sum(axis=1) - 1).max() < 1e-6
    assert network.predict(images[:0]).shape == (0, 2)


def test_a_grey_image_may_come_with_its_channel_first():
    """NumPy gives a turned axis of length one any step, though the memory is the same."""
    network = mnist_cnn()
    turned = np.random.default_rng(0).random((3, 1, 28, 28), np.float32).transpose(0, 2, 3, 1)
    assert np.array_equal(network.forward(turned), network.forward(turned.copy()))


def test_feature_maps_are_what_the_layers_give(images):
    network = small()
    maps = network.feature_maps(images)
    assert {name: value.shape[1:] for name, value in maps.items()} == network.shapes
    assert np.array_equal(softmax(maps["dense1"]), network.predict(images))


def test_the_penalty_is_the_papers(images):
    plain, held = small(), small()
    loss, _ = plain.step(images, TARGETS, SGD(0.1))
    before = {name: value.copy() for name, value in held.parameters.items()}
    with_penalty, _ = held.step(images, TARGETS, SGD(0.1), l2=0.5)
    weights = [value for name, value in before.items() if name.endswith("weight")]
    squares = sum(float((value**2).sum()) for value in weights)
    assert with_penalty - loss == pytest.approx(0.5 / (2 * 5) * squares, rel=1e-5)
    moved = plain.parameters["dense1.weight"] - held.parameters["dense1.weight"]
    assert np.abs(moved - 0.1 * 0.5 / 5 * before["dense1.weight"]).max() < 1e-7
    assert np.array_equal(plain.parameters["dense1.bias"], held.parameters["dense1.bias"])


@pytest.mark.parametrize("worst", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("conv2d1.weight", "the weight of conv2d1 is not finite"),
        ("dense1.bias", "the bias of dense1 is not finite"),
    ],
)
def test_a_loss_that_is_no_number_stops_with_step_and_layer(images, name, result, worst):
    network, optimiser = small(), SGD(0.1)
    network.step(images, TARGETS, optimiser)
    network.parameters[name].flat[0] = worst
    with pytest.raises(TrainingError) as caught:
        network.step(images, TARGETS, optimiser)
    assert caught.value.message.endswith(f"at step 2: {result}")
    assert "\n" not in str(caught.value)


def test_a_layer_that_overflows_is_named(images):
    network = small()
    network.parameters["conv2d1.weight"][...] = 3e38
    with pytest.raises(TrainingError, match="output of conv2d1"):
        network.step(images * 100, TARGETS, SGD(0.1))
    with pytest.raises(TrainingError, match="step 1: an input"):
        small().step(images * np.float32(np.nan), TARGETS, SGD(0.1))


def test_weights_survive_the_disk(images, tmp_path):
    network, other = light_cnn(input_px=64), light_cnn(input_px=64, seed=1)
    seen = np.random.default_rng(0).standard_normal((3, 64, 64, 3)).astype(np.float32)
    network.step(seen, np.array([0, 1, 1]), SGD(0.01))
    network.save(tmp_path / "weights.npz")
    other.load(tmp_path / "weights.npz")
    assert np.array_equal(network.predict(seen), other.predict(seen))
    assert all(np.array_equal(other.state[name], value) for name, value in network.state.items())


def test_foreign_weights_are_refused_by_name(tmp_path):
    small(classes=3).save(tmp_path / "w.npz")
    with pytest.raises(ArtifactError, match=r"'dense1.bias' must|'dense1.weight' must"):
        small().load(tmp_path / "w.npz")
    state = small().state
    with pytest.raises(ArtifactError, match=r"'conv2d1\.bias' is missing"):
        small().load_state({name: value for name, value in state.items() if "1.bias" not in name})
    with pytest.raises(ArtifactError, match="'more' has no place"):
        small().load_state(state | {"more": np.zeros(1)})
    with pytest.raises(ArtifactError, match="got int64"):
        small().load_state(state | {"dense1.bias": np.zeros(2, int)})


def write_objects(path):
    np.savez(path, **{"dense1.bias": np.array([object()], dtype=object)})


def write_half(path):
    small().save(path)
    path.write_bytes(path.read_bytes()[:200])


def write_array(path):
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))


@pytest.mark.parametrize("write", [write_objects, write_half, write_array, lambda path: None])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, write):
    write(tmp_path / "w.npz")
    with pytest.raises(ArtifactError, match=r"w\.npz cannot be read as weights"):
        small().load(tmp_path / "w.npz")


def test_what_does_not_fit_is_refused(images):
    with pytest.raises(RecipeError, match=r"must have the shape \(6, 6, 1\), got \(5, 6, 1\)"):
        small().predict(images[:, :5])
    with pytest.raises(RecipeError, match="5 class indices from 0 to 1"):
        small().step(images, TARGETS + 1, SGD(0.1))
    with pytest.raises(RecipeError, match="flatten first"):
        Network([Dense(2)], (6, 6, 1))
    with pytest.raises(RecipeError, match="does not fit into 2 × 9 px"):
        Network([Conv2d(1, 3)], (2, 9, 1))
    for name in ("activation", "hidden_activation"):
        with pytest.raises(RecipeError, match=rf"{name}' must be .*'relu'.*, got 'gelu'"):
            light_cnn(**{name: "gelu"})
