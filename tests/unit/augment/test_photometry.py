"""Stain, light, focus and tones do what they say; bytes and floats agree."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from eosin.augment import POLICIES, Drawn, Policy, augment_bytes
from eosin.augment.floats import augment_floats
from eosin.stain.density import colour_change, density_change

#: Grey levels between bytes and floats: one of rounding, one that a steeper change makes of it.
ROUNDED = 2.0
ONE = np.ones((1, 3))


def change(images, **ranges):
    policy = Policy(source="test", **ranges)
    return augment_bytes(images, policy.draw(0, 0, range(len(images)), channels=images.shape[-1]))


def density_of(images):
    return -np.log((images + 1.0) / 256.0)


def stained(images, scale=ONE, shift=0 * ONE, light=1.0):
    density = density_change(np.array(scale), np.array(shift), np.full((1, 1), light))
    return augment_bytes(images, Drawn(density=density))


def test_no_change_of_stain_changes_no_value():
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    np.testing.assert_array_equal(stained(images), images)


@pytest.mark.parametrize(("dye", "vector"), [(0, (0.65, 0.70, 0.29)), (1, (0.07, 0.99, 0.11))])
def test_a_dye_alone_is_scaled_alone(dye, vector):
    unit = np.array(vector) / np.linalg.norm(vector)
    amounts = np.linspace(0.05, 0.8, 64)
    images = np.round(256 * np.exp(-amounts[:, None] * unit) - 1).astype(np.uint8)
    images = images.reshape(1, 8, 8, 3)
    scale = ONE.copy()
    scale[0, dye] = 1.5
    wanted = 256 * np.exp(-1.5 * amounts[:, None] * unit) - 1
    np.testing.assert_allclose(stained(images, scale).reshape(-1, 3), wanted, atol=1.5)
    # The others have nothing to act on but rounding.
    np.testing.assert_allclose(stained(images, 2.5 * ONE - scale)[0, :4], images[0, :4], atol=2)


def test_brightness_is_a_factor_on_the_light(make_tissue):
    images = make_tissue(1, 16, 16)
    wanted = np.minimum((images + 1.0) * 0.8 - 1, 255)
    np.testing.assert_allclose(stained(images, light=0.8), wanted, atol=0.51)  # rounding
    assert (stained(np.full_like(images, 250), light=1.5) == 255).all()


def coloured(images, hue_deg=0.0, saturation=1.0, contrast=1.0):
    colour = colour_change(
        *(np.array([one]) for one in (np.deg2rad(hue_deg), saturation, contrast))
    )
    density = density_change(ONE, 0 * ONE, np.ones((1, 1)), colour)
    return augment_bytes(images, Drawn(density=density))


def test_a_third_of_a_turn_of_hue_hands_each_channel_on(make_tissue):
    images = make_tissue(1, 16, 16)
    seen = coloured(images, hue_deg=120.0)
    np.testing.assert_allclose(seen.astype(int), np.roll(images, 1, axis=3), atol=1)
    np.testing.assert_allclose(coloured(images, hue_deg=360.0).astype(int), images, atol=1)


def test_without_saturation_an_image_is_grey_of_the_same_density(make_tissue):
    images = make_tissue(1, 16, 16)
    grey = coloured(images, saturation=0.0)
    assert (grey == grey[..., :1]).all()
    wanted = 256 * np.exp(-density_of(images).mean(axis=3)) - 1
    np.testing.assert_allclose(grey[..., 0], wanted, atol=0.51)  # rounding


def test_contrast_is_a_factor_on_the_density_and_leaves_white(make_tissue):
    images = make_tissue(1, 16, 16)
    wanted = 256 * np.exp(-1.3 * density_of(images)) - 1
    np.testing.assert_allclose(coloured(images, contrast=1.3), wanted, atol=0.51)
    white = np.full((1, 4, 4, 3), 255, np.uint8)
    assert (coloured(white, hue_deg=50.0, saturation=1.5, contrast=1.3) == 255).all()


def test_as_many_images_are_grey_as_the_policy_says(make_tissue):
    images = make_tissue(400, 4, 4)
    seen = change(images, grey=0.2)
    is_grey = (seen == seen[..., :1]).all(axis=(1, 2, 3))
    assert 0.12 < is_grey.mean() < 0.28  # 400 draws: four standard deviations
    np.testing.assert_allclose(seen[~is_grey].astype(int), images[~is_grey], atol=1)


def test_the_strong_policy_changes_colour_by_more_than_the_jitter(make_tissue):
    images = make_tissue(300, 8, 8)
    weak, strong = (
        density_of(augment_bytes(images, POLICIES.get(name).draw(0, 0, range(300)))).mean((1, 2))
        for name in ("dihedral_jitter", "dihedral_strong")
    )
    for channels in ((0, 1), (1, 2), (0, 2)):
        spread = [np.std(one[:, channels[0]] - one[:, channels[1]]) for one in (weak, strong)]
        assert spread[1] > 1.5 * spread[0]


def test_white_stays_nearly_white_under_jitter():
    white = np.full((200, 4, 4, 3), 255, np.uint8)
    jittered = augment_bytes(white, POLICIES.get("stain_jitter").draw(0, 0, range(200)))
    assert jittered.min() >= 245
    assert jittered.mean() > 250


def test_a_bundle_is_stained_alike_and_a_missing_image_stays_black(make_tissue):
    one = make_tissue(20, 24, 24)
    stack = np.concatenate([one, np.zeros_like(one), one], axis=3)
    drawn = POLICIES.get("default").draw(3, 0, range(20), channels=9)
    seen = augment_bytes(stack, drawn)
    assert not seen[..., 3:6].any()
    # Three and nine channels are resampled in other groups.
    np.testing.assert_allclose(seen[..., :3].astype(int), seen[..., 6:].astype(int), atol=2)
    np.testing.assert_array_equal(
        change(stack, stain_scale=0.2)[..., 6:], change(one, stain_scale=0.2)
    )
    floats = augment_floats(torch.from_numpy(stack).permute(0, 3, 1, 2).float(), drawn)
    assert not floats[:, 3:6].any()


def test_every_second_image_is_blurred_within_its_range(make_tissue):
    images = make_tissue(400, 12, 12)
    sigma = Policy(source="test", blur=0.8).draw(0, 0, range(400)).blur
    assert 0.4 < (sigma > 0).mean() < 0.6  # 400 tosses: four standard deviations
    assert 0.75 < sigma.max() <= 0.8
    seen = change(images, blur=0.8)
    np.testing.assert_array_equal(seen[sigma == 0], images[sigma == 0])
    row = int(sigma.argmax())
    wanted = gaussian_filter(
        images[row].astype(float), (sigma[row], sigma[row], 0), mode="mirror", truncate=4
    )
    np.testing.assert_allclose(seen[row], wanted, atol=1.5)


def test_fluorescence_channels_change_apart_and_keep_their_order():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(4, axis=3).repeat(50, axis=0)
    seen = change(ramp, gain=0.2, gamma=0.2, offset=0.02).reshape(50, 256, 4).astype(int)
    assert (np.diff(seen, axis=1) >= 0).all()
    assert np.abs(seen[:, 0]).max() <= 6  # 0.02 of 255, rounded
    assert (seen[..., 0] != seen[..., 1]).any(axis=1).all()
    # More channels leave the first ones' changes as they were.
    np.testing.assert_array_equal(change(ramp[..., :2], gain=0.2), change(ramp, gain=0.2)[..., :2])


@pytest.mark.parametrize(
    ("policy", "channels"), [("default", 3), ("default", 6), ("stain_jitter", 3), ("p2", 3)]
    + [("dihedral_strong", 3), ("dihedral_strong", 6)]
    + [("fluorescence", n) for n in (1, 2, 5)],
)  # fmt: skip
def test_floats_change_as_bytes_do(policy, channels, make_tissue):
    images = np.concatenate([make_tissue(12, 40, 40)] * 2, axis=3)[..., :channels]
    drawn = POLICIES.get(policy).draw(5, 2, range(12), channels=channels)
    floats = augment_floats(torch.from_numpy(images).permute(0, 3, 1, 2).float(), drawn)
    seen = augment_bytes(images, drawn)
    assert not np.array_equal(seen, images)
    np.testing.assert_allclose(seen, floats.permute(0, 2, 3, 1), rtol=0, atol=ROUNDED)


def test_mixed_precision_is_left_to_the_network(make_tissue):
    floats = torch.from_numpy(make_tissue(4, 32, 32)).permute(0, 3, 1, 2).float()
    drawn = POLICIES.get("default").draw(5, 2, range(4))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = augment_floats(floats, drawn)
    assert torch.equal(mixed, augment_floats(floats, drawn))


@pytest.mark.parametrize(("policy", "channels"), [("default", 3), ("p3", 3), ("fluorescence", 4)])
def test_threads_and_company_change_no_bit(policy, channels, make_tissue, set_threads):
    images = np.concatenate([make_tissue(11, 96, 96)] * 2, axis=3)[..., :channels]
    policy = POLICIES.get(policy)
    seen = []
    for threads in (1, 2, 7):
        set_threads(threads)
        seen.append(augment_bytes(images, policy.draw(0, 0, range(11), channels=channels)))
    assert all(np.array_equal(seen[0], other) for other in seen[1:])
    alone = [
        augment_bytes(images[row : row + 1], policy.draw(0, 0, [row], channels=channels))[0]
        for row in range(11)
    ]
    np.testing.assert_array_equal(seen[0], alone)


def test_given_bytes_stay_as_they_are(make_tissue):
    images = make_tissue(4, 32, 32)
    before = images.copy()
    for name in ("default", "stain_jitter", "fluorescence"):
        augment_bytes(images, POLICIES.get(name).draw(0, 0, range(4)))
    np.testing.assert_array_equal(images, before)
