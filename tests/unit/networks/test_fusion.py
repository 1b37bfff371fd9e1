"""``fusion:NAME``: what it leaves out, what it shares, and what it refuses."""

import pytest
import torch
from safetensors.torch import save_file

from eosin.core.errors import RecipeError, UnknownNameError
from eosin.exporting.onnx import check_parity, write_onnx
from eosin.networks import build_network, count_params, find_spec
from eosin.networks.freezing import find_cut, freeze, hold_still
from eosin.networks.pretrained import load_pretrained
from eosin.networks.registry import count_macs
from eosin.training.tuning import Tuning

PX = 64


def build(name="light_cnn", n_branches=3, px=PX, seed=0, **arguments):
    return build_network(
        f"fusion:{name}",
        num_classes=2,
        input_px=px,
        in_channels=3 * n_branches,
        arguments=arguments,
        seed=seed,
    )


def stacks(*shown, n_branches=3):
    """Random images (B, 3 · M, H, W); ``shown`` says which there are, the others are constant."""
    images = torch.rand(len(shown), n_branches, 3, PX, PX, generator=torch.manual_seed(1))
    for images_of_one, there in zip(images, shown, strict=True):
        for place in set(range(n_branches)) - set(there):
            images_of_one[place] = torch.tensor([-2.1, -2.0, -1.8])[:, None, None]
    return images.flatten(1, 2)


def test_it_judges_the_mean_of_the_vectors_of_those_that_are_there():
    network = build().eval()
    images = stacks((0, 2), (1,), (0, 1, 2))
    with torch.inference_mode():
        vectors = network.backbone(images.unflatten(1, (3, 3)).flatten(0, 1)).unflatten(0, (3, 3))
        means = [vectors[0, [0, 2]].mean(0), vectors[1, 1], vectors[2].mean(0)]
        expected = network.head(torch.stack(means))
        torch.testing.assert_close(network(images), expected)


def test_the_order_of_the_images_says_nothing():
    network = build().eval()
    images = stacks((0, 2), (0, 1, 2))
    turned = images.unflatten(1, (3, 3))[:, [2, 0, 1]].flatten(1, 2)
    with torch.inference_mode():
        torch.testing.assert_close(network(turned), network(images))


def test_one_image_is_judged_as_by_the_network_itself():
    plain = build_network("light_cnn", num_classes=2, input_px=PX, arguments={}, seed=4).eval()
    fused = build(n_branches=3).eval()
    weights = {f"backbone.{key}": value for key, value in plain.state_dict().items()}
    weights = {key.replace("backbone.classifier.3", "head"): v for key, v in weights.items()}
    fused.load_state_dict(weights)
    images = stacks((1,))
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), plain(images[:, 3:6]))


def test_a_bundle_of_nothing_is_judged_by_the_head_alone():
    network = build().eval()
    with torch.inference_mode():
        logits = network(stacks(()))
        torch.testing.assert_close(logits, network.head(torch.zeros(1, 128)))


def test_what_is_missing_leaves_batch_norm_and_gradients_alone():
    images = stacks((0, 1), (2,), (0, 1, 2))
    black, white = images.clone(), images.unflatten(1, (3, 3)).clone()
    white[0, 2] = white[1, :2] = 5.0
    found = []
    for batch in (black, white.flatten(1, 2)):
        network = build().train()
        network(batch).sum().backward()
        found.append((network.state_dict(), [p.grad for p in network.parameters()]))
    torch.testing.assert_close(*found)


def test_a_grey_level_in_one_pixel_is_an_image_and_rounding_is_none():
    network = build(n_branches=2).eval()
    images = torch.full((2, 6, PX, PX), -103.9)  # as the light CNN's own preprocessing leaves black
    images[0, 3, 5, 5] += 0.004
    images[1] *= 1 + 1e-7 * torch.rand(6, PX, PX)
    with torch.inference_mode():
        empty = network.head(torch.zeros(1, 128))[0]
        logits = network(images)
    assert not torch.allclose(logits[0], empty)
    torch.testing.assert_close(logits[1], empty)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "light_cnn"])
def test_stages_are_those_of_the_network_and_the_head_is_the_last(name):
    spec = find_spec(f"fusion:{name}")
    assert list(spec.stages) == list(find_spec(name).stages)
    with torch.device("meta"):
        network = build(name)
    for stage, path in spec.stages.items():
        assert find_cut(network, spec.stages, f"before:{stage}") == path
        assert network.get_submodule(path) is not None
    assert spec.stages["head"] == "head"


def test_imagenet_s_weights_fill_it_as_they_fill_the_network_itself():
    spec = find_spec("fusion:efficientnet_lite0")
    network = build("efficientnet_lite0", n_branches=4)
    loaded = load_pretrained(network, spec, "imagenet")
    assert loaded.missing == ()
    assert loaded.averaged is None


def test_its_cost_is_that_of_all_branches():
    with torch.device("meta"):
        one, three = (build(n_branches=n) for n in (1, 3))
        costs = [count_macs(one, PX, 3), count_macs(three, PX, 9)]
    assert costs[1] == 3 * costs[0] - 2 * 128 * 2  # the head evaluates once


def test_separate_branches_see_a_magnification_each():
    network = build(branches="separate").eval()
    images = stacks((0, 2), (1,), (0, 1, 2))
    each = images.unflatten(1, (3, 3))
    with torch.inference_mode():
        vectors = torch.stack([b(each[:, i]) for i, b in enumerate(network.backbone)], dim=1)
        means = [vectors[0, [0, 2]].mean(0), vectors[1, 1], vectors[2].mean(0)]
        torch.testing.assert_close(network(images), network.head(torch.stack(means)))
        turned = each[:, [2, 0, 1]].flatten(1, 2)
        assert not torch.allclose(network(turned), network(images))


