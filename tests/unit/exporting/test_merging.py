"""The file made of files says what the ensemble of their networks says."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from eosin.core.errors import TrainingError
from eosin.exporting.merging import Member, merge_onnx
from eosin.exporting.onnx import write_onnx
from eosin.inference.engine import Rescale
from eosin.inference.onnx import OnnxNetwork
from eosin.networks import build_network
from eosin.networks.classifier import Ensemble

PX = 60


class Resize(nn.Module):
    def __init__(self, px):
        super().__init__()
        self.px = px

    def forward(self, images):
        return functional.interpolate(images, self.px, mode="bilinear", antialias=True)


class Rescaled(nn.Module):
    def __init__(self, rescale):
        super().__init__()
        self.rescale = rescale

    def forward(self, images):
        return torch.from_numpy(self.rescale(images.numpy()))


def build(seed, px=PX):
    arguments = {"name": "light_cnn", "num_classes": 3, "arguments": {}}
    network = build_network(**arguments, input_px=px, seed=seed)
    network(torch.rand(8, 3, px, px))  # running statistics away from 0 and 1
    return network.eval()


@pytest.fixture(scope="module")
def networks():
    """Three light CNNs: two of the ensemble's size, one of another."""
    return [build(0), build(1), build(2, px=51)]


@pytest.fixture(scope="module")
def members(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    members = []
    for number, (network, px) in enumerate(zip(networks, (PX, PX, 51), strict=True)):
        write_onnx(network, folder / f"{number}.onnx", (px, px))
        members.append(Member(folder / f"{number}.onnx", (px, px)))
    return members


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((7, 3, PX, PX), dtype=np.float32)


def expect(networks, temperatures, images):
    with torch.inference_mode():
        return Ensemble(networks, temperatures).eval()(torch.from_numpy(images)).numpy()


def test_the_mean_of_calibrated_members(networks, members, images, tmp_path):
    temperatures = (0.5, 3.0)
    given = [replace(m, temperature=t) for m, t in zip(members, temperatures, strict=False)]
    merge_onnx(given, tmp_path / "model.onnx", (PX, PX))
    merged = OnnxNetwork(tmp_path / "model.onnx")
    expected = expect(networks[:2], temperatures, images)
    for count in (1, 2, 7):
        np.testing.assert_allclose(merged.run(images[:count]), expected[:count], atol=1e-5)


def test_sure_members_do_not_overflow(networks, members, images, tmp_path):
    given = [replace(member, temperature=1e-4) for member in members[:2]]
    merge_onnx(given, tmp_path / "model.onnx", (PX, PX))
    logits = OnnxNetwork(tmp_path / "model.onnx").run(images)
    expected = expect(networks[:2], (1e-4, 1e-4), images)
    assert expected.min() < -104  # of which a 32-bit exponential is nothing
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-5)


def test_a_member_s_own_normalisation_and_size(networks, members, images, tmp_path):
    infinite = [float("inf")] * 3
    clipping = Rescale([0, 1, 2], [1.5, 2.0, 0.7], [0.1, -0.2, 0.3], [0.0] * 3, [1.0, 1.0, 0.9])
    turning = Rescale([2, 1, 0], [255.0] * 3, [-104.0, -117.0, -124.0], [-np.inf] * 3, infinite)
    given = [
        members[0],
        replace(members[1], rescale=clipping),
        replace(members[2], rescale=turning, temperature=40.0),
    ]
    merge_onnx(given, tmp_path / "model.onnx", (PX, PX))
    own = [
        networks[0],
        nn.Sequential(Rescaled(clipping), networks[1]),
        nn.Sequential(Rescaled(turning), Resize(51), networks[2]),
    ]
    expected = expect(own, (1.0, 1.0, 40.0), images)
    got = OnnxNetwork(tmp_path / "model.onnx").run(images)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert np.abs(expected - expect([*networks[:2], own[2]], (1.0, 1.0, 40.0), images)).max() > 1e-3


def test_one_valid_file_that_holds_equal_weights_once(members, tmp_path):
    merge_onnx(members[:2], tmp_path / "two.onnx", (PX, PX))
    merge_onnx([members[0]] * 5, tmp_path / "five.onnx", (PX, PX))
    for name in ("two.onnx", "five.onnx"):
        model = onnx.load(tmp_path / name)
        onnx.checker.check_model(model, full_check=True)
        (given,), (returned,) = model.graph.input, model.graph.output
        sides = [
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (given, returned)
        ]
        assert sides == [["n", 3, PX, PX], ["n", 3]]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["five.onnx", "two.onnx"]
    one = members[0].path.stat().st_size
    two, five = ((tmp_path / name).stat().st_size for name in ("two.onnx", "five.onnx"))
    assert five < 1.5 * one < 1.9 * one < two


def test_files_of_several_operator_sets_are_refused(members, tmp_path):
    other = onnx.load(members[1].path)
    other.opset_import[0].version = 18
    onnx.save(other, tmp_path / "other.onnx")
    given = [members[0], replace(members[1], path=tmp_path / "other.onnx")]
    with pytest.raises(TrainingError, match="different operator sets: 18, 20") as caught:
        merge_onnx(given, tmp_path / "model.onnx", (PX, PX))
    assert caught.value.hint
    assert not (tmp_path / "model.onnx").exists()
