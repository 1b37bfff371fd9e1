"""``fusion:NAME``: what it leaves out, what it shares, and what it refuses."""

import pytest
import torch

from eosin.core.errors import RecipeError, UnknownNameError
from eosin.networks import build_network, find_spec
from eosin.networks.freezing import find_cut
from eosin.networks.pretrained import load_pretrained
from eosin.networks.registry import count_macs

PX = 64


def build(name="light_cnn", n_branches=3, px=PX):
    return build_network(
        f"fusion:{name}", num_classes=2, input_px=px, in_channels=3 * n_branches, arguments={}
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


def test_other_channels_than_whole_images_are_refused():
    with pytest.raises(RecipeError, match=r"fusion:light_cnn .* three channels each, got 4"):
        build_network("fusion:light_cnn", num_classes=2, input_px=PX, in_channels=4, arguments={})


@pytest.mark.parametrize("name", ["fusion:fusion:light_cnn", "fusion:embedding:a.npz"])
def test_what_sees_no_single_image_is_refused(name):
    with pytest.raises(RecipeError, match="fuses what sees one image"):
        find_spec(name)


def test_an_unknown_network_is_answered_with_close_ones():
    with pytest.raises(UnknownNameError, match="light_cnn"):
        find_spec("fusion:light_cn")
