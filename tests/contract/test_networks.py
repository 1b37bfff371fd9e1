"""Every registered network through one suite, at the smallest input that it accepts."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from eosin.artifacts.layers import MOST_ROWS
from eosin.core.errors import RecipeError
from eosin.exporting.onnx import MAX_PROBABILITY_GAP, check_parity, write_onnx
from eosin.inference.graphs import permute_weights
from eosin.inference.onnx import OnnxNetwork
from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.layers import list_layers
from eosin.training.checkpoints import load_weights, save_weights

#: Learnable weights at the paper's input and classes; a network that is not here fails.
PARAMS = {
    "cancervisionnet": 9_922_498,
    "densenet121": 6_955_906,
    "efficientnet_lite0": 3_373_570,
    "efficientnet_lite0_block5": 700_994,
    "efficientnet_lite1": 4_138_242,
    "efficientnet_lite1_block5": 989_506,
    "efficientnet_lite2": 4_813_634,
    "efficientnet_lite2_block5": 1_161_826,
    "efficientnetv2_b0": 5_862_547,
    "ernet101": 42_773_314,
    "ernet18": 11_178_498,
    "ernet34": 21_292_034,
    "ernet50": 23_537_474,
    "inception_v3": 21_791_715,
    "light_cnn": 319_106,
    "mnist_cnn": 3_554,
    "mobilenet": 3_209_026,
    "nasnet_mobile": 4_236_149,
    "resnet101": 42_504_258,
    "resnet18": 11_177_538,
    "resnet34": 21_285_698,
    "resnet50": 23_512_130,
    "se_densenet121": 7_009_262,
    "vgg16": 14_715_714,
    "vgg19": 20_025_410,
}
NAMES = sorted(NETWORKS)
CLASSES = 3
HEAVY = 40_000_000
#: Networks of fewer weights bear larger steps.
FEW = 10_000


def mark_heavy(name):
    return pytest.param(name, marks=[pytest.mark.slow] if PARAMS.get(name, 0) > HEAVY else [])


pytestmark = pytest.mark.parametrize("name", [mark_heavy(name) for name in NAMES])


def small_px(name):
    """The smallest input; the paper's where that is small itself."""
    spec = NETWORKS.get(name)
    return spec.input_px if spec.input_px < 32 else spec.min_input_px


def build(name, *, seed=0, classes=CLASSES, px=None, **arguments):
    px = small_px(name) if px is None else px
    return build_network(name, num_classes=classes, input_px=px, arguments=arguments, seed=seed)


@pytest.fixture
def batch(name):
    """Sixteen images of noise with a class each."""
    px = small_px(name)
    images = torch.rand(16, 3, px, px, generator=torch.Generator().manual_seed(0))
    return images, torch.arange(16) % CLASSES


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def is_batch_norm(module):
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def freeze_randomness(network):
    """Make dropout and batch-norm behave as in evaluation, whatever the mode."""
    for module in network.modules():
        if isinstance(module, nn.Dropout) or is_batch_norm(module):
            module.eval()
    return network


def test_the_params_are_the_paper_s(name):
    spec = NETWORKS.get(name)
    given = {"num_classes": spec.num_classes, "input_px": spec.input_px, "arguments": {}}
    network = build_network(name, in_channels=spec.in_channels, **given)
    assert count_params(network) == PARAMS[name]
    assert spec.paper
    assert spec.min_input_px <= spec.input_px


def test_the_layers_add_up_and_end_in_the_classes(name):
    spec = NETWORKS.get(name)
    with torch.device("meta"):
        network = build(name, px=spec.input_px)
        table = list_layers(network, spec.input_px)
    assert table.total.params == table.total.trainable == count_params(network)
    assert table.layers[-1].output_shape == (CLASSES,)
    assert all(row.output_shape for row in table.layers)
    short = table.short()
    assert 4 < len(short) <= MOST_ROWS
    assert sum(row.buffers for row in short) == table.total.buffers


def test_images_become_logits_and_a_finite_loss(name, batch):
    images, targets = batch
    logits = build(name)(images)
    assert logits.shape == (16, CLASSES)
    assert logits.dtype == torch.float32
    assert torch.isfinite(functional.cross_entropy(logits, targets))


def test_other_sizes_are_taken(name):
    px = small_px(name) + 13
    assert build(name, px=px)(torch.zeros(2, 3, px, px)).shape == (2, CLASSES)


def test_every_weight_is_learnt(name, batch):
    images, targets = batch
    network = build(name)
    functional.cross_entropy(network(images), targets).backward()
    for key, weight in network.named_parameters():
        assert weight.grad is not None, key
        assert torch.isfinite(weight.grad).all(), key
        assert weight.grad.any(), key


