"""The 8-bit form of a network, against the network itself and against plain rounding."""

import logging

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from eosin.core.errors import ArtifactError
from eosin.exporting.int8 import write_int8
from eosin.exporting.onnx import write_onnx
from eosin.inference.onnx import OnnxNetwork
from eosin.networks import build_network

PX = 64


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(24, 3, PX, PX)).astype(np.float32)


def convert(name, images, folder):
    """Return the float32 file of a network with random weights, and its 8-bit file."""
    network = build_network(name, num_classes=3, input_px=PX, arguments={}, seed=0).eval()
    float32, int8 = folder / "float32.onnx", folder / "int8.onnx"
    write_onnx(network, float32, (PX, PX))
    write_int8(float32, int8, lambda: iter([images[:16], images[16:]]))
    return float32, int8


@pytest.fixture(scope="module")
def converted(images, tmp_path_factory):
    """Return both files of two networks, by name."""
    names = ("light_cnn", "resnet18")
    return {name: convert(name, images, tmp_path_factory.mktemp(name)) for name in names}


def run_both(files, images):
    return [OnnxNetwork(path).run(images) for path in files]


@pytest.mark.parametrize("name", ["light_cnn", "resnet18"])
def test_the_outputs_are_nearly_the_same(name, converted, images):
    expected, found = run_both(converted[name], images)
    assert found.shape == expected.shape
    assert 0 < np.abs(found - expected).mean() < 0.1 * expected.std()
    float32, int8 = (path.stat().st_size for path in converted[name])
    assert int8 < 0.4 * float32


def test_the_mean_of_each_logit_is_kept(converted, images):
    # What the correction of biases is for: plain rounding shifts one by 6 % of its deviation.
    expected, found = run_both(converted["light_cnn"], images)
    shifts = np.abs((found - expected).mean(axis=0)) / expected.std(axis=0)
    assert shifts.max() < 0.015


def test_weights_have_7_bits_a_channel_and_the_ends_stay(converted):
    graph = onnx.load(converted["resnet18"][1]).graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    makes = {output: node for node in graph.node for output in node.output}
    weighted = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    stored = [makes[node.input[1]] for node in weighted if node.input[1] in makes]
    assert len(stored) == len(weighted) - 2
    for node in stored:
        weights, scale = (values[name] for name in node.input[:2])
        assert weights.dtype == np.int8
        assert np.abs(weights.astype(int)).max() <= 64
        assert scale.shape == weights.shape[:1]
    assert weighted[0].input[1] in values
    assert weighted[-1].op_type == "Gemm"
    assert weighted[-1].input[1] in values


def test_the_same_images_give_the_same_file(converted, images, tmp_path):
    again = convert("light_cnn", images, tmp_path)[1]
    assert again.read_bytes() == converted["light_cnn"][1].read_bytes()


def test_the_quantiser_prints_nothing_and_leaves_logging_alone(images, tmp_path, capfd):
    handlers = list(logging.getLogger().handlers)
    convert("light_cnn", images, tmp_path)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger().isEnabledFor(logging.WARNING)


def test_what_cannot_be_converted_is_told(images, tmp_path):
    source = tmp_path / "network.onnx"
    source.write_bytes(b"no network")
    with pytest.raises(ArtifactError, match="8 bits"):
        write_int8(source, tmp_path / "int8.onnx", lambda: iter([images]))
    assert not (tmp_path / "int8.onnx").exists()
