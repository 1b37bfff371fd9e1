"""NASNet-Mobile: counted by hand, and its cells beside timm's.

The whole network was also compared with Keras 3.15.1 (weights copied over): pooled features agree
to 1e-6 of the largest at 32, 50, 97 and 224 pixels. Keras is not among the tests' packages.
"""

import pytest
import torch
from torch import nn

from eosin.core.errors import RecipeError
from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.freezing import find_cut, freeze
from eosin.networks.nasnet import (
    HalvingPad,
    HalvingProjection,
    NormalCell,
    Projection,
    ReductionCell,
    Separable,
    make_norm,
)
from eosin.networks.registry import count_macs
from eosin.runtime.door import import_companion

#: Cell → filters, learnable weights, channels and side of its output at 224 pixels.
CELLS = {
    "stem_1": (11, 8_534, 44, 56),
    "stem_2": (22, 13_948, 88, 28),
    "normal_0": (44, 33_000, 264, 28),
    "normal_1": (44, 42_680, 264, 28),
    "normal_2": (44, 50_424, 264, 28),
    "normal_3": (44, 50_424, 264, 28),
    "reduce_4": (88, 153_648, 352, 14),
    "normal_5": (88, 147_312, 528, 14),
    "normal_6": (88, 170_544, 528, 14),
    "normal_7": (88, 186_032, 528, 14),
    "normal_8": (88, 186_032, 528, 14),
    "reduce_8": (176, 555_104, 704, 7),
    "normal_9": (176, 557_920, 1056, 7),
    "normal_10": (176, 650_848, 1056, 7),
    "normal_11": (176, 712_800, 1056, 7),
    "normal_12": (176, 712_800, 1056, 7),
}


@pytest.fixture(scope="module")
def network():
    return build_network("nasnet_mobile", num_classes=3, input_px=224, arguments={})


def projection(c_in, c_out):
    """1 × 1 convolution without bias, and batch-norm's scale and shift."""
    return c_in * c_out + 2 * c_out


def separable(c_in, c_out, kernel):
    first = kernel**2 * c_in + projection(c_in, c_out)
    return first + kernel**2 * c_out + projection(c_out, c_out)


def weights_of_a_cell(filters, last, earlier, *, is_reduction):
    """Count after figure 4. An earlier input of ``None`` is the stem's 32 channels as they are.

    Two 1 × 1 convolutions of half the filters, as where the earlier input is halved, have as many
    weights as one of all.
    """
    p = 32 if earlier is None else filters
    adjust = 0 if earlier is None else projection(earlier, filters)
    kernels = [(filters, 5), (p, 7), (p, 7), (p, 5), (filters, 3)]
    if not is_reduction:
        kernels = [(filters, kernel) for kernel in (5, 3, 5, 3, 3)]
    branches = sum(separable(c_in, filters, kernel) for c_in, kernel in kernels)
    return adjust + projection(last, filters) + branches


def test_one_cell_on_paper():
    # stem_1: h 32·11 + 22; 5×5 on h 275 + 121 + 22 twice; on the stem's 32 channels 7×7 twice
    # (1568 + 352 + 22, then 539 + 121 + 22) and 5×5 (800 + 352 + 22, then 418); 3×3 242 twice.
    by_hand = 374 + 2 * 418 + 2 * (1_942 + 682) + (1_174 + 418) + 2 * 242
    assert by_hand == CELLS["stem_1"][1]
    assert weights_of_a_cell(11, 32, None, is_reduction=True) == by_hand


def test_every_cell_s_weights_follow_from_the_figure():
    earlier, last = None, 32
    total = 3 * 32 * 9 + 2 * 32
    for name, (filters, weights, channels, _) in CELLS.items():
        is_reduction = not name.startswith("normal")
        assert channels == filters * (4 if is_reduction else 6)
        count = weights_of_a_cell(filters, last, earlier, is_reduction=is_reduction)
        assert count == weights, name
        earlier, last, total = last, channels, total + count
    assert total == 4_232_978


def test_the_network_has_those_weights(network):
    assert count_params(network.backbone.stem) == 928
    counts = {name: count_params(cell) for name, cell in network.backbone.cells.items()}
    assert counts == {name: row[1] for name, row in CELLS.items()}
    assert count_params(network.backbone) == 4_232_978
    assert count_params(network.head) == 3 * 1_056 + 3


def test_keras_counts_batch_norm_s_buffers_too(network):
    buffers = network.backbone.named_buffers()
    count = sum(value.numel() for key, value in buffers if "num_batches" not in key)
    assert count == 36_738
    assert count_params(network.backbone) + count == 4_269_716


def test_a_thousand_classes_cost_the_paper_s_564_million():
    network = NETWORKS.get("nasnet_mobile").build(num_classes=1_000)
    assert round(count_macs(network, 224) / 1e6) == 564


@torch.inference_mode()
def test_the_shape_after_every_cell(network):
    shapes = {}
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: shapes.__setitem__(name, output.shape[1:])
        )
        for name, module in [("stem", network.backbone.stem), *network.backbone.cells.items()]
    ]
    features = network.backbone(torch.zeros(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    assert shapes.pop("stem") == (32, 111, 111)
    assert shapes == {name: (row[2], row[3], row[3]) for name, row in CELLS.items()}
    assert features.shape == (1, 1_056)


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (50, 50), (96, 131)])
def test_odd_and_oblong_sizes_are_taken(network, height, width):
    assert network(torch.zeros(2, 3, height, width)).shape == (2, 3)


