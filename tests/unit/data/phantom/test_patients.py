"""Simulated patients are dealt fairly, and their fingerprints know nothing of the class."""

from collections import Counter

import numpy as np
import pytest

from eosin.data.phantom import LABELS, SUBTYPES, PhantomOptions, draw_patient
from eosin.data.phantom.camera import REFERENCE_VECTORS


def cohort(options):
    return [draw_patient(options, number) for number in range(options.patients)]


def test_a_patient_does_not_depend_on_the_count_or_the_order():
    few, many = PhantomOptions(patients=5), PhantomOptions(patients=50)
    late_first = draw_patient(many, 40)
    assert draw_patient(few, 3) == draw_patient(many, 3)
    assert draw_patient(many, 40) == late_first


def test_patients_and_seeds_differ():
    first, second = (draw_patient(PhantomOptions(), number) for number in (0, 1))
    other = draw_patient(PhantomOptions(seed=1), 0)
    assert first.stain != second.stain
    assert first.stain != other.stain


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.75])
def test_every_first_patients_have_the_asked_share(fraction):
    options = PhantomOptions(patients=40, malignant_fraction=fraction)
    malignant = np.cumsum([patient.label == "malignant" for patient in cohort(options)])
    asked = fraction * np.arange(1, 41)
    assert np.all(np.abs(malignant - asked) <= 1)
    assert malignant[-1] == round(40 * fraction)


def test_the_number_does_not_tell_the_class():
    even = [patient.label for patient in cohort(PhantomOptions(patients=40))[::2]]
    assert 4 <= even.count("malignant") <= 16


def test_sites_and_subtypes_are_even_in_each_class():
    options = PhantomOptions(patients=48, sites=3, subtypes=True)
    patients = cohort(options)
    for label in LABELS:
        ours = [patient for patient in patients if patient.label == label]
        assert set(Counter(patient.site for patient in ours).values()) == {8}
        assert Counter(patient.subtype for patient in ours) == dict.fromkeys(SUBTYPES[label], 6)
    assert len({patient.scanner for patient in patients}) == 3


def test_the_fingerprint_is_independent_of_the_class():
    patients = cohort(PhantomOptions(patients=400))
    malignant = np.array([patient.label == "malignant" for patient in patients], dtype=float)
    traits = {
        "white": [patient.stain.white[0] for patient in patients],
        "haematoxylin": [patient.stain.strength[0] for patient in patients],
        "red of eosin": [patient.stain.eosin[0] for patient in patients],
        "blur": [patient.optics.blur for patient in patients],
        "nuclei": [patient.habit.nuclear_scale for patient in patients],
        "fibres": [patient.habit.fibre_width_um for patient in patients],
    }
    for name, values in traits.items():
        # 400 independent pairs: a correlation's standard deviation is 0.05.
        assert abs(np.corrcoef(malignant, values)[0, 1]) < 0.16, name
        assert np.std(values) > 0, name


def test_no_fingerprint_makes_all_patients_alike():
    patients = cohort(PhantomOptions(patients=6, fingerprint=0.0))
    assert len({(patient.stain, patient.optics, patient.habit) for patient in patients}) == 1
    assert patients[0].section_stain(1) == patients[0].stain
    unit = REFERENCE_VECTORS / np.linalg.norm(REFERENCE_VECTORS, axis=1, keepdims=True)
    np.testing.assert_allclose(patients[0].stain_matrix, unit)


def test_severity_follows_the_class_as_far_as_the_contrast_says():
    def distance(contrast):
        patients = cohort(PhantomOptions(patients=100, contrast=contrast))
        by_label = {
            label: [patient.severity for patient in patients if patient.label == label]
            for label in LABELS
        }
        return np.mean(by_label["malignant"]) - np.mean(by_label["benign"])

    assert abs(distance(0.0)) < 0.5
    assert distance(2.0) == pytest.approx(distance(0.0) + 2 * (distance(1.0) - distance(0.0)))
    assert distance(1.0) > 1.5


def test_sections_of_a_patient_vary_less_than_patients():
    patients = cohort(PhantomOptions(patients=60))
    between = np.std([patient.stain_matrix for patient in patients], axis=0).mean()
    within = np.mean(
        [
            np.abs(patient.section_stain(section).matrix - patient.stain_matrix).mean()
            for patient in patients
            for section in (0, 1)
        ]
    )
    assert 0 < within < between / 3
    assert patients[0].section_stain(0) != patients[0].section_stain(1)


def test_stain_vectors_are_unit_and_positive():
    for patient in cohort(PhantomOptions(patients=60)):
        assert patient.stain_matrix.shape == (2, 3)
        np.testing.assert_allclose(np.linalg.norm(patient.stain_matrix, axis=1), 1.0)
        assert np.all(patient.stain_matrix > 0)


def test_names_are_as_documented():
    patient = draw_patient(PhantomOptions(), 7)
    assert patient.id == "P0007"
    assert patient.slide_id(0) == "P0007-A"
    assert patient.slide_id(1) == "P0007-B"
