"""Grad-CAM in the NumPy engine is that of the same network in PyTorch."""

import numpy as np
import pytest
import torch

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.core.errors import UsageError
from eosin.explanation.gradients import EngineGradCam
from eosin.images.preprocess import to_input
from eosin.networks import build_network
from eosin.training.checkpoints import load_weights


@pytest.fixture
def folder(tiny_run):
    return ModelFolder(tiny_run / "model")


@pytest.fixture
def info(folder):
    return read_document(folder.info, ModelInfo)


def test_it_is_the_one_of_pytorch_s_gradients(folder, info):
    arguments = {key: value for key, value in info.arguments.items() if key != "input_px"}
    network = build_network(info.architecture, num_classes=2, input_px=64, arguments=arguments)
    load_weights(folder.weights, network)
    network.eval()
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    features = network.features(torch.from_numpy(to_input(image[None], info.preprocessing)))
    features.retain_grad()
    logits = network.classifier(features)[0] / info.temperature
    (logits[1] - logits[0]).backward()
    expected = torch.einsum("chw,c->hw", features[0], features.grad[0].sum((1, 2)))
    found = EngineGradCam(folder, info).explain(image, 1)
    np.testing.assert_allclose(found.parts["cells"], expected.detach(), rtol=1e-3, atol=1e-4)
    assert found.map.shape == (64, 64)


def test_another_model_is_refused_with_another_method(folder, info):
    with pytest.raises(UsageError) as raised:
        EngineGradCam(folder, info.model_copy(update={"architecture": "ernet18"}))
    assert "occlusion" in raised.value.hint
