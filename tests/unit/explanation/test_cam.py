"""Class activation maps add up to the logits, for single networks and for ensembles."""

import numpy as np
import pytest
import torch
from torch import nn

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.core.errors import UsageError
from eosin.explanation.cam import Cam
from eosin.explanation.evidence import log_odds
from eosin.exporting.merging import Member, merge_onnx
from eosin.exporting.onnx import write_onnx
from eosin.images.preprocess import make_preprocessing, to_input
from eosin.networks.classifier import Classifier
from eosin.networks.multi_crop import take_fields

PX, K = 32, 3


class Pooled(nn.Module):
    """Two convolutions and global average pooling, in one of the ways to write it."""

    def __init__(self, how):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 5, 3, stride=2), nn.ReLU()
        )
        self.how = how

    def forward(self, images):
        found = self.features(images)
        if self.how == "mean":
            return found.mean((2, 3))
        if self.how == "max":
            return found.amax((2, 3))
        return nn.functional.adaptive_avg_pool2d(found, 1).flatten(1)


def build(how="mean", seed=0):
    torch.manual_seed(seed)
    return Classifier(Pooled(how), 5, K).eval()


@pytest.fixture(scope="module")
def example(tiny_run):
    """A valid ``model.json``, from which the tests make theirs."""
    return read_document(ModelFolder(tiny_run / "model").info, ModelInfo)


@pytest.fixture
def describe(example):
    def make(**changes):
        values = {
            **{"class_names": tuple("abc"), "positive": None, "abstention": None},
            "threshold": example.threshold.model_copy(update={"value": None}),
            "preprocessing": make_preprocessing("unit", PX),
            **{"temperature": 2.0, "architecture": "pooled", "arguments": {}},
        }
        return example.model_copy(update={**values, **changes})

    return make


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (PX, PX, 3)).astype(np.uint8)


def logits_of(network, image, info):
    with torch.inference_mode():
        return network(torch.from_numpy(to_input(image[None], info.preprocessing))).numpy()


@pytest.mark.parametrize("how", ["mean", "pool"])
def test_the_map_is_the_weighted_feature_map(how, describe, image, tmp_path):
    network, info = build(how), describe()
    write_onnx(network, tmp_path / "model.onnx", (PX, PX))
    found = Cam(ModelFolder(tmp_path), info).explain(image, 1)
    inputs = torch.from_numpy(to_input(image[None], info.preprocessing))
    with torch.inference_mode():
        features = network.backbone.features(inputs)[0].numpy()
    weight = network.head[1].weight.detach().numpy()
    logits = logits_of(network, image, info)[0] / info.temperature
    rest = np.exp(logits[[0, 2]]) / np.exp(logits[[0, 2]]).sum()
    mixed = weight[1] - rest[0] * weight[0] - rest[1] * weight[2]
    expected = np.tensordot(mixed, features, axes=1) / info.temperature
    np.testing.assert_allclose(found.parts["cells"], expected, atol=1e-5)
    assert found.map.shape == (PX, PX)


def test_of_two_classes_the_mean_and_the_bias_are_the_log_odds(describe, image, tmp_path):
    torch.manual_seed(1)
    network = Classifier(Pooled("mean"), 5, 2).eval()
    info = describe(class_names=("a", "b"))
    write_onnx(network, tmp_path / "model.onnx", (PX, PX))
    found = Cam(ModelFolder(tmp_path), info).explain(image, 0)
    expected = log_odds(logits_of(network, image, info) / info.temperature, 0)[0]
    total = found.parts["cells"].mean() + found.parts["bias"]
    assert total == pytest.approx(expected, abs=1e-5)


