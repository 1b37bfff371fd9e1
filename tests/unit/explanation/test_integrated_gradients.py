"""Integrated gradients add up to the difference of the log-odds, for ensembles and views, too."""

import numpy as np
import pytest
import torch

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.explanation.evidence import log_odds
from eosin.inference.classifier import Classifier

pytest.importorskip("captum.attr", reason="integrated gradients need captum")

from eosin.explanation.integrated_gradients import IntegratedGradients

PX = 64


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (PX, PX, 3)).astype(np.uint8)


@pytest.mark.parametrize("test_time", ["none", "dihedral"])
@pytest.mark.parametrize("kind", ["grouped", "folds"])
def test_they_are_complete(kind, test_time, run_of, image):
    """The log-odds are those that the deployed model states, not those of this network."""
    folder = ModelFolder(run_of(kind) / "model")
    info = read_document(folder.info, ModelInfo).model_copy(update={"test_time": test_time})
    model = Classifier(folder.root, info=info)
    found = IntegratedGradients(folder, info, steps=50).explain(image, 1)
    mean = np.broadcast_to(image.mean(axis=(0, 1)), image.shape)
    (here,) = log_odds(model.logits(image[None]) / info.temperature, 1)
    attributions = found.parts["attributions"]
    assert attributions.shape == (3, PX, PX)
    explained = here - found.parts["baseline"]
    assert attributions.sum() == pytest.approx(explained, abs=0.02)
    window = PX // 7
    corner = attributions.sum(axis=0)[20 - window // 2 :, 30 - window // 2 :][:window, :window]
    assert found.map[20, 30] == pytest.approx(corner.sum(), abs=1e-4)
    assert found.numbers["completeness_gap"] == pytest.approx(
        attributions.sum() - explained, abs=1e-4
    )
    (there,) = log_odds(model.logits(np.rint(mean).astype(np.uint8)[None]) / info.temperature, 1)
    assert found.parts["baseline"] == pytest.approx(there, abs=0.02)


def test_more_steps_leave_a_smaller_gap(tiny_run, image):
    folder = ModelFolder(tiny_run / "model")
    info = read_document(folder.info, ModelInfo)
    gaps = [
        abs(
            IntegratedGradients(folder, info, steps=steps)
            .explain(image, 1)
            .numbers["completeness_gap"]
        )
        for steps in (2, 50)
    ]
    assert gaps[1] < gaps[0]


def test_they_are_the_integral_of_the_gradients(tiny_run, image):
    """By the midpoint rule, in steps of Eosin's own, with the derivative by the chain rule."""
    from eosin.networks.loading import Calibrated, load_network

    folder = ModelFolder(tiny_run / "model")
    info = read_document(folder.info, ModelInfo)
    found = IntegratedGradients(folder, info, steps=100).explain(image, 1).parts["attributions"]
    network = Calibrated(load_network(folder.weights, info), info)
    pixels = torch.from_numpy(np.moveaxis(image, -1, 0)[None].astype(np.float32)) / 255
    start = pixels.mean((2, 3), keepdim=True).expand_as(pixels)
    total = torch.zeros_like(pixels)
    steps = 400
    for step in range(steps):
        point = (start + (step + 0.5) / steps * (pixels - start)).requires_grad_()
        logits = network(point)[0]
        total += torch.autograd.grad(logits[1] - logits[0], point)[0]
    expected = ((pixels - start) * total / steps)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())
