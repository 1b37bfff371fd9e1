"""Weights on disk: exact, and refused where they do not fit."""

import pytest
import torch
from torch import nn

from eosin.core.errors import ArtifactError
from eosin.training.checkpoints import load_weights, save_weights


@pytest.fixture
def path(tmp_path):
    save_weights(tmp_path / "w.safetensors", nn.Linear(3, 2))
    return tmp_path / "w.safetensors"


def test_weights_and_buffers_return(tmp_path, make_network, same_weights):
    network = make_network(1)
    network(torch.randn(4, 3, 8, 8))
    save_weights(tmp_path / "w.safetensors", network)
    other = make_network(2)
    load_weights(tmp_path / "w.safetensors", other)
    assert same_weights(network, other)


def test_a_transposed_weight_can_be_saved(tmp_path):
    layer = nn.Linear(3, 2)
    layer.weight.data = torch.randn(3, 2).T
    save_weights(tmp_path / "w.safetensors", layer)
    other = nn.Linear(3, 2)
    load_weights(tmp_path / "w.safetensors", other)
    assert torch.equal(layer.weight, other.weight)


@pytest.mark.parametrize("network", [nn.Linear(3, 3), nn.Conv2d(3, 2, 1), nn.BatchNorm1d(2)])
def test_another_network_s_weights_are_refused(path, network):
    with pytest.raises(ArtifactError, match="does not fit the network") as caught:
        load_weights(path, network)
    assert "\n" not in str(caught.value)


def test_a_damaged_or_absent_file_is_refused(path, tmp_path):
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_weights(path, nn.Linear(3, 2))
    path.write_bytes(b"")
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_weights(path, nn.Linear(3, 2))
    with pytest.raises(ArtifactError, match="does not exist"):
        load_weights(tmp_path / "none.safetensors", nn.Linear(3, 2))


def test_nothing_is_unpickled(tmp_path):
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_weights(tmp_path / "w.pt", nn.Linear(3, 2))
