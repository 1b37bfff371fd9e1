"""Grad-CAM in PyTorch: single networks, ensembles with names, and other implementations."""

import numpy as np
import pytest
import torch

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.explanation.gradcam import GradCam
from eosin.explanation.gradients import EngineGradCam
from eosin.images.preprocess import make_preprocessing, to_input
from eosin.networks import build_network
from eosin.runtime.door import import_companion
from eosin.training.checkpoints import save_weights

PX = 64


@pytest.fixture(scope="module")
def example(tiny_run):
    return read_document(ModelFolder(tiny_run / "model").info, ModelInfo)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (PX, PX, 3)).astype(np.uint8)


def write_model(folder, example, name, px=PX):
    network = build_network(name, num_classes=2, input_px=px, arguments={}).eval()
    save_weights(folder.weights, network)
    changes = {"architecture": name, "arguments": {}, "temperature": 2.0}
    preprocessing = make_preprocessing("imagenet", px)
    return network, example.model_copy(update=changes | {"preprocessing": preprocessing})


@pytest.mark.parametrize("field", [None, (140, 200)], ids=["whole", "crops of a field"])
def test_it_is_the_engine_s(field, example, tmp_path):
    folder, px = ModelFolder(tmp_path), 128
    _, info = write_model(folder, example, "light_cnn", px)
    if field is not None:
        cropped = info.preprocessing.model_copy(update={"input_px": field, "crop_px": px})
        info = info.model_copy(update={"preprocessing": cropped})
    size = info.preprocessing.input_px
    image = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    expected = EngineGradCam(folder, info).explain(image, 1)
    found = GradCam(folder, info).explain(image, 1)
    assert found.parts["cells"].shape == ((3, 3) if field is None else (4, 3, 3))
    assert found.map.shape == size
    np.testing.assert_allclose(found.map, expected.map, rtol=1e-3, atol=1e-4)


def test_of_folds_it_is_the_mean_of_the_folds_each_named(run_of, image):
    run = run_of("folds")
    folder = ModelFolder(run / "model")
    explainer = GradCam(folder, read_document(folder.info, ModelInfo))
    found = explainer.explain(image, 1)
    assert explainer.members == ("fold 0-0", "fold 0-1", "fold 0-2")
    maps = []
    for name, mine in zip(explainer.members, found.parts["members"], strict=True):
        own = ModelFolder(run / "folds" / name.removeprefix("fold ") / "model")
        alone = GradCam(own, read_document(own.info, ModelInfo)).explain(image, 1).map
        np.testing.assert_allclose(mine, alone, rtol=1e-3, atol=1e-4)
        maps.append(alone)
    np.testing.assert_allclose(found.map, np.mean(maps, axis=0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("resnet18", "backbone.layer4"),
        ("efficientnet_lite0", "backbone.bn2"),
        ("timm:mobilenetv3_small_100", "backbone.blocks"),
        ("timm:convnext_atto", "backbone.stages"),
        ("cancervisionnet", "features"),
    ],
)
def test_it_agrees_with_pytorch_grad_cam(name, path, example, image, tmp_path):
    import_companion("torchvision")
    oracle = pytest.importorskip(
        "pytorch_grad_cam.base_cam", reason="pytorch-grad-cam is the oracle of this test"
    )

    class Signed(oracle.BaseCAM):
        """Its Grad-CAM before negative evidence is cut off and the rest stretched."""

        def get_cam_weights(self, input_tensor, target_layer, targets, activations, grads):
            return grads.mean(axis=(2, 3))

    folder = ModelFolder(tmp_path)
    network, info = write_model(folder, example, name)
    found = GradCam(folder, info).explain(image, 0).parts["cells"]
    inputs = torch.from_numpy(to_input(image[None], info.preprocessing)).requires_grad_()
    cam = Signed(network, [network.get_submodule(path)])
    outputs = cam.activations_and_grads(inputs)
    ((outputs[0, 0] - outputs[0, 1]) / info.temperature).backward()
    (activations,) = (a.detach().numpy() for a in cam.activations_and_grads.activations)
    (gradients,) = (g.detach().numpy() for g in cam.activations_and_grads.gradients)
    layer = cam.target_layers[0]
    expected = cam.get_cam_image(inputs, layer, None, activations, gradients)[0] * found.size
    cam.activations_and_grads.release()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
