"""IDC from the names of its patches."""

import pytest
from tests.facts import tells

from eosin.data.sources.base import NOTES
from eosin.data.sources.idc import collect_idc


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


FIRST = "10253/0/10253_idx5_x1001_y751_class0.png"
SECOND = "8863/1/8863_idx5_x51_y1_class1.png"


def test_patient_class_and_place_come_from_the_name(tmp_path):
    table = collect_idc(touch(tmp_path, FIRST, SECOND), {})
    assert table.to_dict("records") == [
        {
            "path": FIRST,
            "label": "normal",
            "patient": "10253",
            "group": "10253",
            "x": "1001",
            "y": "751",
        },
        {"path": SECOND, "label": "idc", "patient": "8863", "group": "8863", "x": "51", "y": "1"},
    ]
    assert table.attrs[NOTES] == []


def test_the_archive_s_second_copy_is_left_out(tmp_path):
    root = touch(tmp_path, FIRST, SECOND, f"IDC_regular_ps50_idx5/{FIRST}")
    table = collect_idc(root, {})
    assert list(table["path"]) == [FIRST, SECOND]
    (note,) = table.attrs[NOTES]
    assert tells(note, "1 image", "duplicate file name", "left out")


def test_other_names_are_left_out_and_told(tmp_path):
    table = collect_idc(touch(tmp_path, FIRST, "10253/0/mask.png", "10253/0/x_class0.png"), {})
    assert len(table) == 1
    (note,) = table.attrs[NOTES]
    assert tells(note, 2, "names", "left out")


def test_a_patch_in_the_other_class_s_folder_is_told(tmp_path):
    table = collect_idc(touch(tmp_path, FIRST.replace("/0/", "/1/")), {})
    assert list(table["label"]) == ["normal"]
    (note,) = table.attrs[NOTES]
    assert tells(note, "1 image", "other class", "name")


@pytest.mark.data
def test_the_real_tree(data_root):
    table = collect_idc(data_root / "idc", {})
    assert table["patient"].nunique() == 186
    assert table.attrs[NOTES] == []
    assert all(cell.isdecimal() for column in "xy" for cell in table[column])
