"""The manifest: what may be left out, what is refused, and how it is written."""

import numpy as np
import pandas as pd
import pytest

from eosin.artifacts.manifest import make_samples, read_manifest, write_manifest, write_table
from eosin.core.errors import ManifestError

ROWS = "path,label,patient,magnification\na.png,benign,007,40\nb.png,malignant,,100\n"


@pytest.fixture
def manifest(tmp_path):
    """A function that writes a table and returns its path."""

    def write(text, name="m.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_all_cells_stay_text(manifest):
    frame = read_manifest(manifest(ROWS)).frame
    assert list(frame["patient"]) == ["007", ""]
    assert list(frame["magnification"]) == ["40", "100"]


def test_an_unknown_group_is_the_patient_and_else_the_image(manifest):
    assert list(read_manifest(manifest(ROWS)).frame["group"]) == ["007", "b.png"]
    text = "path,label,patient,group\na,x,1,g\nb,y,2,\nc,y,,\n"
    assert list(read_manifest(manifest(text)).frame["group"]) == ["g", "2", "c"]
    assert list(read_manifest(manifest("path,label\na,x\nb,y\n")).frame["patient"]) == ["", ""]


def test_name_root_and_classes(manifest, tmp_path):
    samples = read_manifest(manifest(ROWS, "breast.csv"), positive="malignant")
    assert samples.name == "breast"
    assert samples.root == tmp_path
    assert samples.class_names == ("benign", "malignant")
    np.testing.assert_array_equal(samples.targets, [0, 1])


def test_another_column_can_be_the_label(manifest):
    text = "path,label,subtype\na,x,adenosis\nb,x,fibroadenoma\n"
    samples = read_manifest(manifest(text), label="subtype")
    assert samples.class_names == ("adenosis", "fibroadenoma")
    with pytest.raises(ManifestError, match="the column 'subtyp' is missing") as caught:
        read_manifest(manifest(text), label="subtyp")
    assert caught.value.hint == "Did you mean 'subtype'?"


def test_a_byte_order_mark_is_no_part_of_a_name(manifest):
    assert len(read_manifest(manifest(b"\xef\xbb\xbf" + ROWS.encode()))) == 2


def test_words_that_pandas_takes_for_nothing_stay(manifest):
    samples = read_manifest(manifest("path,label\na,NA\nb,None\n"))
    assert samples.class_names == ("NA", "None")


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", "is empty"),
        ("path,label\n", "the table has no rows"),
        ("file,label\na,x\n", "the column 'path' is missing"),
        ("path,class\na,x\n", "the column 'label' is missing"),
        ("path,label\na,x\n,y\n", "row 3 has no path (1 such rows)"),
        ("path,label\na,x\nb, \nc,\n", "row 3 has no label (2 such rows)"),
        ("path,label\na,x\nb,x\n", "at least two classes are needed, got only 'x'"),
        ("path,label,split\na,x,train\nb,y,dev\n", "must be one of train, val, test, got"),
        (b"path,label\n\x81,x\n", "the encoding of"),
        ('path,label\n"a,x\n', "cannot be read"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(manifest, text, refusal):
    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(text))
    assert refusal in str(caught.value)
    assert "such rows" not in refusal or caught.value.hint


def test_an_absent_or_foreign_file_is_refused(manifest, tmp_path):
    with pytest.raises(ManifestError, match="does not exist"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(ManifestError, match="is a folder"):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match="'path' and 'label' are missing"):
        read_manifest(manifest(b"no parquet", "m.parquet"))


def test_the_positive_class_must_be_a_label(manifest):
    with pytest.raises(ManifestError, match="'malign' is not a label") as caught:
        read_manifest(manifest(ROWS), positive="malign")
    assert caught.value.hint == "Did you mean 'malignant'?"


def test_a_model_s_labels_are_kept_in_its_order(manifest):
    path = manifest("path,label\na,benign\n")
    samples = read_manifest(path, allowed=("malignant", "benign"))
    assert samples.class_names == ("malignant", "benign")
    with pytest.raises(ManifestError, match="unknown label 'benign'"):
        read_manifest(path, allowed=("tumour", "normal"))


def test_one_class_will_do_where_that_is_said(manifest):
    assert read_manifest(manifest("path,label\na,x\n"), allow_one_class=True).class_names == ("x",)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_round_trip(manifest, tmp_path, suffix):
    samples = read_manifest(manifest(ROWS + '"c,""µ"".png",benign,8,40\n'))
    write_manifest(tmp_path / f"copy{suffix}", samples)
    back = read_manifest(tmp_path / f"copy{suffix}")
    pd.testing.assert_frame_equal(back.frame, samples.frame, check_dtype=False)


def test_numbers_in_parquet_become_text(tmp_path):
    frame = pd.DataFrame({"path": ["a", "b"], "label": [0, 1], "patient": ["1", None]})
    frame.to_parquet(tmp_path / "m.parquet")
    samples = read_manifest(tmp_path / "m.parquet")
    assert samples.class_names == ("0", "1")
    assert list(samples.frame["patient"]) == ["1", ""]


def test_paths_are_written_relative_to_where_they_go(tmp_path):
    frame = pd.DataFrame({"path": ["x/a.png", "b.h5#3", "/abs/c.png"], "label": ["p", "q", "q"]})
    samples = make_samples(frame, root=tmp_path / "data")
    write_manifest(tmp_path / "runs" / "r" / "manifest.csv", samples)
    back = read_manifest(tmp_path / "runs" / "r" / "manifest.csv")
    assert list(back.frame["path"][:2]) == ["../../data/x/a.png", "../../data/b.h5#3"]
    resolved = [back.resolve(cell).resolve() for cell in back.frame["path"]]
    assert [str(path) for path in resolved] == [
        str(tmp_path / "data" / "x" / "a.png"),
        str(tmp_path / "data" / "b.h5"),
        "/abs/c.png",
    ]


def test_a_table_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(AttributeError):
        write_table(tmp_path / "a.csv", object())
    assert list(tmp_path.iterdir()) == []


def test_the_callers_table_is_left_alone():
    frame = pd.DataFrame({"path": ["a", "b"], "kind": ["x", "y"]})
    make_samples(frame, root="/", label="kind")
    assert list(frame.columns) == ["path", "kind"]