def test_the_seed_alone_decides_the_weights(name):
    state = torch.get_rng_state()
    network = build(name, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert same(network, build(name, seed=5))
    assert not same(network, build(name, seed=6))


def test_only_dropout_and_batch_norm_know_the_mode(name, batch):
    images, _ = batch
    network = build(name)
    network(images)  # running statistics away from 0 and 1
    expected = network.eval()(images)
    assert torch.equal(network(images), expected)
    assert torch.equal(freeze_randomness(network.train())(images), expected)
    knows = any(
        module.p > 0 if isinstance(module, nn.Dropout) else is_batch_norm(module)
        for module in network.modules()
    )
    assert torch.equal(network.train()(images), expected) != knows


def test_sixteen_images_are_learnt_by_heart(name, batch):
    images, targets = batch
    network = build(name)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    # Without batch-norm a deep network bears smaller steps only, and takes 25 in place of 5.
    lr, steps = (1e-3, 25) if any(map(is_batch_norm, network.modules())) else (1e-4, 40)
    lr = 1e-2 if count_params(network) < FEW else lr
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    for _ in range(steps):
        logits = network(images)
        loss = functional.cross_entropy(logits, targets)
        if loss.item() < 0.1 and (logits.argmax(dim=1) == targets).all():
            return  # chance is ln 3 = 1.1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"a loss of {loss.item():.3g} after {steps} steps")


def test_saved_weights_read_back_bit_by_bit(name, batch, tmp_path):
    images, _ = batch
    network = build(name, seed=1)
    network(images)  # move batch-norm's statistics
    save_weights(tmp_path / "model.safetensors", network)
    other = build(name, seed=2)
    load_weights(tmp_path / "model.safetensors", other)
    assert same(network, other)
    assert torch.equal(network.eval()(images), other.eval()(images))
    assert load_file(tmp_path / "model.safetensors").keys() == network.state_dict().keys()


def test_onnx_says_the_same_for_any_number_of_images_until_it_is_shuffled(name, batch, tmp_path):
    images, _ = batch
    network = build(name)
    network(images)
    network.eval()
    path = tmp_path / "model.onnx"
    write_onnx(network, path, tuple(images.shape[2:]))
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    for count in (1, 2, 16):
        inputs = images[:count].numpy()
        assert check_parity(network, path, inputs) <= MAX_PROBABILITY_GAP
    assert not np.allclose(network(images[:1]).detach(), network(images[1:2]).detach())
    # As by the randomisation test of explanations.
    before = OnnxNetwork(path).run(inputs)
    path.write_bytes(permute_weights(path.read_bytes(), np.random.default_rng(0)))
    after = OnnxNetwork(path).run(inputs)
    assert np.isfinite(after).all()
    assert not np.allclose(after, before, rtol=1e-3, atol=1e-6)


def test_an_input_below_the_minimum_is_refused_by_name(name):
    least = NETWORKS.get(name).min_input_px
    with pytest.raises(RecipeError) as caught:
        build(name, px=least - 1)
    assert str(caught.value) == (
        f"'model.input_px': {name} needs at least {least} pixels, got {least - 1}"
    )


def total_stride(network, px):
    """How many pixels of the input make one of the last feature map."""
    sides = [px]

    def note(_module, _inputs, output):
        if output.shape[-1] > 1:  # one is left inside squeeze-and-excitation
            sides.append(output.shape[-1])

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, px, px))
    return px // min(sides)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_the_minimum_is_the_smallest_that_leaves_something(name):
    spec = NETWORKS.get(name)
    px = spec.min_input_px - 1

    # Past the registry's own check.
    network = spec.build(num_classes=2, input_px=px, in_channels=3)
    try:
        network(torch.zeros(2, 3, px, px))
    except RuntimeError as error:
        assert re.search("too small|greater than actual input", str(error))  # noqa: PT017
    else:  # padding keeps it alive on less than a pixel a stride
        assert spec.min_input_px == total_stride(network, 8 * spec.min_input_px)


def test_an_unknown_argument_is_refused_by_name(name):
    known = min(NETWORKS.get(name).arguments, default="")
    with pytest.raises(RecipeError) as caught:
        build(name, **{known + "s": 1})
    near = f". Did you mean {known!r}" if known else ""
    assert str(caught.value).startswith(
        f"'model.arguments.{known}s': {name} has no such argument{near}"
    )


def test_the_declared_arguments_are_the_builder_s_defaults(name):
    spec = NETWORKS.get(name)
    assert same(build(name), build(name, **spec.arguments))
