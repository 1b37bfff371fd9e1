"""The exported file says what the network says, or nothing is exported."""

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from eosin.core.errors import EosinError, OutputError, TrainingError
from eosin.exporting.onnx import MAX_PROBABILITY_GAP, check_parity, write_onnx
from eosin.exporting.parity import compare


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)).eval()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_onnx(network, path, (8, 8))
    return path


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((7, 3, 8, 8), dtype=np.float32)


def test_the_file_does_not_tell_where_it_was_made(exported):
    # PyTorch can write stack traces with the places of its source files into every node.
    assert str(Path(torch.__file__).parent).encode() not in exported.read_bytes()
    assert not any(node.doc_string for node in onnx.load(exported).graph.node)


def test_the_file_s_interface(exported):
    graph = onnx.load(exported).graph
    (given,), (returned,) = graph.input, graph.output
    assert (given.name, returned.name) == ("images", "logits")
    dims = [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim]
    assert isinstance(dims[0], str)  # any number of images
    assert dims[1:] == [3, 8, 8]


def test_the_file_is_alone_and_valid(exported):
    assert list(exported.parent.iterdir()) == [exported]
    onnx.checker.check_model(onnx.load(exported), full_check=True)


def test_parity_of_the_network_with_its_file(network, exported, images):
    assert check_parity(network, exported, images) <= MAX_PROBABILITY_GAP


def test_another_network_is_refused(network, exported, images):
    torch.manual_seed(1)
    other = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)).eval()
    with pytest.raises(TrainingError, match="differs from the trained one by") as caught:
        check_parity(other, exported, images)
    assert caught.value.hint


def test_another_label_is_refused_but_not_of_a_tie():
    expected = np.array([[0.6, 0.4], [0.50001, 0.49999]])
    same = compare(expected, expected[:, ::-1][:, ::-1], MAX_PROBABILITY_GAP)
    assert same.holds(MAX_PROBABILITY_GAP)
    swapped = compare(expected, expected[:, ::-1], MAX_PROBABILITY_GAP)
    assert swapped.n_other_labels == 1
    assert not swapped.holds(1.0)
    assert "1 of 2" in str(swapped)
    assert not compare(expected, expected * np.nan, MAX_PROBABILITY_GAP).holds(1.0)


def test_a_small_difference_passes_and_a_larger_one_does_not(network, exported, images):
    def shifted(by):
        changed = nn.Sequential(*network[:3], nn.Linear(72, 3)).eval()
        changed[3].load_state_dict(network[3].state_dict())
        with torch.no_grad():
            changed[3].bias[0] += by
        return check_parity(changed, exported, images)

    gap = shifted(2e-4)
    assert 0 < gap <= MAX_PROBABILITY_GAP
    with pytest.raises(TrainingError):
        shifted(2e-3)


def test_rounding_of_single_precision_is_not_held_against_the_file(network, exported, images):
    class Rounded(nn.Module):
        """Single precision is wrong by more than the limit, as in networks of a hundred layers."""

        def __init__(self):
            super().__init__()
            self.inner = network

        def forward(self, given):
            logits = self.inner(given)
            wrong = 2e-3 if given.dtype == torch.float32 else 0.0
            return logits + torch.tensor([wrong, 0.0, 0.0], dtype=given.dtype)

    assert 0 < check_parity(Rounded().eval(), exported, images) <= MAX_PROBABILITY_GAP
    assert next(network.parameters()).dtype == torch.float32


def test_a_network_that_says_nan_is_refused(network, exported, images):
    class Broken(nn.Module):
        def forward(self, given):
            return network(given) * float("nan")

    with pytest.raises(EosinError, match="must be finite"):
        check_parity(Broken(), exported, images)


def test_a_file_that_cannot_be_written_is_explained(network, tmp_path, monkeypatch):
    def fill_up(_network, _images, path, **_how):
        Path(path).write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch.onnx, "export", fill_up)
    with pytest.raises(OutputError, match="could not write") as caught:
        write_onnx(network, tmp_path / "model.onnx", (8, 8))
    assert caught.value.hint.startswith("Free some space")
    assert list(tmp_path.iterdir()) == []


def test_trainings_beside_each_other_in_a_process_may_export_at_once(network, tmp_path):
    class Pause(nn.Module):
        def forward(self, images):
            time.sleep(0.05)
            return images

    paths = [tmp_path / f"{name}.onnx" for name in "abc"]
    with ThreadPoolExecutor(3) as pool:
        list(
            pool.map(
                lambda path: write_onnx(nn.Sequential(Pause(), network).eval(), path, (8, 8)), paths
            )
        )
    assert all(path.exists() for path in paths)


def test_padding_that_depends_on_the_size_costs_no_operators(tmp_path):
    class Padded(nn.Module):
        def forward(self, images):
            height, width = images.shape[-2:]
            return nn.functional.pad(images, (width % 4, 0, height % 3, 0)).mean(dim=(2, 3))

    write_onnx(Padded().eval(), tmp_path / "model.onnx", (8, 7))
    operators = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert "Pad" in operators
    assert not operators & {"Shape", "Mod"}
    images = np.random.default_rng(0).random((5, 3, 8, 7), dtype=np.float32)
    check_parity(Padded().eval(), tmp_path / "model.onnx", images)


def test_a_layer_that_onnx_does_not_have_is_named_in_one_line(tmp_path):
    # 6 × 6 cannot be divided into 4 × 4.
    odd = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(4), nn.Flatten()).eval()
    with pytest.raises(TrainingError, match="adaptive_avg_pool2d") as caught:
        write_onnx(odd, tmp_path / "model.onnx", (8, 8))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
