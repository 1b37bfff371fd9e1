"""Cells as people write them: names, unknown values, numbers, splits, magnifications."""

import unicodedata

import pandas as pd
import pytest

from eosin.artifacts.cleaning import clean_magnification
from eosin.artifacts.manifest import (
    check_label_spelling,
    make_samples,
    read_manifest,
    write_manifest,
)
from eosin.core.errors import ManifestError


def table(**columns):
    frame = pd.DataFrame(columns, dtype=object)
    frame.insert(0, "path", [f"{row}.png" for row in range(len(frame))])
    if "label" not in frame:
        frame["label"] = ["x", "y"] * (len(frame) // 2)
    return frame


def read(tmp_path, **columns):
    return make_samples(table(**columns), root=tmp_path, name="m")


def test_blanks_and_unicode_forms_make_no_other_name(tmp_path):
    nfd = unicodedata.normalize("NFD", "Müller")
    patients = ["P01", "P01 ", "\u00a0P01\ufeff", "Müller", nfd, f" {nfd}"]
    for column in ("patient", "group", "slide", "site", "accession", "cluster"):
        samples = read(tmp_path, **{column: patients})
        assert sorted(set(samples.frame[column])) == ["Müller", "P01"], column
        assert len(samples.notes) == 2
    samples = read(tmp_path, label=["benign", "benign ", "tumour", "tumour", nfd, "Müller"])
    assert samples.class_names == ("Müller", "benign", "tumour")


def test_no_name_of_a_patient_is_in_a_note(tmp_path):
    samples = read(tmp_path, patient=["Meier ", "Huber"], slide=["S1 ", "S1"])
    assert samples.notes
    assert not any(name in note for name in ("Meier", "Huber", "S1") for note in samples.notes)


def test_case_zeros_and_decimals_stay_for_the_audit_to_find(tmp_path):
    names = ["P01", "p01", "7", "007", "7.0", "P1"]
    assert list(read(tmp_path, patient=names).frame["patient"]) == names


def test_unknowns_that_are_written_out_are_no_patient(tmp_path):
    patients = ["NA", "nan", "unknown", "?", "P1", "P1"]
    samples = read(tmp_path, patient=patients, site=["n/a"] * 6)
    assert list(samples.frame["patient"]) == ["", "", "", "", "P1", "P1"]
    assert samples.frame["group"].nunique() == 5
    assert set(samples.frame["site"]) == {""}
    assert "'NA'" in samples.notes[0]
    assert "4 rows" in samples.notes[0]


def test_a_class_may_be_called_like_an_unknown(tmp_path):
    assert read(tmp_path, label=["NA", "nan", "None", "NA"]).class_names == ("NA", "None", "nan")


def test_classes_that_differ_only_in_spelling_are_refused(tmp_path):
    samples = read(tmp_path, label=["Benign", "benign", "benign", "tumour"])
    with pytest.raises(ManifestError, match=r"'benign' .2 images.* 'Benign' .*0\.png"):
        check_label_spelling(samples)
    check_label_spelling(read(tmp_path, label=["benign", "tumour"]))


@pytest.mark.parametrize(
    ("cell", "stored"),
    [
        ("0.25", "0.25"),
        ("0,4990", "0.499"),
        (" 0.5 ", "0.5"),
        ("1", "1"),
        ("1.0", "1"),
        (".5", "0.5"),
        ("4.99e-1", "0.499"),
        ("", ""),
        ("NA", ""),
        ("nan", ""),
    ],
)
def test_scales_are_stored_as_plain_numbers(tmp_path, cell, stored):
    assert list(read(tmp_path, mpp=[cell, "0.5"]).frame["mpp"]) == [stored, "0.5"]


@pytest.mark.parametrize(
    "cell", ["0.25 µm", "0", "-1", "inf", "1e9", "250", "0.25.1", "0,25,1", "1_0", "٣", "x"]
)
def test_a_scale_that_is_no_possible_number_is_refused_with_its_row(tmp_path, cell):
    with pytest.raises(ManifestError, match="row 3"):
        read(tmp_path, mpp=["0.25", cell])


def test_splits_are_read_in_any_case_and_by_their_long_names(tmp_path):
    cells = ["Train", "Validation", "TEST", "valid ", "training", ""]
    found = list(read(tmp_path, split=cells).frame["split"])
    assert found == ["train", "val", "test", "val", "train", ""]
    with pytest.raises(ManifestError, match=r"'tset' in row 3.* Change .* or rename"):
        read(tmp_path, split=["train", "tset"])


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        *[("40", "40"), ("40 ", "40"), ("40.0", "40"), ("40X", "40"), ("40 ×", "40")],
        *[("2,5x", "2.5"), ("40x+100X", "40+100"), ("low ", "low"), ("", "")],
    ],
)
def test_magnifications_have_one_spelling(cell, name):
    assert clean_magnification(cell) == name


def test_an_image_or_slide_under_two_patients_is_noted(tmp_path):
    twice = table(patient=["P1", "P2"]).assign(path="a.png")
    assert "1 image is listed under several" in make_samples(twice, root=tmp_path).notes[0]
    notes = read(tmp_path, patient=["P1", "P2"], slide=["S", "S"]).notes
    assert "1 slide is listed under several" in notes[0]
    assert read(tmp_path, patient=["P1", "P1"], slide=["S", "S"]).notes == ()


def test_what_was_cleaned_is_read_again_as_it_was_written(tmp_path):
    columns = {"patient": ["P01 ", "NA"], "mpp": ["0,25", "1.0"], "magnification": ["40X", "40.0"]}
    samples = read(tmp_path, split=["Train", "Test"], **columns)
    write_manifest(tmp_path / "m.csv", samples)
    again = read_manifest(tmp_path / "m.csv")
    assert again.notes == ()
    pd.testing.assert_frame_equal(again.frame, samples.frame)


def test_a_table_that_eosin_wrote_is_taken_as_it_is(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text("path,label,patient,group,mpp\na.png,x,P01 ,P01 ,odd\nb.png,y,NA,NA,\n")
    frame = read_manifest(path, verbatim=True).frame
    assert list(frame["patient"]) == ["P01 ", "NA"]
    assert list(frame["mpp"]) == ["odd", ""]
