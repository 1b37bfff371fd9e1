import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import mahalanobis as scipy_mahalanobis

from eosin.artifacts.gate import REFUSALS
from eosin.artifacts.model import Planes, Window
from eosin.evaluation.gate import fit_gate
from eosin.images.preprocess import make_preprocessing
from eosin.inference.gate import (
    find_refused,
    mahalanobis,
    measure_images,
    measures_of,
    reasons_of,
)

SIDE = 64
RGB = make_preprocessing("unit", SIDE)
WINDOW = Window(low=(0, 0), high=(255, 255), percentiles=None)
#: Optical density of two stains, in red, green and blue.
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])


def draw(seed, n=1, sigma=1.5, n_channels=3):
    """Return n images of two stains in blobs, uint8; patients differ in amounts and in focus."""
    rng = np.random.default_rng(seed)
    amounts, sigma = rng.uniform(0.5, 1.5, 2), sigma * rng.uniform(0.8, 1.2)
    found = []
    for _ in range(n):
        fields = [gaussian_filter(rng.normal(size=(SIDE, SIDE)), sigma) for _ in STAINS]
        fields = [np.abs(field / field.std()) * 0.4 for field in fields]
        light = np.stack(fields, axis=-1) * amounts @ STAINS
        image = 255 * np.exp(-light) + rng.normal(0, 2, light.shape)
        found.append(image[..., :n_channels].clip(0, 255).astype(np.uint8))
    return np.stack(found)


@pytest.fixture(scope="module")
def gate():
    images = np.concatenate([draw(seed, 8) for seed in range(20)])
    return fit_gate(images, np.repeat(np.arange(20), 8), RGB)


def altered(change):
    images = np.concatenate([draw(seed) for seed in range(100, 110)]).astype(float)
    return np.asarray(change(images)).clip(0, 255).astype(np.uint8)


def mark(images):
    images[:, :, 20:26] = [20, 40, 170]
    return images


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("", lambda images: images),
        ("blank", lambda images: np.full_like(images, 250)),
        ("blank", lambda images: 0 * images + [220, 20, 20]),
        ("blurred", lambda images: gaussian_filter(images, (0, 1.5, 1.5, 0))),
        ("ink", mark),
        ("stain", lambda images: np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)),
        ("scale", lambda images: np.tile(images[:, ::3, ::3], (1, 3, 3, 1))[:, :SIDE, :SIDE]),
        ("domain", lambda images: np.repeat(np.where(images[..., :1] > 220, 255.0, 0.0), 3, -1)),
    ],
)  # fmt: skip
def test_each_fault_is_refused_for_its_reason(gate, reason, change):
    found = list(find_refused(gate, altered(change), RGB))
    assert max(set(found), key=found.count) == reason
    assert (np.array(found) == "").mean() in (0.0, 1.0)


def test_structure_depends_neither_on_contrast_nor_on_light():
    image = draw(0).astype(float)
    names = measures_of(RGB)
    places = [names.index(name) for name in ("softness", "octave_2", "octave_3")]
    faint = (image * 0.5 + 100).round().astype(np.uint8)
    plain, pale = (measure_images(one, RGB)[0, 0, places] for one in (draw(0), faint))
    assert plain == pytest.approx(pale, abs=0.05)


def test_an_octave_of_averaging_moves_the_spectrum_by_one_place():
    preprocessing = make_preprocessing("unit", 128)
    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.normal(size=(128, 128)), 3)
    coarse = np.repeat((128 + 40 * field / field.std())[..., None], 3, axis=-1)[None]
    fine = coarse[:, ::2, ::2].repeat(2, axis=0).reshape(2, 64, 64, 3)[:1]
    own = measure_images(coarse.clip(0, 255).astype(np.uint8), preprocessing)[0, 0]
    half = measure_images(fine.clip(0, 255).astype(np.uint8), make_preprocessing("unit", 64))[0, 0]
    names, halved = measures_of(preprocessing), measures_of(make_preprocessing("unit", 64))
    assert half[halved.index("octave_2")] == pytest.approx(own[names.index("octave_3")], abs=0.2)


