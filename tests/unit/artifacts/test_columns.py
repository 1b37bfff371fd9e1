"""Columns that are nearly called ``patient``, ``group``, ``path`` or ``label``."""

import shlex

import pandas as pd
import pytest
from tests.facts import tells

from eosin.artifacts.columns import Columns, find_near
from eosin.artifacts.manifest import make_samples
from eosin.core.errors import ManifestError

pytestmark = pytest.mark.usefixtures("typed")
ASK = Columns(in_recipe=True)


def table(**columns):
    rows = {"path": ["a", "b", "c"], "label": ["x", "y", "x"]}
    return pd.DataFrame({**rows, **columns}, dtype=object)


def read(frame, tmp_path, columns=ASK, **options):
    return make_samples(frame, root=tmp_path, columns=columns, **options)


@pytest.mark.parametrize(
    "name",
    [
        *["patient_id", "Patient", "PatientID", "patientId", "PATIENT", "Patient ID"],
        *["Patienten-Nr.", "patients", "case", "case_id", "case_submitter_id"],
        *["subject", "subject_id", "donor", "pid", "subj", "mouse", "mouse_id", "animal_no"],
        *["study_id", "record_id"],
    ],
)
def test_a_column_that_is_nearly_patient_stops(tmp_path, name):
    frame = table(**{name: ["1", "1", "2"]})
    with pytest.raises(ManifestError) as caught:
        read(frame, tmp_path)
    assert repr(name) in str(caught.value)
    assert "data.split.by=image" in caught.value.hint
    mapped = read(frame, tmp_path, Columns(patient=name))
    assert list(mapped.frame["group"]) == ["1", "1", "2"]
    assert list(read(frame, tmp_path, Columns(independent=True)).frame["group"]) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["slide", "slide_id", "WSI", "specimen"])
def test_slides_stop_where_nothing_else_groups(tmp_path, name):
    frame = table(**{name: ["1", "1", "2"]})
    with pytest.raises(ManifestError, match=f"data.group={name}"):
        read(frame, tmp_path)
    assert read(frame.assign(patient="P"), tmp_path).frame["group"].nunique() == 1


def test_slides_that_do_not_group_are_noted_where_no_split_is_drawn(tmp_path):
    frame = table(slide=["1", "1", "2"])
    assert "--group slide" in read(frame, tmp_path, Columns()).notes[0]
    assert not read(frame, tmp_path, Columns(independent=True)).notes
    assert not read(table(slide=["1", "2", "3"]), tmp_path, Columns()).notes


@pytest.mark.parametrize(
    "name", ["patient_age", "subject_sex", "casein", "comment", "batch", "id", "study"]
)
def test_other_columns_do_not_stop(tmp_path, name):
    assert len(read(table(**{name: ["1", "1", "2"]}), tmp_path)) == 3


def test_an_empty_column_does_not_hide_a_near_one(tmp_path):
    frame = table(patient=["", " ", "NA"], case_id=["1", "1", "2"])
    with pytest.raises(ManifestError, match="an empty column 'patient'"):
        read(frame.assign(patient=""), tmp_path)
    with pytest.raises(ManifestError, match=r"data\.patient=case_id"):
        read(frame, tmp_path)
    assert len(read(table(patient=["1", "1", "2"], case_id=""), tmp_path)) == 3


def test_a_group_of_another_name_stops_and_can_be_declined(tmp_path):
    frame = table(patient=["1", "1", "2"], Group=["g", "h", "h"])
    with pytest.raises(ManifestError, match=r"data\.group=Group, or --set data\.group=patient"):
        read(frame, tmp_path)
    assert list(read(frame, tmp_path, Columns(group="Group")).frame["group"]) == ["g", "h", "h"]
    assert list(read(frame, tmp_path, Columns(group="patient")).frame["group"]) == ["1", "1", "2"]


def test_the_exact_name_wins(tmp_path):
    frame = table(patient=["1", "1", "2"], patient_id=["7", "8", "9"])
    assert list(read(frame, tmp_path).frame["group"]) == ["1", "1", "2"]


