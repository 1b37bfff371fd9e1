"""Simulated patches are pure functions, obey Beer and Lambert, and show what they should."""

import time

import numpy as np
import pytest

from eosin.core.seeding import generator
from eosin.data.phantom import (
    FIELD_UM,
    SUBTYPES,
    PhantomOptions,
    draw_patient,
    render_concentrations,
    render_light,
    render_patch,
)
from eosin.data.phantom.simulation import draw_morphology


@pytest.mark.parametrize("magnification", FIELD_UM)
@pytest.mark.parametrize("size_px", [16, 50, 96])
def test_shape_and_type(magnification, size_px):
    patient = draw_patient(PhantomOptions(), 1)
    image = render_patch(patient, 0, magnification, 0, size_px)
    assert image.shape == (size_px, size_px, 3)
    assert image.dtype == np.uint8
    assert image.std() > 5


def test_a_patch_is_a_pure_function_of_its_arguments():
    patient = draw_patient(PhantomOptions(seed=5), 2)
    first = render_patch(patient, 1, "200", 3, 96)
    render_patch(draw_patient(PhantomOptions(seed=5), 0), 0, "100", 0, 96)
    again = render_patch(draw_patient(PhantomOptions(seed=5, patients=9), 2), 1, "200", 3, 96)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    "other", [(0, "200", 3), (1, "100", 3), (1, "200", 4)], ids=["section", "power", "index"]
)
def test_every_argument_matters(other):
    patient = draw_patient(PhantomOptions(), 2)
    same = render_patch(patient, 1, "200", 3, 64) == render_patch(patient, *other, 64)
    assert same.mean() < 0.5


def test_a_field_at_two_sizes_shows_the_same_tissue():
    patient = draw_patient(PhantomOptions(), 4)
    small = render_concentrations(patient, 0, "400", 0, 48)
    large = render_concentrations(patient, 0, "400", 0, 96)
    shrunk = large.reshape(48, 2, 48, 2, 2).mean(axis=(1, 3))
    for stain in (0, 1):
        assert np.corrcoef(small[..., stain].ravel(), shrunk[..., stain].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("number", range(4))
def test_optical_density_lies_in_the_span_of_the_true_stains(number):
    patient = draw_patient(PhantomOptions(), number)
    stain = patient.section_stain(1)
    light = render_light(patient, 1, "200", 0, 64)
    assert light.min() > 0
    density = -np.log(light / np.array(stain.white)).reshape(-1, 3)
    amounts, *_ = np.linalg.lstsq(stain.matrix.T, density.T, rcond=None)
    np.testing.assert_allclose(amounts.T @ stain.matrix, density, atol=1e-5)
    truth = render_concentrations(patient, 1, "200", 0, 64).reshape(-1, 2) * stain.strength
    np.testing.assert_allclose(amounts.T, truth, atol=1e-4)
    assert truth.min() >= 0


def test_it_looks_like_haematoxylin_and_eosin():
    patients = [draw_patient(PhantomOptions(fingerprint=0.0), number) for number in range(6)]
    for patient in patients:
        amounts = render_concentrations(patient, 0, "200", 0, 96)
        light = render_light(patient, 0, "200", 0, 96)
        nuclei = light[amounts[..., 0] > 0.9].mean(axis=0)
        collagen = light[(amounts[..., 0] < 0.1) & (amounts[..., 1] > 0.4)].mean(axis=0)
        assert nuclei.max() == nuclei[2]  # nuclei are blue to purple
        assert collagen.max() == collagen[0]  # stroma is pink
        assert nuclei.mean() < collagen.mean()


def test_malignant_nuclei_are_larger_and_there_are_more_of_them():
    options = PhantomOptions(patients=40)
    radius, chromatic = {}, {}
    for number in range(options.patients):
        patient = draw_patient(options, number)
        tissue, _ = draw_morphology(patient, generator(0, "test", number))
        radius.setdefault(patient.label, []).append(tissue.nuclear_radius)
        for index in range(2):
            amounts = render_concentrations(patient, 0, "200", index, 48)
            share = float((amounts[..., 0] > 0.6).mean())
            chromatic.setdefault(patient.label, []).append(share)
    assert np.mean(radius["malignant"]) > 1.15 * np.mean(radius["benign"])
    assert np.mean(chromatic["malignant"]) > 1.2 * np.mean(chromatic["benign"])
    # The classes overlap: no threshold on size tells them apart.
    assert np.max(radius["benign"]) > np.min(radius["malignant"])


@pytest.mark.parametrize("subtype", [name for names in SUBTYPES.values() for name in names])
def test_every_subtype_renders_and_differs(subtype):
    options = PhantomOptions(subtypes=True)
    patient = next(
        patient
        for patient in (draw_patient(options, number) for number in range(40))
        if patient.subtype == subtype
    )
    plain = draw_patient(PhantomOptions(), patient.number)
    assert plain.severity == patient.severity
    same = render_patch(patient, 0, "200", 0, 48) == render_patch(plain, 0, "200", 0, 48)
    assert same.mean() < 0.9


def nearest_is_same_patient(fingerprint):
    options = PhantomOptions(patients=12, fingerprint=fingerprint, contrast=0.0)
    owner = np.repeat(np.arange(12), 6)
    colours = []
    for place, number in enumerate(owner):
        image = render_patch(draw_patient(options, number), place % 2, "200", place, 64) / 255.0
        colours.append(np.concatenate([image.mean(axis=(0, 1)), np.quantile(image, 0.9, (0, 1))]))
    table = np.array(colours)
    distance = np.linalg.norm((table[:, None] - table[None]) / table.std(axis=0), axis=2)
    np.fill_diagonal(distance, np.inf)
    return float((owner[distance.argmin(axis=1)] == owner).mean())


def test_a_patient_leaves_a_fingerprint_over_its_sections():
    # By chance, 5 of 71 others are the same patient's: 0.07.
    assert nearest_is_same_patient(1.0) > 0.4
    assert nearest_is_same_patient(0.0) < 0.25


def test_sites_differ_in_colour():
    one, many = PhantomOptions(fingerprint=0.0), PhantomOptions(fingerprint=0.0, sites=4)
    patient, moved = draw_patient(one, 0), draw_patient(many, 0)
    before, after = (render_patch(each, 0, "200", 0, 64).mean((0, 1)) for each in (patient, moved))
    assert np.abs(before - after).max() > 3


def test_speed_has_not_collapsed():
    patients = [draw_patient(PhantomOptions(), number) for number in range(8)]
    render_patch(patients[0], 0, "200", 99, 96)
    rates = []
    for _ in range(10):
        start = time.process_time()
        for patient in patients:
            for index in range(3):
                render_patch(patient, 0, "200", index, 96)
        rates.append(24 / (time.process_time() - start))
    # The stated limit is 200 a second on one core; half of it, once, forgives a busy machine.
    assert max(rates) > 100
