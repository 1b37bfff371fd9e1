"""Class folders of somebody else's, read as a data set that takes classes from file names."""

import pytest

from eosin.core.errors import DataError
from eosin.data.sources.base import NOTES
from eosin.data.sources.breakhis import collect_breakhis
from eosin.data.sources.idc import collect_idc

IDC = "{n}_idx5_x{n}_y1_class{digit}.png"
BREAKHIS = "SOB_{letter}_{kind}-14-{n}-40-001.png"


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def idc_names(n):
    return IDC.format(n=n, digit=n % 2)


def breakhis_name(n):
    return BREAKHIS.format(letter="BM"[n % 2], kind=["A", "DC"][n % 2], n=1000 + n)


@pytest.mark.parametrize(
    ("collect", "name"), [(collect_idc, idc_names), (collect_breakhis, breakhis_name)]
)
@pytest.mark.parametrize("layout", ["{cls}/{name}", "{cls}/P{n}/{name}", "mine/{cls}/{name}"])
def test_class_folders_are_not_passed_over(tmp_path, collect, name, layout):
    classes = ["healthy", "sick"]
    paths = [layout.format(cls=classes[n % 2], n=n, name=name(n)) for n in range(4)]
    with pytest.raises(DataError, match=r"healthy, sick|P0, P1") as caught:
        collect(touch(tmp_path, *paths), {})
    assert "--set data.dataset=folder" in caught.value.hint


@pytest.mark.parametrize("layout", ["{n}/{cls}/{name}", "train/{n}/{cls}/{name}", "{name}"])
def test_the_own_tree_of_idc_is_read(tmp_path, layout):
    paths = [layout.format(n=n, cls=n % 2, name=idc_names(n)) for n in range(4)]
    assert len(collect_idc(touch(tmp_path, *paths), {})) == 4


@pytest.mark.parametrize(
    "layout", ["BreaKHis 400X/{part}/{cls}/{name}", "{cls}/SOB/{name}", "{name}", "fold1/{name}"]
)
def test_trees_that_breakhis_comes_in_are_read(tmp_path, layout):
    paths = [
        layout.format(part=["train", "test"][n // 2], cls=["benign", "malignant"][n % 2], name=name)
        for n, name in ((n, breakhis_name(n)) for n in range(4))
    ]
    assert len(collect_breakhis(touch(tmp_path, *paths), {})) == 4


def test_an_image_in_the_folder_of_the_other_class_is_noted(tmp_path):
    root = touch(tmp_path, f"benign/{breakhis_name(0)}", f"benign/{breakhis_name(1)}")
    table = collect_breakhis(root, {})
    assert list(table["label"]) == ["benign", "malignant"]
    assert len(table.attrs[NOTES]) == 1