def test_path_and_label_may_be_called_otherwise(tmp_path):
    frame = table(patient="1").rename(columns={"path": "file_name", "label": "diagnosis"})
    with pytest.raises(ManifestError, match=r"data\.path=file_name"):
        read(frame, tmp_path)
    with pytest.raises(ManifestError, match=r"data\.label=diagnosis"):
        read(frame, tmp_path, Columns(path="file_name", in_recipe=True))
    with pytest.raises(ManifestError, match="Rename the column 'file_name' to 'path'"):
        read(frame, tmp_path, None)
    samples = read(frame, tmp_path, Columns(path="file_name"), label="diagnosis")
    assert list(samples.frame["path"]) == ["a", "b", "c"]
    assert samples.class_names == ("x", "y")


def test_all_missing_columns_are_named_in_one_line_to_type(tmp_path):
    frame = table(patient=["1", "1", "2"]).set_axis(["Filename", "Diagnosis", "Patient ID"], axis=1)
    with pytest.raises(ManifestError) as caught:
        read(frame, tmp_path)
    assert tells(caught.value.message, "path", "label", "patient")
    typed = caught.value.hint.removeprefix("Add ")
    assert typed == (
        "--set data.path=Filename --set data.label=Diagnosis --set 'data.patient=Patient ID'"
    )
    keys = dict(word.removeprefix("data.").split("=") for word in shlex.split(typed)[1::2])
    columns = Columns(keys["path"], keys["patient"])
    assert read(frame, tmp_path, columns, label=keys["label"]).frame["patient"].nunique() == 2
    with pytest.raises(ManifestError) as caught:
        read(frame.rename(columns={"Filename": "Pfad"}), tmp_path, Columns())
    assert tells(caught.value.hint, "Pfad", "--path COLUMN", "--label Diagnosis", "--patient")
    with pytest.raises(ManifestError) as caught:
        read(frame, tmp_path, Columns(independent=True))
    assert not tells(caught.value.hint, "--patient")


def test_titles_above_the_header_are_named(tmp_path):
    rows = [["path", "label", "patient"], ["a", "x", "1"], ["b", "y", "2"]]
    frame = pd.DataFrame([["", "", ""], *rows], columns=["Export of 1 May", "Unnamed: 1", "2"])
    with pytest.raises(ManifestError, match=r"Row 3 .*remove the rows above"):
        read(frame, tmp_path)
    narrow = pd.DataFrame({"Export of 1 May": [";".join(row) for row in rows]})
    with pytest.raises(ManifestError, match=r"Row 2 .*remove the rows above"):
        read(narrow, tmp_path)
    near = frame.replace({"path": "File name", "label": "diagnosis"})
    with pytest.raises(ManifestError, match=r"Row 3 .*remove the rows above"):
        read(near, tmp_path)


def test_a_column_in_another_language_can_be_named(tmp_path):
    frame = table().rename(columns={"path": "Pfad"})
    for columns, typed in ((ASK, "--set data.path=COLUMN"), (Columns(), "--path COLUMN")):
        with pytest.raises(ManifestError) as caught:
            read(frame, tmp_path, columns)
        assert "Pfad" in caught.value.hint
        assert caught.value.hint.endswith(typed)
    with pytest.raises(ManifestError, match="rename one to 'path'"):
        read(frame, tmp_path, None)


def test_a_column_that_is_not_there_is_refused_with_the_near_ones(tmp_path):
    with pytest.raises(ManifestError, match="Did you mean 'patient_id'"):
        read(table(patient_id="1"), tmp_path, Columns(patient="patientid"))


def test_options_are_quoted_for_a_shell():
    assert Columns(in_recipe=True).option("patient", "Pat ID") == "--set 'data.patient=Pat ID'"
    assert Columns().option("patient", "Pat ID") == "--patient 'Pat ID'"


def test_the_nearest_comes_first():
    assert find_near("patient", ["case", "patient_no", "age"]) == ["patient_no", "case"]
