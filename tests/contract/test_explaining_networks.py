"""The last feature map of every registered network, and of timm's, is found and explained."""

import numpy as np
import pytest
import torch
from torch import nn

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.core.errors import UsageError
from eosin.explanation.cam import Cam
from eosin.explanation.feature_layer import find_feature_layer
from eosin.explanation.gradcam import GradCam
from eosin.exporting.onnx import write_onnx
from eosin.images.preprocess import make_preprocessing
from eosin.networks import NETWORKS, build_network
from eosin.runtime.door import import_companion
from eosin.training.checkpoints import save_weights

#: Inputs that leave more than one place.
PX = {"inception_v3": 139}
#: Networks that flatten their last feature map; all others end in pooling and one linear layer.
FLATTENING = {"cancervisionnet", "light_cnn", "mnist_cnn"}
HEAVY = {
    *("ernet34", "ernet50", "ernet101", "resnet34", "resnet50", "resnet101", "vgg16", "vgg19"),
    *("nasnet_mobile", "se_densenet121", "inception_v3"),
}
#: Channels and places of timm's own last feature map, at its own input.
TIMM = {
    "resnet18": (512, 7),
    "efficientnet_lite0": (1280, 7),
    "mobilenetv3_small_100": (576, 7),
    "densenet121": (1024, 7),
    "convnext_atto": (320, 7),
    "regnetx_002": (368, 7),
    "mambaout_femto": (288, 7),
    "vgg11": (512, 7),
    "swin_tiny_patch4_window7_224": (768, 7),
    "coatnet_0_rw_224": (768, 7),
    "inception_v4": (1536, 8),
}
TIMM_HEAVY = {
    *("vgg11", "swin_tiny_patch4_window7_224", "coatnet_0_rw_224", "inception_v4", "densenet121")
}
TOKENS = {
    "vit_tiny_patch16_224": False,
    "mixer_s32_224": False,
    "cait_xxs24_224": True,
    "hiera_tiny_224": True,
    "xcit_nano_12_p16_224": True,
}


def some_slow(names, heavy):
    return [pytest.param(n, marks=[pytest.mark.slow] if n in heavy else []) for n in names]


def build(name, px):
    network = build_network(name, num_classes=2, input_px=px, arguments={}, seed=1)
    # Where batch-norm's statistics are those of a new network, a deep one's logits are all alike.
    random = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(8, 3, px, px, generator=random))
    return network.eval()


@pytest.fixture(scope="module")
def example(tiny_run):
    return read_document(ModelFolder(tiny_run / "model").info, ModelInfo)


@pytest.mark.parametrize("name", some_slow(sorted(NETWORKS), HEAVY))
def test_grad_cam_is_the_class_activation_map_where_there_is_one(name, example, tmp_path):
    px = NETWORKS.get(name).input_px if name in FLATTENING else PX.get(name, 96)
    network = build(name, px)
    folder = ModelFolder(tmp_path)
    save_weights(folder.weights, network)
    info = example.model_copy(
        update={
            **{"architecture": name, "arguments": {}, "temperature": 1.5},
            "preprocessing": make_preprocessing("imagenet", px),
        }
    )
    image = np.random.default_rng(0).integers(0, 255, (px, px, 3)).astype(np.uint8)
    found = GradCam(folder, info).explain(image, 1)
    assert found.map.shape == (px, px)
    assert np.abs(found.map).max() > 0
    write_onnx(network, folder.onnx, (px, px))
    if name in FLATTENING:
        with pytest.raises(UsageError):
            Cam(folder, info)
        return
    expected = Cam(folder, info).explain(image, 1).parts["cells"]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.parts["cells"] / scale, expected / scale, atol=1e-3)


@pytest.mark.parametrize("name", some_slow(TIMM, TIMM_HEAVY))
def test_the_last_feature_map_of_timm_s_networks_is_found(name):
    import_companion("timm")
    network = build_network(f"timm:{name}", num_classes=2, input_px=224, arguments={}).eval()
    px = 299 if name == "inception_v4" else 224
    found = find_feature_layer(network, 3, (px, px))
    channels, side = TIMM[name]
    assert found.shape == (channels, side, side)
    image = torch.rand(1, 3, px, px, generator=torch.Generator().manual_seed(1))
    logits, features = found.run(network, image)
    assert found.channels_first(features).shape == (1, *found.shape)
    torch.testing.assert_close(logits, network(image))


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if is_slow else [])
                                  for n, is_slow in TOKENS.items()])  # fmt: skip
def test_networks_on_tokens_are_refused_with_another_method(name):
    network = build_network(f"timm:{name}", num_classes=2, input_px=224, arguments={}).eval()
    with pytest.raises(UsageError) as raised:
        find_feature_layer(network, 3, (224, 224))
    assert "occlusion" in raised.value.hint
