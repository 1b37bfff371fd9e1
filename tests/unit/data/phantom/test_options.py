"""The phantom's options refuse what they cannot mean, in one line."""

import pytest

from eosin.core.errors import DataError
from eosin.data.phantom import PhantomOptions, draw_patient, mpp, render_patch


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patients": 1}, "`patients` must be at least 2, got 1"),
        ({"patients": 2.5}, "`patients` must be a whole number, got 2.5"),
        ({"patients": True}, "`patients` must be a whole number, got True"),
        ({"images_per_patient": 0}, "`images_per_patient` must be at least 1, got 0"),
        ({"size_px": 8}, "`size_px` must be at least 16, got 8"),
        ({"size_px": 4096}, "`size_px` must be at most 2048, got 4096"),
        ({"sections": 27}, "`sections` must be at most 26, got 27"),
        ({"sites": 0}, "`sites` must be at least 1, got 0"),
        ({"seed": -1}, "`seed` must be at least 0, got -1"),
        ({"contrast": -0.1}, "`contrast` must be between 0 and 10, got -0.1"),
        ({"fingerprint": float("nan")}, "`fingerprint` must be between 0 and 10, got nan"),
        ({"malignant_fraction": 1.0}, "`malignant_fraction` must be between 0 and 1, got 1.0"),
        (
            {"magnifications": ("20",)},
            "`magnifications` must be of 40, 100, 200, 400, got '20'",
        ),
        ({"magnifications": ()}, "`magnifications` must be a tuple of some of"),
        ({"magnifications": ("40", "40")}, "`magnifications` must not contain duplicates"),
    ],
)
def test_a_value_out_of_range_is_refused(values, message):
    with pytest.raises(DataError) as caught:
        PhantomOptions(**values)
    assert caught.value.message.startswith(message)
    assert "\n" not in str(caught.value)


def test_both_classes_need_a_patient():
    with pytest.raises(DataError, match="give each class at least one patient") as caught:
        PhantomOptions(patients=4, malignant_fraction=0.01)
    assert caught.value.hint


def test_length_is_the_number_of_images():
    assert len(PhantomOptions(patients=3, images_per_patient=5)) == 15


def test_the_spacing_goes_with_magnification_and_size():
    assert mpp("200", 96) == pytest.approx(1.0)
    assert mpp("400", 96) == pytest.approx(0.5)
    assert mpp("40", 480) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "arguments", [(26, "200", 0, 96), (0, "20", 0, 96), (0, "200", -1, 96), (0, "200", 0, 4)]
)
def test_a_patch_that_cannot_be_is_refused(arguments):
    patient = draw_patient(PhantomOptions(), 0)
    with pytest.raises(DataError):
        render_patch(patient, *arguments)


def test_a_negative_patient_is_refused():
    with pytest.raises(DataError, match="`number` must be at least 0"):
        draw_patient(PhantomOptions(), -1)
