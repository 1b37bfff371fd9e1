"""BreakHis from its own folder tree."""

import pytest
from PIL import Image
from tests.facts import tells

from eosin.core.errors import DataError, UsageError
from eosin.data.sources.base import NOTES, collect_samples
from eosin.data.sources.breakhis import collect_breakhis
from eosin.data.sources.catalogue import DATASETS

NAMES = [
    ("benign", "adenosis", "SOB_B_A-14-22549AB-40-001"),
    ("benign", "adenosis", "SOB_B_A-14-22549G-200-002"),
    ("malignant", "ductal_carcinoma", "SOB_M_DC-14-2523-200-010"),
    ("malignant", "lobular_carcinoma", "SOB_M_LC-15-190EF-400-003"),
]


@pytest.fixture
def draw_tree(tmp_path):
    """A function from an image size to a tree of BreakHis with four images."""

    def draw(size=(8, 6)):
        for label, subtype, name in NAMES:
            stem, _, magnification, _ = name.rsplit("-", 3)[0], *name.rsplit("-", 3)[1:]
            folder = tmp_path / "BreaKHis_v1" / "histology_slides" / "breast" / label / "SOB"
            folder = folder / subtype / stem.replace("-", "_", 1) / f"{magnification}X"
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size, (200, 100, 150)).save(folder / f"{name}.png")
        return tmp_path

    return draw


def test_a_row_an_image(draw_tree):
    table = collect_breakhis(draw_tree(), {}).sort_values("magnification", key=lambda m: m.map(int))
    assert list(table["label"]) == ["benign", "benign", "malignant", "malignant"]
    assert list(table["magnification"]) == ["40", "200", "200", "400"]
    assert sorted(table["subtype"]) == [
        "adenosis",
        "adenosis",
        "ductal_carcinoma",
        "lobular_carcinoma",
    ]
    assert set(table["slide"]) == {"14-22549AB", "14-22549G", "14-2523", "15-190EF"}


def test_sections_of_one_accession_are_one_group(draw_tree):
    table = collect_breakhis(draw_tree(), {})
    assert sorted(table["group"]) == ["190", "22549", "22549", "2523"]
    assert list(table["group"]) == list(table["patient"]) == list(table["accession"])


def test_any_part_of_the_tree_will_do(draw_tree):
    root = draw_tree() / "BreaKHis_v1" / "histology_slides" / "breast" / "malignant"
    table = collect_breakhis(root, {})
    assert len(table) == 2
    assert table["path"][0].startswith("SOB/")


def test_the_scale_is_known_at_the_camera_s_size_alone(draw_tree):
    table = collect_breakhis(draw_tree((700, 460)), {})
    scales = dict(zip(table["magnification"], table["mpp"], strict=True))
    assert scales == {"40": "0.49", "200": "0.1", "400": "0.05"}
    assert set(collect_breakhis(draw_tree((224, 224)), {})["mpp"]) == {""}


def test_files_of_other_names_are_left_out(draw_tree):
    root = draw_tree()
    Image.new("RGB", (8, 6)).save(root / "SOB_something.png")
    Image.new("RGB", (8, 6)).save(root / "mask.png")
    table = collect_breakhis(root, {})
    assert len(table) == 4
    (note,) = table.attrs[NOTES]
    assert tells(note, 2, "names", "left out")


def test_malignant_is_positive_unless_the_label_is_another(draw_tree):
    root = draw_tree()
    found = collect_samples("breakhis", root, {}, label="label", positive=None)
    assert found.positive == "malignant"
    found = collect_samples("breakhis", root, {}, label="subtype", positive=None)
    assert found.positive is None
    assert len(found.class_names) == 3


def test_options_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(UsageError, match="breakhis takes no options, got 'fold'"):
        collect_breakhis(tmp_path, {"fold": 1})
    with pytest.raises(DataError, match="contains no BreakHis image") as caught:
        collect_breakhis(tmp_path, {})
    assert "BreaKHis_v1" in caught.value.hint


@pytest.mark.data
def test_the_real_tree(data_root):
    table = collect_breakhis(data_root / "breakhis-200x-224", {})
    assert len(table) == 550
    assert table["group"].nunique() == 29
    assert table["slide"].nunique() == 31
    assert table["label"].value_counts().to_dict() == {"malignant": 414, "benign": 136}
    assert DATASETS.get("breakhis").facts.licence == "CC BY 4.0"
