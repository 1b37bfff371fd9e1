"""The last feature maps of each size are found, named and drawn."""

import numpy as np
import pytest
import torch

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.explanation.feature_maps import FeatureMaps, most_active
from eosin.exporting.onnx import write_onnx
from eosin.images.preprocess import make_preprocessing, to_input
from eosin.networks import build_network
from eosin.reporting.feature_grids import draw_feature_maps, lay_out
from eosin.training.checkpoints import save_weights

PX = 64


@pytest.fixture(scope="module")
def example(tiny_run):
    return read_document(ModelFolder(tiny_run / "model").info, ModelInfo)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (PX, PX, 3)).astype(np.uint8)


def test_the_layers_are_the_stages_of_a_residual_network(example, image, tmp_path):
    network = build_network("resnet18", num_classes=2, input_px=PX, arguments={}).eval()
    write_onnx(network, tmp_path / "model.onnx", (PX, PX))
    info = example.model_copy(update={"preprocessing": make_preprocessing("imagenet", PX)})
    layers = FeatureMaps(ModelFolder(tmp_path), info).find(image)
    stages = [network.backbone.act1, *(getattr(network.backbone, f"layer{n}") for n in range(1, 5))]
    expected = []
    for stage in stages:
        stage.register_forward_hook(lambda *given: expected.append(given[-1][0].numpy().copy()))
    with torch.inference_mode():
        network(torch.from_numpy(to_input(image[None], info.preprocessing)))
    assert [layer.maps.shape for layer in layers] == [maps.shape for maps in expected]
    for layer, maps in zip(layers, expected, strict=True):
        np.testing.assert_allclose(layer.maps, maps, atol=1e-3)
    assert [n in layer.name for n, layer in zip(("act1", "layer1"), layers, strict=False)]


def test_the_engine_s_maps_are_those_of_onnx(example, image, tmp_path):
    network = build_network("light_cnn", num_classes=2, input_px=PX, arguments={}).eval()
    info = example.model_copy(update={"architecture": "light_cnn", "arguments": {}})
    made = []
    for name in ("onnx", "engine"):
        folder = ModelFolder(tmp_path / name)
        folder.root.mkdir()
        save_weights(folder.weights, network)
        if name == "onnx":
            write_onnx(network, folder.onnx, (PX, PX))
        made.append(FeatureMaps(folder, info).find(image))
    assert len(made[0]) == len(made[1]) > 2
    for one, other in zip(*made, strict=True):
        np.testing.assert_allclose(one.maps, other.maps, atol=1e-3)


def test_of_folds_they_are_the_first_fold_s(run_of, image):
    run = run_of("folds")
    folder = ModelFolder(run / "model")
    found = FeatureMaps(folder, read_document(folder.info, ModelInfo))
    assert found.member == "fold 0-0"
    own = ModelFolder(run / "folds" / "0-0" / "model")
    alone = FeatureMaps(own, read_document(own.info, ModelInfo))
    assert found.names == alone.names
    for one, other in zip(found.find(image), alone.find(image), strict=True):
        np.testing.assert_allclose(one.maps, other.maps, atol=1e-3)


def test_maps_stand_side_by_side_with_white_between():
    maps = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 2, 3), np.float32)
    laid = lay_out(maps, 3)
    assert laid.shape == (2 * 3 - 1, 3 * 4 - 1)
    assert laid[0, 0] == 0
    assert laid[3, 4] == 4
    assert np.isnan(laid[2]).all()
    assert np.isnan(laid[3:, 8:]).all()


def test_the_most_active_channels_keep_their_order():
    maps = np.zeros((4, 2, 2), np.float32)
    maps[1], maps[3], maps[0] = -3, 2, 1
    assert most_active(maps, 2) == [1, 3]


def test_a_sheet_has_every_layer(run_of, image):
    folder = ModelFolder(run_of("grouped") / "model")
    layers = FeatureMaps(folder, read_document(folder.info, ModelInfo)).find(image)
    one = draw_feature_maps(image, layers[:1], ("name",))
    every = draw_feature_maps(image, layers, ("name",))
    assert every.width == one.width
    assert every.height > one.height
    assert np.asarray(every).std() > 0
