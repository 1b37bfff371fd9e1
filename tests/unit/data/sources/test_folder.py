"""Any folder with one subfolder a class."""

import pytest
from PIL import Image
from tests.facts import tells

from eosin.core.errors import DataError, ManifestError, UnknownNameError, UsageError
from eosin.data.sources.base import DATA_VARIABLE, NOTES, collect_samples, find_root
from eosin.data.sources.folder import collect_folder, recognise_layout


@pytest.fixture
def draw(tmp_path):
    """A function that draws one image a path and returns the root."""

    def make(*paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(tmp_path / path)
        return tmp_path

    return make


def test_the_folder_below_the_class_is_the_patient(draw):
    root = draw("a/p1/x.png", "a/p1/deep/y.tif", "b/p2/z.jpg")
    table = collect_folder(root, {})
    assert list(table["path"]) == ["a/p1/deep/y.tif", "a/p1/x.png", "b/p2/z.jpg"]
    assert list(table["label"]) == ["a", "a", "b"]
    assert list(table["patient"]) == ["p1", "p1", "p2"]


def test_without_a_patient_every_image_is_its_own_group(draw):
    samples = collect_samples(
        "folder", draw("a/x.png", "b/y.png"), {}, label="label", positive=None
    )
    assert list(samples.frame["patient"]) == ["", ""]
    assert list(samples.frame["group"]) == ["a/x.png", "b/y.png"]
    assert samples.positive is None


def test_only_visible_images_in_class_folders_count(draw):
    root = draw("a/x.PNG", "b/y.webp", "top.png", ".hidden/z.png", "a/.z.png")
    (root / "a" / "notes.txt").write_text("no image")
    assert list(collect_folder(root, {})["path"]) == ["a/x.PNG", "b/y.webp"]


def test_what_cannot_be_a_data_set_is_refused(draw, tmp_path):
    with pytest.raises(DataError, match="contains no images in class folders"):
        collect_folder(tmp_path, {})
    draw("top.png")
    with pytest.raises(DataError, match="contains no images in class folders"):
        collect_folder(tmp_path, {})
    with pytest.raises(UsageError, match="folder has no such option"):
        collect_folder(tmp_path, {"x": 1})
    with pytest.raises(ManifestError, match="got only 'a'"):
        collect_samples("folder", draw("a/x.png"), {}, label="label", positive=None)


@pytest.mark.parametrize("below", ["benign", "benign/p1"])
def test_parts_are_not_taken_for_classes(draw, below):
    root = draw(f"train/{below}/x.png", f"Test/{below}/y.png")
    with pytest.raises(DataError, match="Test, train"):
        collect_folder(root, {})
    draw("benign/z.png")
    assert set(collect_folder(root, {})["label"]) == {"Test", "benign", "train"}


def test_a_positive_class_must_be_a_folder(draw):
    root = draw("a/x.png", "b/y.png")
    found = collect_samples("folder", root, {}, label="label", positive="b")
    assert found.positive == "b"
    with pytest.raises(ManifestError, match="'c' is not a label"):
        collect_samples("folder", root, {}, label="label", positive="c")


def test_an_unknown_data_set_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown data set 'folders'") as caught:
        collect_samples("folders", tmp_path, {}, label="label", positive=None)
    assert caught.value.hint.startswith("Did you mean 'folder'?")


def test_where_a_root_is_looked_for(tmp_path, monkeypatch):
    (tmp_path / "breakhis").mkdir()
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert find_root("breakhis", None) == (tmp_path / "breakhis").resolve()
    assert find_root("breakhis", f"${DATA_VARIABLE}") == tmp_path.resolve()
    assert find_root("breakhis", str(tmp_path)) == tmp_path.resolve()
    with pytest.raises(DataError, match="does not exist") as caught:
        find_root("pcam", None)
    assert DATA_VARIABLE in caught.value.hint


def test_a_root_that_is_not_known_says_how_to_give_it(tmp_path, monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(DataError, match="'breakhis'"):
        find_root("breakhis", None)
    with pytest.raises(DataError, match="that environment variable is not set"):
        find_root("breakhis", f"${DATA_VARIABLE}/x")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file, not a folder"):
        find_root("breakhis", str(tmp_path / "file"))


def test_images_without_a_patient_or_a_class_are_told(tmp_path):
    for path in ("a/p1/x.png", "a/y.png", "b/p2/x.png", "loose.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    alone, beside = collect_folder(tmp_path, {}).attrs[NOTES]
    assert tells(alone, "no patient", 1, "own group")
    assert tells(beside, "1 image", "left out")


def test_parts_beside_other_folders_are_no_classes_either(draw):
    classes = [f"{part}/{label}/x.png" for part in ("train", "test") for label in "ab"]
    root = draw(*classes, "extra/z.png")
    with pytest.raises(DataError, match="subsets, not classes"):
        collect_folder(root, {})
    one = draw("one/test/x.png", "one/control/y.png") / "one"
    assert set(collect_folder(one, {})["label"]) == {"test", "control"}


def test_patients_that_hold_classes_are_not_taken_for_classes(draw):
    paths = [f"{patient}/{label}/{patient}.png" for patient in range(4) for label in ("0", "1")]
    root = draw(*paths[1:])  # a patient may lack a class
    with pytest.raises(DataError, match="look like patients") as caught:
        collect_folder(root, {})
    assert "--set data.options.layout=patient/class" in caught.value.hint
    table = collect_folder(root, {"layout": "patient/class"})
    assert set(table["label"]) == {"0", "1"}
    assert set(table["patient"]) == {"0", "1", "2", "3"}
    kept = collect_folder(root, {"layout": "class/patient"})
    assert set(kept["label"]) == {"0", "1", "2", "3"}


@pytest.mark.parametrize(
    "paths",
    [
        # Every patient in both classes, as often as not.
        [f"{label}/p{n}/x.png" for label in ("benign", "tumour") for n in range(8)],
        # More classes than patients in each, but not the same patients.
        [f"c{n}/p{n}{k}/x.png" for n in range(5) for k in range(3)],
        # No patients at all, or one level that says nothing.
        [f"c{n}/x.png" for n in range(6)],
        [f"c{n}/images/x.png" for n in range(6)],
    ],
)
def test_classes_that_hold_patients_stay_classes(draw, paths):
    table = collect_folder(draw(*paths), {})
    assert set(table["label"]) == {path.split("/")[0] for path in paths}


def test_folders_that_differ_by_a_blank_or_unicode_form_are_one(draw):
    names = ("a/P1/x.png", "a /P1 /y.png", "b/Mu\u0308ller/x.png", "b/M\u00fcller/y.png")
    samples = collect_samples("folder", draw(*names), {}, label="label", positive=None)
    assert samples.class_names == ("a", "b")
    assert sorted(set(samples.frame["group"])) == ["M\u00fcller", "P1"]
    assert all(samples.resolve(path).exists() for path in samples.frame["path"])
    assert len(samples.notes) == 3


@pytest.mark.parametrize(
    "names",
    [
        ["P01", "P02", "P10"],
        ["p1", "p2", "p3"],
        ["patient_12", "patient_3", "patient_4"],
        ["Case 1", "Case 2", "case 3"],
        ["10253", "10254", "9036"],
        ["SOB_B_A-14-22549AB", "SOB_B_A_14-29960D", "SOB_B_A-14-22704"],
        ["patient_id_1", "patient_id-2", "Patient ID 3"],
        [f"PT{n}" for n in range(1, 8)],
    ],
)
@pytest.mark.parametrize("below", ["", "images/"])
def test_patients_of_one_class_are_not_taken_for_classes(draw, names, below):
    root = draw(*(f"a tree/benign/{name}/{below}x.png" for name in names)) / "a tree" / "benign"
    with pytest.raises(DataError, match="look like patients, not classes") as caught:
        collect_folder(root, {})
    assert f"--set 'data.root={root.parent}'" in caught.value.hint
    assert "--set data.options.layout=class/patient" in caught.value.hint
    assert set(collect_folder(root, {"layout": "class/patient"})["label"]) == set(names)
    assert set(collect_folder(root.parent, {})["patient"]) == set(names)


@pytest.mark.parametrize(
    "names",
    [
        [str(n) for n in range(10)],
        ["00", "01", "02", "10"],
        ["40", "100", "200", "400"],
        ["40X", "100X", "200X", "1000X"],
        [f"class{n}" for n in range(12)],
        ["class_001", "class_002", "class_003"],
        ["grade1", "grade2", "grade3"],
        ["pT1", "pT2", "pT3", "pT4"],
        ["her2_0", "her2_1", "her2_2", "her2_3"],
        ["01_TUMOR", "02_STROMA", "03_COMPLEX"],
        ["p1", "p2"],
        ["p1", "p2", "p3", "other"],
        ["P01", "N02", "N03"],
    ],
)
def test_numbered_classes_stay_classes(draw, names):
    table = collect_folder(draw(*(f"{name}/x.png" for name in names)), {})
    assert set(table["label"]) == set(names)


def test_splits_are_read_as_splits(draw):
    root = draw("Train/a/x.png", "Train/b/p1/y.png", "valid/a/z.png", "test/b/w.png", "c/a/v.png")
    table = collect_folder(root, {"layout": "split/class"}).set_index("path")
    assert table["split"].to_dict() == {
        "Train/a/x.png": "train",
        "Train/b/p1/y.png": "train",
        "valid/a/z.png": "val",
        "test/b/w.png": "test",
    }
    assert table["label"]["Train/b/p1/y.png"] == "b"
    assert table["patient"]["Train/b/p1/y.png"] == "p1"


def test_classes_and_patients_are_read_from_file_names(draw):
    names = [f"{label}_P{patient}_{n}.png" for label in "ab" for patient in "12" for n in "345"]
    table = collect_folder(draw(*names), {"layout": "flat"}).set_index("path")
    assert table["label"]["a_P2_4.png"] == "a"
    assert table["patient"]["a_P2_4.png"] == "P2"


def test_numbers_of_images_are_no_patients(draw):
    table = collect_folder(draw("a 1.png", "a-2.png", "b3.png", "b_4.png"), {"layout": "flat"})
    assert list(table["label"]) == ["a", "a", "b", "b"]
    assert set(table["patient"]) == {""}


@pytest.mark.parametrize(
    ("paths", "layout"),
    [
        (("a/x.png", "b/y.png"), "class/patient"),
        (("a/p1/x.png", "b/p2/y.png"), "class/patient"),
        ([f"p{n}/{label}/x.png" for n in range(5) for label in "ab"], "patient/class"),
        (
            [f"{split}/{label}/x.png" for split in ("train", "test") for label in "ab"],
            "split/class",
        ),
        (("a_1.png", "a_2.png", "b_1.png", "b_2.png"), "flat"),
    ],
)
def test_layouts_are_recognised(draw, paths, layout):
    root = draw(*paths)
    assert recognise_layout(root) == layout
    assert set(collect_folder(root, {"layout": layout})["label"]) == {"a", "b"}


@pytest.mark.parametrize(
    "names", [["IMG_1.png", "IMG_2.png"], ["a.png", "b.png", "c.png"], ["1.png", "2.png"]]
)
def test_a_folder_without_classes_is_refused(draw, names):
    with pytest.raises(DataError) as caught:
        recognise_layout(draw(*names))
    assert tells(caught.value.hint, "folder per class", "table", "path", "label", "patient")


def test_the_folder_of_one_class_names_the_folder_above(draw):
    root = draw(*[f"benign/P{n:02}/x.png" for n in range(6)])
    with pytest.raises(DataError) as caught:
        recognise_layout(root / "benign")
    assert str(root) in caught.value.hint
