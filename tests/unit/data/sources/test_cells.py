"""Cells from a table with plates and fields."""

import pytest
from tests.facts import tells

from eosin.core.errors import DataError, RecipeError
from eosin.data.sources.base import NOTES, collect_samples
from eosin.data.sources.cells import collect_cells

ROWS = (
    "dmso/a.tif,dmso,p1,f1,none",
    "dmso/b.tif,dmso,p2,f1,none",
    "drug/a.tif,drug,p1,f2,x",
    "drug/b.tif,drug,p3,f1,y",
)
HEAD = "path,class,plate,field,compound"


@pytest.fixture
def draw(tmp_path):
    """A function that writes a table and the files that it names."""

    def write(rows=ROWS, head=HEAD, name="cells.csv", *, files=True):
        (tmp_path / name).write_text("\n".join([head, *rows]) + "\n")
        for row in rows if files else ():
            path = tmp_path / row.split(",")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return write


def test_the_plate_is_the_group_and_further_columns_stay(draw):
    table = collect_cells("mcf7", draw(), {})
    assert list(table["label"]) == ["dmso", "dmso", "drug", "drug"]
    assert list(table["group"]) == ["p1", "p2", "p1", "p3"]
    assert list(table["compound"]) == ["none", "none", "x", "y"]
    assert "split" not in table
    assert table.attrs[NOTES] == []


def test_a_field_is_one_of_its_plate(draw):
    table = collect_cells("cells", draw(), {"group": "field"})
    assert list(table["group"]) == ["p1/f1", "p2/f1", "p1/f2", "p3/f1"]
    (note,) = table.attrs[NOTES]
    assert tells(note, "field", "plate")


def test_another_column_and_another_table(draw):
    root = draw(name="all.csv")
    table = collect_cells("cells", root, {"table": "all.csv", "label": "compound"})
    assert list(table["label"]) == ["none", "none", "x", "y"]
    assert list(table["class"]) == ["dmso", "dmso", "drug", "drug"]


def test_test_plates_make_the_split(draw):
    table = collect_cells("cells", draw(), {"test_plates": ["p2", "p3"]})
    assert list(table["split"]) == ["train", "test", "train", "test"]
    with pytest.raises(RecipeError, match="there is no plate 'p4'") as caught:
        collect_cells("cells", draw(), {"test_plates": ["p4"]})
    assert "p3" in caught.value.hint
    with pytest.raises(RecipeError, match="leaves no plate to train on"):
        collect_cells("cells", draw(), {"test_plates": ["p1", "p2", "p3"]})


def test_few_plates_are_told(draw):
    table = collect_cells("cells", draw(ROWS[:2]), {})
    (note,) = table.attrs[NOTES]
    assert tells(note, "2 plates", 'group = "field')


def test_rows_and_files_without_each_other_are_counted(draw):
    root = draw()
    (root / "dmso" / "a.tif").unlink()
    (root / "dmso" / "c.tif").touch()
    table = collect_cells("cells", root, {})
    assert len(table) == 4  # missing files are listed as skipped when images are read
    assert "1 image of cells.csv missing, such as dmso/a.tif" in table.attrs[NOTES]
    assert "1 image not in cells.csv: left out" in table.attrs[NOTES]


def test_images_inside_a_container_are_cells_too(draw, tmp_path):
    (tmp_path / "all.h5").touch()
    rows = [f"all.h5#{index},{label},p{index},f" for index, label in enumerate("abc")]
    table = collect_cells("cells", draw(rows, HEAD.rpartition(",")[0], files=False), {})
    assert list(table["path"]) == ["all.h5#0", "all.h5#1", "all.h5#2"]
    assert table.attrs[NOTES] == []


def test_paths_of_another_system_are_read(draw):
    table = collect_cells("cells", draw([r"dmso\a.tif,dmso,p1,f1,x", ROWS[1]], files=False), {})
    assert table["path"][0] == "dmso/a.tif"


@pytest.mark.parametrize(
    ("rows", "head", "reason"),
    [
        (("/etc/a.tif,dmso,p1,f1,x",), HEAD, "leads out of the data set's folder"),
        (("../a.tif,dmso,p1,f1,x",), HEAD, "leads out of the data set's folder"),
        (("C:/a.tif,dmso,p1,f1,x",), HEAD, "leads out of the data set's folder"),
        (("a.tif,dmso,,f1,x",), HEAD, "row 2 has no plate"),
        (("a.tif,dmso,p1,f1,x", "b.tif,,p1,f1,x"), HEAD, "row 3 has no class"),
        (("a.tif,dmso,p1,f1,x", "a.tif,drug,p1,f1,x"), HEAD, "a.tif is listed twice"),
        (("a.tif,dmso,p1,f1,x", "./a.tif,drug,p1,f1,x"), HEAD, "a.tif is listed twice"),
        (ROWS, HEAD.replace("plate", "well"), "has no column 'plate'"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(rows, head, reason, draw):
    with pytest.raises(DataError, match=reason):
        collect_cells("cells", draw(rows, head, files=False), {})


def test_channels_must_be_texts(draw):
    assert len(collect_cells("cells", draw(), {"channels": ["DNA"]})) == 4
    with pytest.raises(RecipeError, match="must be a list of texts, got 3"):
        collect_cells("cells", draw(), {"channels": 3})


@pytest.mark.data
def test_the_real_cells(data_root):
    root = data_root / "mcf7-fluorescence"
    table = collect_cells("mcf7", root, {"group": "field", "test_plates": ["Week4_27821"]})
    assert table["group"].nunique() == 25
    assert table["split"].value_counts().to_dict() == {"train": 661, "test": 539}
    assert table.attrs[NOTES] == []


def test_plates_that_differ_by_a_blank_are_one(tmp_path):
    rows = ["path,class,plate,field", "a.tif,x,P1 ,1", "b.tif,y,P1,1 ", "c.tif,y , P1,2"]
    (tmp_path / "cells.csv").write_text("\n".join(rows))
    samples = collect_samples("cells", tmp_path, {"group": "field"}, label="label", positive=None)
    assert list(samples.frame["group"]) == ["P1/1", "P1/1", "P1/2"]
    assert samples.class_names == ("x", "y")