def test_energies_of_octaves_are_those_of_the_haar_details():
    image = draw(3)[0, ..., 1].astype(float)
    quarters = [image[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    a, b, c, d = quarters
    details = [(a + b - c - d) / 4, (a - b + c - d) / 4, (a - b - c + d) / 4]
    finest = sum(float((one**2).mean()) for one in details)
    means = sum(quarters) / 4
    next_details = sum(
        float((one**2).mean())
        for one in (
            (means[::2, ::2] + means[::2, 1::2] - means[1::2, ::2] - means[1::2, 1::2]) / 4,
            (means[::2, ::2] - means[::2, 1::2] + means[1::2, ::2] - means[1::2, 1::2]) / 4,
            (means[::2, ::2] - means[::2, 1::2] - means[1::2, ::2] + means[1::2, 1::2]) / 4,
        )
    )
    found = measure_images(draw(3), RGB)[0, 0, measures_of(RGB).index("softness")]
    assert found == pytest.approx(next_details / finest, rel=1e-3)


def test_the_distance_is_that_of_scipy():
    rng = np.random.default_rng(0)
    values, mean = rng.normal(size=(5, 4)), rng.normal(size=4)
    root = rng.normal(size=(4, 4))
    precision = root @ root.T + np.eye(4)
    wanted = [scipy_mahalanobis(one, mean, precision) / 2 for one in values]
    assert mahalanobis(values, mean, precision) == pytest.approx(wanted)


@pytest.mark.parametrize("side", [1, 3, 8, 17, 28])
@pytest.mark.parametrize("value", [0, 127, 255])
def test_plain_images_of_every_size_have_finite_measures_or_none(side, value):
    preprocessing = make_preprocessing("unit", side)
    images = np.full((1, side, side, 3), value, dtype=np.uint8)
    found = measure_images(images, preprocessing)
    assert found.shape == (1, 1, len(measures_of(preprocessing)))
    assert not np.isinf(found).any()


def test_every_measure_has_known_reasons():
    planes = Planes(chosen=(0, 1), n_stored=2, bits=8, window=WINDOW)
    fluorescence = make_preprocessing("unit", SIDE, channels=("DNA", "x"), planes=planes)
    for preprocessing in (RGB, fluorescence):
        for name in measures_of(preprocessing):
            assert set(reasons_of(name)) <= {None, *REFUSALS}


def test_fluorescence_is_refused_for_dark_channels_and_blur():
    planes = Planes(chosen=(0, 1), n_stored=2, bits=8, window=WINDOW)
    preprocessing = make_preprocessing("unit", SIDE, channels=("DNA", "actin"), planes=planes)
    images = np.concatenate([255 - draw(seed, 8, n_channels=2) for seed in range(20)])
    gate = fit_gate(images, np.repeat(np.arange(20), 8), preprocessing)
    shown = (255 - draw(200, 4, n_channels=2)).astype(float)

    def refused(values):
        return set(find_refused(gate, values.clip(0, 255).astype(np.uint8), preprocessing))

    assert refused(shown) == {""}
    assert refused(shown * [1, 0.1]) <= {"stain", "blank"}
    assert refused(shown * 0) == {"blank"}
    assert refused(gaussian_filter(shown, (0, 2, 2, 0))) == {"blurred"}


def test_a_stack_is_refused_for_one_of_its_images_but_not_for_a_missing_one():
    preprocessing = RGB.model_copy(
        update={"channels": ("R", "G", "B") * 2, "magnifications": ("100", "200")}
    )
    images = np.concatenate(
        [np.concatenate([draw(seed, 8), draw(seed + 50, 8)], axis=-1) for seed in range(20)]
    )
    gate = fit_gate(images, np.repeat(np.arange(20), 8), preprocessing)
    whole = np.concatenate([draw(200), draw(201)], axis=-1)
    missing, blank = whole.copy(), whole.copy()
    missing[..., 3:], blank[..., 3:] = 0, 250
    found = find_refused(gate, np.concatenate([whole, missing, blank]), preprocessing)
    assert list(found) == ["", "", "blank"]
