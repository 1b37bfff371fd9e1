"""Multi-crop evaluation in PyTorch, against a mean by hand and against NumPy's."""

import numpy as np
import pytest
import torch

from eosin.exporting.onnx import check_parity, write_onnx
from eosin.images.crops import average_crops, crop_origins, cut_crops
from eosin.images.preprocess import make_preprocessing
from eosin.inference.onnx import OnnxNetwork
from eosin.networks import build_network
from eosin.networks.multi_crop import MultiCrop, take_fields

FIELD, SIDE = (60, 90), 52


@pytest.fixture(scope="module")
def given():
    return make_preprocessing("unit", SIDE).model_copy(update={"input_px": FIELD, "crop_px": SIDE})


@pytest.fixture(scope="module")
def network():
    made = build_network("light_cnn", num_classes=3, input_px=SIDE, arguments={}, seed=1)
    return made.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(5, 3, *FIELD, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_the_output_is_the_logarithm_of_the_mean_probability_of_crops(given, network, images):
    crops = [
        images[:, :, top : top + SIDE, left : left + SIDE] for top, left in crop_origins(given)
    ]
    assert len(crops) == 4
    mean = torch.stack([network(crop).softmax(-1) for crop in crops]).mean(0)
    found = MultiCrop(network, given)(images)
    torch.testing.assert_close(found.exp(), mean)
    # The same in NumPy.
    logits = network(torch.from_numpy(cut_crops(images.numpy(), given))).numpy()
    np.testing.assert_allclose(found.numpy(), average_crops(logits, given), atol=1e-5)


def test_a_network_that_sees_its_input_whole_is_left_alone(network):
    assert take_fields(network, make_preprocessing("unit", SIDE)) is network


def test_the_exported_file_takes_fields(given, network, images, tmp_path):
    whole = take_fields(network, given).eval()
    write_onnx(whole, tmp_path / "model.onnx", FIELD)
    assert check_parity(whole, tmp_path / "model.onnx", images.numpy()) <= 1e-5
    # Any number of images, one alone as well.
    assert OnnxNetwork(tmp_path / "model.onnx").run(images[:1].numpy()).shape == (1, 3)


def test_it_has_no_weights_of_its_own(given, network):
    own = {name for name, _ in MultiCrop(network, given).named_parameters()}
    assert own == {f"network.{name}" for name, _ in network.named_parameters()}
