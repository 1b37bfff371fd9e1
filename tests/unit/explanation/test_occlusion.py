"""Occlusion and RISE find what a known model looks at, and agree with other implementations."""

import numpy as np
import pytest

from eosin.explanation.evidence import log_odds, log_odds_gradient
from eosin.explanation.occlusion import Occlusion, Rise

PX = 40
DARK, LIGHT = 40, 200


def predict(images):
    """Return logits of a model that counts dark pixels in the left upper quarter."""
    corner = images[:, : PX // 2, : PX // 2].astype(float).mean(axis=(1, 2, 3))
    score = (LIGHT - corner) / 10
    return np.stack([-score, score], axis=1)


@pytest.fixture
def image():
    """An image whose left upper quarter, and right lower one, are dark."""
    made = np.full((PX, PX, 3), LIGHT, np.uint8)
    made[: PX // 2, : PX // 2] = DARK
    made[PX // 2 :, PX // 2 :] = DARK
    return made


def test_occlusion_points_at_what_the_model_uses(image):
    found = Occlusion(predict, (PX, PX), window_px=8, stride_px=4).explain(image, 1).map
    assert found.shape == (PX, PX)
    assert found[:12, :12].min() > 0.5
    # The other dark quarter is of no use to it.
    assert np.abs(found[28:, 28:]).max() == 0


def test_evidence_for_one_of_two_classes_is_evidence_against_the_other(image):
    explainer = Occlusion(predict, (PX, PX))
    mine, other = (explainer.explain(image, target).map for target in (0, 1))
    np.testing.assert_allclose(mine, -other, atol=1e-5)


def test_the_stated_number_of_masks_is_what_the_network_sees(image):
    seen = []

    def counting(images):
        seen.append(len(images))
        return predict(images)

    for make in (Occlusion, Rise):
        seen.clear()
        explainer = make(counting, (PX, PX))
        explainer.explain(image, 1)
        # Occlusion also needs the whole image.
        assert sum(seen) - (make is Occlusion) == explainer.n_masks
        assert str(explainer.n_masks) in explainer.settings
        assert max(seen) <= 32


def test_rise_points_at_what_the_model_uses(image):
    found = Rise(predict, (PX, PX)).explain(image, 1).map
    assert found[:12, :12].mean() > 0.3
    assert found[:12, :12].mean() > 4 * abs(found[28:, 28:].mean())


def test_rise_gives_the_same_map_again(image):
    first, second = (Rise(predict, (PX, PX)).explain(image, 1).map for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_rise_is_the_expectation_of_its_paper(image):
    rise = Rise(predict, (PX, PX), n_masks=64)
    masks = np.concatenate(list(rise.masks()))
    assert masks.shape == (64, PX, PX)
    fill = np.rint(image.mean(axis=(0, 1)))
    mixed = masks[..., None] * image + (1 - masks[..., None]) * fill
    scores = log_odds(predict(np.rint(mixed).astype(np.uint8)), 1)
    expected = np.einsum("n,nhw->hw", scores, masks) / masks.sum(axis=0) - scores.mean()
    np.testing.assert_allclose(rise.explain(image, 1).map, expected, atol=1e-4)


@pytest.mark.parametrize(("side", "window", "stride"), [(40, 7, 3), (41, 9, 9), (9, 9, 4)])
def test_every_pixel_is_hidden(side, window, stride):
    """A window reaches each border, whatever the sizes."""
    image = np.random.default_rng(0).integers(0, 255, (side, side, 3)).astype(np.uint8)
    hidden = np.zeros((side, side), bool)

    def watch(images):
        nonlocal hidden
        hidden |= (images != image).any(axis=(0, 3))
        return np.zeros((len(images), 2))

    Occlusion(watch, (side, side), window_px=window, stride_px=stride).explain(image, 0)
    assert hidden.mean() > 0.99  # a pixel may have the mean colour already


def test_a_model_that_ignores_the_image_has_flat_maps(image):
    for make in (Occlusion, Rise):
        assert make(lambda images: np.zeros((len(images), 2)), (PX, PX)).explain(image, 0).is_flat
    assert not Occlusion(predict, (PX, PX)).explain(image, 1).is_flat


def test_log_odds_are_those_of_the_probability():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for target in range(3):
        share = p[:, target]
        np.testing.assert_allclose(log_odds(logits, target), np.log(share / (1 - share)))
        step = 1e-6 * np.eye(3)
        slopes = [
            (log_odds(logits + d, target) - log_odds(logits - d, target)) / 2e-6 for d in step
        ]
        np.testing.assert_allclose(
            log_odds_gradient(logits, target), np.stack(slopes, 1), atol=1e-6
        )


def test_occlusion_agrees_with_captum(image):
    attr = pytest.importorskip("captum.attr", reason="captum is the oracle of this test")
    torch = pytest.importorskip("torch")
    fill = np.rint(image.mean(axis=(0, 1)))

    def forward(images):
        pixels = images.numpy().transpose(0, 2, 3, 1)
        return torch.from_numpy(log_odds(predict(pixels), 1))

    given = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
    base = torch.from_numpy(np.broadcast_to(fill[:, None, None], (1, 3, PX, PX)).astype(np.float32))
    expected = attr.Occlusion(forward).attribute(
        given, sliding_window_shapes=(3, 8, 8), strides=(3, 4, 4), baselines=base
    )
    found = Occlusion(predict, (PX, PX), window_px=8, stride_px=4).explain(image, 1).map
    np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=1e-4)


def test_rise_agrees_with_xaitk_saliency(image):
    impls = pytest.importorskip(
        "xaitk_saliency.impls.gen_classifier_conf_sal.rise_scoring",
        reason="xaitk-saliency is the oracle of this test",
    )
    rise = Rise(predict, (PX, PX), n_masks=200)
    masks = np.concatenate(list(rise.masks()))
    fill = np.rint(image.mean(axis=(0, 1)))
    mixed = masks[..., None] * image + (1 - masks[..., None]) * fill
    scores = log_odds(predict(np.rint(mixed).astype(np.uint8)), 1)
    # It subtracts no mean, and does not divide by how often a place was seen.
    centred = (scores - scores.mean())[:, None].astype(np.float32)
    expected = impls.RISEScoring(p1=0.5).generate(np.zeros(1), centred, masks)[0]
    found = rise.explain(image, 1).map * masks.sum(axis=0)
    np.testing.assert_allclose(found / np.abs(found).max(), expected, atol=1e-3)