def test_batch_norm_has_keras_numbers(network):
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 3e-4)}
    assert make_norm(4).momentum == pytest.approx(1 - 0.9997)


def test_weights_start_as_in_keras(network):
    cell = network.backbone.cells["normal_12"]
    projected = cell.last[1].weight  # He: 1,056 channels in
    assert projected.std().item() == pytest.approx((2 / 1_056) ** 0.5, rel=0.02)
    pointwise = cell.left1[2].weight  # Glorot: 176 channels in, 176 out
    limit = (6 / 352) ** 0.5
    assert 0.99 * limit < pointwise.abs().max().item() <= limit
    assert pointwise.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)


def test_freezing_follows_the_order_from_input_to_output(network):
    stages = NETWORKS.get("nasnet_mobile").stages
    head = 3 * 1_056 + 3
    expected = {"reduce2": 555_104, "normal3": 557_920 + 650_848 + 2 * 712_800}
    expected["reduce2"] += expected["normal3"]
    for stage, weights in expected.items():
        assert freeze(network, find_cut(network, stages, f"before:{stage}")) == weights + head
    assert freeze(network, find_cut(network, stages, "backbone")) == head
    assert freeze(network, None) == 4_232_978 + head


def test_a_dropout_rate_is_a_share():
    with pytest.raises(RecipeError, match=r"'model\.arguments\.head_dropout' must be at least 0"):
        build_network("nasnet_mobile", num_classes=2, input_px=32, arguments={"head_dropout": 1.0})


# ------------------------------------------------------------------- beside timm's NASNet-A-Large


def near_duplicates(ours, theirs):
    """Random weights and statistics for both, told apart by the order of definition alone."""
    torch.manual_seed(0)
    source = [value for key, value in theirs.state_dict().items() if "num_batches" not in key]
    target = [value for key, value in ours.state_dict().items() if "num_batches" not in key]
    for a, b in zip(source, target, strict=True):
        a.copy_(torch.rand_like(a) + 0.1 if a.ndim == 1 else torch.randn_like(a))
        b.copy_(a)
    return ours.eval(), theirs.eval()


@torch.inference_mode()
@pytest.mark.parametrize("side", [12, 13])
def test_timm_s_normal_cell_says_the_same(side):
    timm = import_companion("timm.models.nasnet")
    ours, theirs = near_duplicates(
        NormalCell(Projection(10, 8), 20, 8), timm.NormalCell(10, 8, 20, 8, pad_type="same")
    )
    last, earlier = torch.randn(2, 20, side, side), torch.randn(2, 10, side, side)
    torch.testing.assert_close(ours(last, earlier), theirs(last, earlier), rtol=1e-4, atol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("side", [12, 13])
def test_timm_s_reduction_cell_says_the_same_away_from_the_border(side):
    # There, TensorFlow's pooling leaves padding out, and Keras' lets its zeros take part.
    timm = import_companion("timm.models.nasnet")
    ours, theirs = near_duplicates(
        ReductionCell(Projection(10, 8), 8, 20, 8),
        timm.ReductionCell0(10, 8, 20, 8, pad_type="same"),
    )
    last, earlier = torch.randn(2, 20, side, side), torch.randn(2, 10, side, side)
    out, expected = ours(last, earlier), theirs(last, earlier)
    assert out.shape == expected.shape
    inner = (slice(None), slice(None), slice(side % 2, -1), slice(side % 2, -1))
    torch.testing.assert_close(out[inner], expected[inner], rtol=1e-4, atol=1e-3)
    assert not torch.allclose(out, expected, rtol=1e-4, atol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("side", [8, 9])
def test_timm_s_halving_of_the_earlier_map_says_the_same(side):
    timm = import_companion("timm.models.nasnet")
    theirs = timm.FirstCell(6, 4, 12, 8, pad_type="same").eval()
    ours = HalvingProjection(6, 8).eval()
    ours.even.weight.copy_(theirs.path_1.conv.weight)
    ours.odd.weight.copy_(theirs.path_2.conv.weight)
    maps = torch.randn(2, 6, side, side)
    active = theirs.act(maps)
    halves = torch.cat([theirs.path_1(active), theirs.path_2(active)], dim=1)
    torch.testing.assert_close(ours(maps), theirs.final_path_bn(halves))


def test_the_border_of_a_halving_pool_by_hand():
    # One channel, 2 × 2 pixels of -9: Keras pads zeros below and to the right.
    padded = HalvingPad(3)(torch.full((1, 1, 2, 2), -9.0))
    assert padded[0, 0].tolist() == [[-9.0, -9.0, 0.0], [-9.0, -9.0, 0.0], [0.0, 0.0, 0.0]]
    assert nn.functional.max_pool2d(padded, 3, stride=2).item() == 0.0
    assert nn.functional.avg_pool2d(padded, 3, stride=2).item() == -4.0
    # An odd side gets as many before as after.
    assert HalvingPad(7)(torch.zeros(1, 1, 4, 5)).shape == (1, 1, 2 + 4 + 3, 3 + 5 + 3)


def test_a_separable_block_halves_upwards():
    for side in (1, 2, 7, 8):
        maps = torch.zeros(2, 3, side, side)
        for kernel in (3, 5, 7):
            assert Separable(3, 4, kernel, stride=2)(maps).shape[2:] == ((side + 1) // 2,) * 2
            assert Separable(3, 4, kernel)(maps).shape == (2, 4, side, side)
