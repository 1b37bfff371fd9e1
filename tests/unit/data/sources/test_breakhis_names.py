"""BreakHis file names, by hand and on every real name at hand."""

import os
from pathlib import Path

import pytest

from eosin.data.sources.breakhis import BreakHisName, parse_breakhis_name

DATA = Path(os.environ.get("EOSIN_DATA", Path(__file__).parents[5] / "shared" / "data"))


def test_every_part_of_a_name():
    assert parse_breakhis_name("SOB_B_A-14-22549AB-40-001.png") == BreakHisName(
        class_letter="B",
        subtype_code="A",
        year="14",
        slide="14-22549AB",
        accession="22549",
        magnification="40",
        sequence="001",
    )


@pytest.mark.parametrize(
    ("filename", "slide", "accession"),
    [
        ("SOB_M_DC-14-2773-400-027.png", "14-2773", "2773"),
        ("SOB_M_MC-14-13418DE-200-001.png", "14-13418DE", "13418"),
        ("SOB_M_LC-15-190EF-100-003.png", "15-190EF", "190"),
        ("SOB_B_A-14-22549G-40-007.png", "14-22549G", "22549"),
        ("a/b/SOB_B_TA-14-16184CD-400-024.PNG", "14-16184CD", "16184"),
        (r"C:\b\SOB_B_PT-14-21998AB-40-001.tif", "14-21998AB", "21998"),
        ("SOB_B_F-14-9133-40-001", "14-9133", "9133"),
    ],
)
def test_accession_is_the_digits_of_the_slide(filename, slide, accession):
    name = parse_breakhis_name(filename)
    assert name is not None
    assert (name.slide, name.accession) == (slide, accession)


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "img001.png",
        "SOB_M_DC_14-2773",  # a slide folder
        "SOB_X_DC-14-2773-400-027.png",
        "SOB_M_ZZ-14-2773-400-027.png",
        "SOB_M_DC-14-AB-400-027.png",
        "SOB_M_DC-14-2773-400-027_rot90.png",
        "copy of SOB_M_DC-14-2773-400-027.png",
        "SOB_M_DC-14-2773-400-٠٢٧.png",
    ],
)
def test_other_names_are_no_breakhis_names(filename):
    assert parse_breakhis_name(filename) is None


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "n_images", "n_slides", "n_accessions"),
    [("breakhis-200x-224", 550, 31, 29), ("breakhis-700x460", 30, 19, None)],
)
def test_all_real_names(folder, n_images, n_slides, n_accessions):
    root = DATA / folder
    if not root.is_dir():
        pytest.skip(f"{root} is absent: set EOSIN_DATA")
    paths = sorted(root.rglob("*.png"))
    names = [parse_breakhis_name(path.name) for path in paths]
    assert len(names) == n_images
    for path, name in zip(paths, names, strict=True):
        assert name is not None, path
        # The tree says the same once more: .../benign/SOB/adenosis/SOB_B_A_14-22549AB/40X/...
        assert path.parent.name == f"{name.magnification}X"
        assert path.parents[1].name == f"SOB_{name.class_letter}_{name.subtype_code}_{name.slide}"
        assert path.parents[4].name == {"B": "benign", "M": "malignant"}[name.class_letter]
    if n_accessions is not None:
        assert len({name.slide for name in names}) == n_slides
        assert len({name.accession for name in names}) == n_accessions