def test_of_an_ensemble_it_is_the_mean_of_the_members(describe, image, tmp_path):
    parts = []
    for number, temperature in enumerate((1.5, 0.5)):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_onnx(build(seed=number), folder / "model.onnx", (PX, PX))
        single = Cam(ModelFolder(folder), describe(temperature=temperature))
        parts.append((folder, temperature, single.explain(image, 2).map))
    members = [Member(folder / "model.onnx", (PX, PX), t) for folder, t, _ in parts]
    merge_onnx(members, tmp_path / "model.onnx", (PX, PX))
    ensemble = {"architecture": "pooled", "members": 2}
    info = describe(architecture="ensemble", arguments=ensemble, temperature=1.0)
    cam = Cam(ModelFolder(tmp_path), info)
    assert len(cam.members) == 2
    found = cam.explain(image, 2)
    for mine, (_, _, alone) in zip(found.parts["members"], parts, strict=True):
        np.testing.assert_allclose(mine, alone, atol=1e-4)
    np.testing.assert_allclose(found.map, np.mean([alone for *_, alone in parts], 0), atol=1e-4)


def test_of_crops_it_is_the_mean_of_theirs_where_they_lie(describe, tmp_path):
    network, side = build(), 24
    field = {"input_px": (PX, 40), "crop_px": side}
    given = make_preprocessing("unit", side).model_copy(update=field)
    write_onnx(take_fields(network, given).eval(), tmp_path / "model.onnx", (PX, 40))
    image = np.random.default_rng(0).integers(0, 255, (PX, 40, 3)).astype(np.uint8)
    found = Cam(ModelFolder(tmp_path), describe(preprocessing=given)).explain(image, 1)
    alone = tmp_path / "alone"
    alone.mkdir()
    write_onnx(network, alone / "model.onnx", (side, side))
    cam = Cam(ModelFolder(alone), describe(preprocessing=make_preprocessing("unit", side)))
    total, count = np.zeros((PX, 40)), np.zeros((PX, 40))
    for number, (top, left) in enumerate([(0, 0), (0, 16), (8, 0), (8, 16)]):
        part = slice(top, top + side), slice(left, left + side)
        one = cam.explain(np.ascontiguousarray(image[part]), 1)
        np.testing.assert_allclose(found.parts["cells"][number], one.parts["cells"], atol=1e-5)
        total[part] += one.map
        count[part] += 1
    np.testing.assert_allclose(found.map, total / count, atol=1e-5)
    rows, columns = one.parts["cells"].shape
    assert found.places == (rows * PX // side, columns * 40 // side)


@pytest.mark.parametrize("kind", ["max", "hidden"])
def test_a_network_without_such_an_end_is_refused_with_another_method(
    kind, describe, image, tmp_path
):
    network = build("max" if kind == "max" else "mean")
    if kind == "hidden":
        network.head = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, K))
    write_onnx(network, tmp_path / "model.onnx", (PX, PX))
    with pytest.raises(UsageError) as raised:
        Cam(ModelFolder(tmp_path), describe()).explain(image, 0)
    assert "occlusion" in raised.value.hint


def test_it_agrees_with_pytorch_grad_cam(describe, image, tmp_path):
    from eosin.runtime.door import import_companion

    import_companion("torchvision")
    oracle = pytest.importorskip(
        "pytorch_grad_cam.base_cam", reason="pytorch-grad-cam is the oracle of this test"
    )

    class Raw(oracle.BaseCAM):
        """Its class activation map before negative evidence is cut off and the rest stretched."""

        def get_cam_weights(self, input_tensor, target_layer, targets, activations, grads):
            return grads.mean(axis=(2, 3))

    torch.manual_seed(1)
    network = Classifier(Pooled("mean"), 5, 2).eval()
    info = describe(class_names=("a", "b"), temperature=1.0)
    write_onnx(network, tmp_path / "model.onnx", (PX, PX))
    found = Cam(ModelFolder(tmp_path), info).explain(image, 0).parts["cells"]
    inputs = torch.from_numpy(to_input(image[None], info.preprocessing))
    cam = Raw(network, [network.backbone.features])
    cam.outputs = cam.activations_and_grads(inputs)
    (cam.outputs[0, 0] - cam.outputs[0, 1]).backward()
    layer = cam.target_layers[0]
    (activations,) = (a.detach().numpy() for a in cam.activations_and_grads.activations)
    (gradients,) = (g.detach().numpy() for g in cam.activations_and_grads.gradients)
    expected = cam.get_cam_image(inputs, layer, None, activations, gradients)[0]
    # The derivative of a mean is divided by the number of places.
    np.testing.assert_allclose(found, expected * found.size, atol=1e-4)
