"""PatchCamelyon as the competition gave it out."""

import pytest
from tests.facts import tells

from eosin.core.errors import DataError
from eosin.data.sources.base import NOTES
from eosin.data.sources.pcam import collect_pcam_kaggle


@pytest.fixture
def draw(tmp_path):
    """A function from rows and file names to a drawn folder."""

    def write(rows, files=("train/a.tif", "train/b.tif")):
        (tmp_path / "train_labels.csv").write_text("\n".join(["id,label", *rows]) + "\n")
        for file in files:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).touch()
        return tmp_path

    return write


def test_a_row_a_label(draw):
    table = collect_pcam_kaggle(draw(["b,1", "a,0"]), {})
    assert list(table["path"]) == ["train/b.tif", "train/a.tif"]
    assert list(table["label"]) == ["tumour", "normal"]
    assert set(table["mpp"]) == {"0.972"}
    (note,) = table.attrs[NOTES]
    assert tells(note, "slides", "own group")


def test_labels_and_files_without_each_other_are_counted(draw):
    root = draw(["a,0", "b,1", "c,1", "d,0"], ["train/a.tif", "train/b.tif", "train/e.tif"])
    table = collect_pcam_kaggle(root, {})
    assert len(table) == 4  # missing files are listed as skipped when images are read
    assert "2 images of train_labels.csv missing, such as train/c.tif" in table.attrs[NOTES]
    assert "1 image of train not in train_labels.csv: left out" in table.attrs[NOTES]


def test_the_unlabelled_test_images_are_left_out_and_told(draw):
    root = draw(["a,0", "b,1"], ["train/a.tif", "train/b.tif", "test/c.tif", "test/d.tif"])
    table = collect_pcam_kaggle(root, {})
    assert len(table) == 2
    assert "2 images of test left out: they have no labels" in table.attrs[NOTES]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["a,0", "b,2"], "the label of b must be 0 or 1, got '2'"),
        (["a,0", "b,"], "the label of b must be 0 or 1, got ''"),
        (["a,0", "b,1", "a,1"], "a is listed twice"),
    ],
)
def test_odd_labels_are_refused(rows, reason, draw):
    with pytest.raises(DataError, match=reason):
        collect_pcam_kaggle(draw(rows), {})


def test_a_folder_without_the_images_is_refused(draw, tmp_path):
    with pytest.raises(DataError, match=r"no train_labels.csv"):
        collect_pcam_kaggle(draw(["a,0"], []), {})
