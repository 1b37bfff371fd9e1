"""The NumPy engine's weights and those of the PyTorch twin are one file."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from eosin.artifacts.weights import from_twin, read_arrays, to_twin, write_arrays
from eosin.core.errors import ArtifactError
from eosin.engine import ARCHITECTURES, BatchNorm, Conv2d, Network
from eosin.networks import build_network
from eosin.training.checkpoints import load_weights, save_weights

PX = 83  # the last maps are 2 × 2: rows and columns could be exchanged, channels too


CASES = [
    ("light_cnn", {}),
    ("light_cnn", {"activation": "leaky_relu"}),
    ("light_cnn", {"hidden_activation": "relu"}),
    ("mnist_cnn", {}),
]
each = pytest.mark.parametrize(("name", "arguments"), CASES)


def make_pair(path, name, arguments):
    """A network of the engine, its running statistics moved, and its twin by way of the file."""
    network = ARCHITECTURES[name](3, PX, in_channels=2, seed=4, **arguments)
    images = np.random.default_rng(0).random((4, PX, PX, 2), dtype=np.float32)
    network.forward(images, training=True)
    write_arrays(path, to_twin(network.state))
    given = {"num_classes": 3, "input_px": PX, "in_channels": 2, "arguments": arguments}
    twin = build_network(name, **given)
    load_weights(path, twin)
    return network, twin.eval(), images


@each
def test_the_twin_says_the_same(tmp_path, name, arguments):
    network, twin, images = make_pair(tmp_path / "w.safetensors", name, arguments)
    with torch.inference_mode():
        said = twin(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(network.forward(images), said, rtol=1e-4, atol=1e-4)


@each
def test_there_and_back(tmp_path, name, arguments):
    network, twin, _ = make_pair(tmp_path / "w.safetensors", name, arguments)
    save_weights(tmp_path / "back.safetensors", twin)
    state = from_twin(read_arrays(tmp_path / "back.safetensors"))
    assert state.keys() == network.state.keys()
    assert all(np.array_equal(state[name], value) for name, value in network.state.items())


# In a process of its own: the limit holds for all files that a process writes.
_OVER_THE_LIMIT = """
import resource, sys, pathlib
import numpy as np
from eosin.artifacts.weights import write_arrays
from eosin.core.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    write_arrays(pathlib.Path(sys.argv[1]), {"a": np.zeros(9999)})
except OutputError as error:
    print(error.message, error.hint, sep="|", end="")
"""


def test_a_file_larger_than_allowed_is_refused_with_a_hint(tmp_path):
    pytest.importorskip("resource")
    call = [sys.executable, "-c", _OVER_THE_LIMIT, str(tmp_path / "w.safetensors")]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    message, _, hint = said.partition("|")
    assert message
    assert "os error" not in message
    assert "ulimit -f" in hint
    assert not list(tmp_path.iterdir())


def test_others_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"'conv2d3\.bias' is missing"):
        to_twin(Network([Conv2d(2, 1), Conv2d(2, 1), BatchNorm()], (3, 3, 1)).state)
    with pytest.raises(ArtifactError, match=r"'layer1\.0\.weight' is not a part"):
        from_twin({"layer1.0.weight": np.zeros((2, 2))})
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ArtifactError, match=r"bad\.safetensors cannot be read"):
        read_arrays(tmp_path / "bad.safetensors")
    with pytest.raises(ArtifactError, match="does not exist"):
        read_arrays(tmp_path / "none.safetensors")