def test_separate_branches_have_weights_of_their_own():
    one, shared, separate = build(n_branches=1), build(), build(branches="separate")
    head = count_params(one.head)
    assert count_params(shared) == count_params(one)
    assert count_params(separate) == 3 * (count_params(one) - head) + head
    first, second, _ = (branch.features[0].weight for branch in separate.backbone)
    assert not torch.equal(first, second)
    with torch.device("meta"):
        costs = [count_macs(build(branches=kind), PX, 9) for kind in ("shared", "separate")]
    assert costs[0] == costs[1]


@pytest.mark.parametrize("name", ["efficientnet_lite0", "light_cnn"])
def test_pretrained_weights_fill_every_branch(name, tmp_path):
    spec = find_spec(f"fusion:{name}")
    network = build(name, branches="separate")
    source = "imagenet"
    if name == "light_cnn":
        source = tmp_path / "weights.safetensors"
        plain = build_network(name, num_classes=2, input_px=PX, arguments={}, seed=4)
        save_file(plain.state_dict(), source)
    loaded = load_pretrained(network, spec, source)
    assert loaded.missing == ()
    states = [branch.state_dict() for branch in network.backbone]
    assert len(loaded.matched) == 3 * len(states[0])
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)
    torch.testing.assert_close(states[0], states[2], rtol=0, atol=0)
    with pytest.raises(AssertionError):  # not as at random
        torch.testing.assert_close(
            states[0], build(name, branches="separate").backbone[0].state_dict()
        )


def test_its_own_weights_and_shared_ones_are_initial_weights_of_separate_branches(tmp_path):
    spec, path = find_spec("fusion:light_cnn"), tmp_path / "weights.safetensors"
    for source in (build(seed=4, branches="separate"), build(seed=5)):
        save_file(source.state_dict(), path)
        network = build(branches="separate")
        assert load_pretrained(network, spec, path).missing == ()
        is_shared = not isinstance(source.backbone, torch.nn.ModuleList)
        for place, branch in enumerate(network.backbone):
            expected = source.backbone if is_shared else source.backbone[place]
            torch.testing.assert_close(branch.state_dict(), expected.state_dict(), rtol=0, atol=0)


def test_a_cut_goes_through_every_branch():
    spec = find_spec("fusion:light_cnn")
    plain, network = build(n_branches=1), build(branches="separate")
    head = count_params(plain.head)
    for stage in spec.stages:
        cut = find_cut(network, spec.stages, f"before:{stage}")
        assert freeze(network, cut) == 3 * (freeze(plain, cut) - head) + head
    hold_still(network.train(), find_cut(network, spec.stages, "before:conv2"))
    for branch in network.backbone:
        assert [layer.training for layer in branch.features[:4]] == [False, False, False, True]


def test_separate_branches_thaw_together_and_at_one_rate():
    spec = find_spec("fusion:light_cnn")
    tuning = Tuning(spec.stages, "backbone", unfreeze_every=1, layer_decay=0.5)
    plain, network = build(n_branches=1), build(branches="separate")
    assert [tuning.cut(network, e) for e in range(6)] == [tuning.cut(plain, e) for e in range(6)]
    sizes = [
        [(sum(weight.numel() for weight in weights), rate) for weights, rate in tuning.rates(one)]
        for one in (plain, network)
    ]
    expected = [(n if rate == 1.0 else 3 * n, rate) for n, rate in sizes[0]]
    assert sizes[1] == expected


def test_a_branch_learns_the_statistics_of_its_magnification_alone():
    images = stacks((0,), (0, 1), (1, 2), (0, 2)).unflatten(1, (3, 3))
    missing = (images.amax(dim=(3, 4)) == images.amin(dim=(3, 4))).all(dim=2)
    images = (
        images
        + torch.tensor([0.0, 10.0, 20.0])[:, None, None, None] * ~missing[..., None, None, None]
    )
    network = build(branches="separate").train()
    network(images.flatten(1, 2))
    alone = build(branches="separate").train()
    for place, branch in enumerate(alone.backbone):
        rows = {0: [0, 1, 0, 3], 1: [1, 1, 2, 2], 2: [2, 3, 2, 3]}[place]
        branch(images[rows, place])
    found, expected = (
        {key: value for key, value in one.state_dict().items() if "running" in key}
        for one in (network, alone)
    )
    torch.testing.assert_close(found, expected)


def test_separate_branches_are_exported_as_they_are(tmp_path):
    network = build(branches="separate")
    network(stacks((0, 1, 2), (1,)))
    network.eval()
    write_onnx(network, tmp_path / "model.onnx", (PX, PX), 9)
    for images in (stacks((0, 2)), stacks((1,), (0, 1, 2), (2,))):
        assert check_parity(network, tmp_path / "model.onnx", images.numpy()) <= 1e-4


def test_other_branches_are_refused():
    with pytest.raises(RecipeError, match=r"branches' must be 'shared' or 'separate', got 'own'"):
        build(branches="own")


def test_other_channels_than_whole_images_are_refused():
    with pytest.raises(RecipeError, match=r"fusion:light_cnn .* three channels each, got 4"):
        build_network("fusion:light_cnn", num_classes=2, input_px=PX, in_channels=4, arguments={})


@pytest.mark.parametrize("name", ["fusion:fusion:light_cnn", "fusion:embedding:a.npz"])
def test_what_sees_no_single_image_is_refused(name):
    with pytest.raises(RecipeError, match="fuses networks that take one image"):
        find_spec(name)


def test_an_unknown_network_is_answered_with_close_ones():
    with pytest.raises(UnknownNameError, match="light_cnn"):
        find_spec("fusion:light_cn")
