"""LC25000 and its copies."""

import pytest
from tests.facts import tells

from eosin.core.errors import DataError, RecipeError
from eosin.data.sources.base import NOTES, collect_samples
from eosin.data.sources.catalogue import verify
from eosin.data.sources.lc25000 import collect_lc25000

LUNG = "lung_colon_image_set/lung_image_sets"
COLON = "lung_colon_image_set/colon_image_sets"
FILES = {
    f"{LUNG}/lung_n/lungn1.jpeg": ("lung_n", "7"),
    f"{LUNG}/lung_n/lungn2.jpeg": ("lung_n", "7"),
    f"{LUNG}/lung_aca/lungaca1.jpeg": ("lung_aca", "7"),
    f"{COLON}/colon_n/colonn1.jpeg": ("colon_n", "8"),
}


@pytest.fixture
def root(tmp_path):
    """A tree of four images, without a table of copies."""
    for path in FILES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


def write_clusters(root, files=FILES, name="clusters.csv"):
    rows = [f"{path},{label},{cluster}" for path, (label, cluster) in files.items()]
    (root / name).write_text("\n".join(["path,class,cluster", *rows]) + "\n")


def test_copies_of_a_tile_are_one_group_and_numbers_are_a_class_s_own(root):
    write_clusters(root)
    table = collect_lc25000(root, {}).set_index("path")
    assert list(table["group"]) == ["colon_n/8", "lung_aca/7", "lung_n/7", "lung_n/7"]
    assert list(table["cluster"]) == list(table["group"])
    assert table.attrs[NOTES] == []


def test_without_the_table_the_leak_is_told(root):
    table = collect_lc25000(root, {})
    assert "group" not in table
    (result,) = table.attrs[NOTES]
    assert "each image is its own group" in result
    assert "copies of one tile" in result


def test_images_and_rows_without_each_other_are_counted(root):
    files = dict(list(FILES.items())[1:])
    files |= {f"{LUNG}/lung_n/lungn9.jpeg": ("lung_n", "9"), "x/colonca1.jpeg": ("colon_aca", "1")}
    write_clusters(root, files)
    samples = collect_samples("lc25000", root, {}, label="label", positive=None)
    result = verify("lc25000", samples)
    assert any(tells(note, "1 image", "clusters.csv", "own group") for note in result)
    assert "2 images of clusters.csv missing" in result
    assert samples.frame.set_index("path")["group"][f"{LUNG}/lung_n/lungn1.jpeg"].endswith(
        "n1.jpeg"
    )
    assert "absent: colon_aca, lung_scc" in result


def test_a_part_alone(root):
    write_clusters(root)
    lung = collect_lc25000(root, {"part": "lung"})
    assert set(lung["label"]) == {"lung_n", "lung_aca"}
    assert lung.attrs[NOTES] == []
    assert set(collect_lc25000(root, {"part": "colon"})["label"]) == {"colon_n"}
    with pytest.raises(RecipeError, match="must be one of lung, colon, all, got 'skin'"):
        collect_lc25000(root, {"part": "skin"})
    with pytest.raises(DataError, match="class folders colon_aca, colon_n"):
        collect_lc25000(root / LUNG, {"part": "colon"})


def test_any_part_of_the_tree_will_do_with_the_table_elsewhere(root):
    write_clusters(root, name="copies.csv")
    table = collect_lc25000(root / LUNG, {"clusters": str(root / "copies.csv")})
    assert list(table["path"]) == [
        "lung_aca/lungaca1.jpeg",
        "lung_n/lungn1.jpeg",
        "lung_n/lungn2.jpeg",
    ]
    assert list(table["group"]) == ["lung_aca/7", "lung_n/7", "lung_n/7"]
    assert list(collect_lc25000(root / LUNG / "lung_n", {})["label"]) == ["lung_n", "lung_n"]


def test_a_named_table_must_be_there(root):
    with pytest.raises(RecipeError, match=r"'data\.options\.clusters': there is no file"):
        collect_lc25000(root, {"clusters": "copies.csv"})


def test_a_table_that_contradicts_itself_is_refused(root):
    first = next(iter(FILES))
    write_clusters(root, {**FILES, f"elsewhere/{first}": ("lung_n", "9")})
    with pytest.raises(DataError, match=r"lungn1.jpeg is in the clusters 7 and 9"):
        collect_lc25000(root, {})
    write_clusters(root, {**FILES, first: ("lung_n", "")})
    with pytest.raises(DataError, match=r"lungn1.jpeg has no cluster"):
        collect_lc25000(root, {})


def test_an_unknown_class_folder_is_told(root):
    write_clusters(root)
    (root / LUNG / "lung_x").mkdir()
    (root / LUNG / "lung_x" / "a.jpeg").touch()
    table = collect_lc25000(root, {})
    assert len(table) == 4
    (note,) = table.attrs[NOTES]
    assert tells(note, "1 image", "left out")


@pytest.mark.data
def test_the_real_tree(data_root):
    table = collect_lc25000(data_root / "lc25000", {})
    assert (table.groupby("group").size() == 5).all()
    assert (table.groupby("group")["label"].nunique() == 1).all()
    assert table.attrs[NOTES] == []


def test_names_are_compared_without_blanks_and_in_one_unicode_form(tmp_path):
    file = tmp_path / "lung_n " / "mu\u0308.jpeg"
    file.parent.mkdir()
    file.touch()
    write_clusters(tmp_path, {"lung_n\\m\u00fc.jpeg": ("lung_n ", " 7")})
    table = collect_lc25000(tmp_path, {})
    assert list(table["group"]) == ["lung_n/7"]
