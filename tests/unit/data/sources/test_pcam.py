"""PatchCamelyon in its forms."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

from eosin.core.errors import DataError, RecipeError
from eosin.data.sources.base import NOTES, collect_samples
from eosin.data.sources.catalogue import verify
from eosin.data.sources.pcam import collect_pcam
from eosin.images.containers import read_item

STEM = "camelyonpatch_level_2_split_"
OWN = "each image is its own group, and one slide can be in several subsets"


@pytest.fixture
def draw(tmp_path):
    """A function that writes a part's official files and returns their folder."""

    def write(part, targets=(0, 1, 1), *, n_images=None, slides=("a", "a", "b"), result=None):
        count = len(targets) if n_images is None else n_images
        with h5py.File(tmp_path / f"{STEM}{part}_x.h5", "w") as file:
            file["x"] = np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3)
        with h5py.File(tmp_path / f"{STEM}{part}_y.h5", "w") as file:
            file["y"] = np.array(targets, np.uint8).reshape(-1, 1, 1, 1)
        if slides:
            lines = [",coord_y,coord_x,tumor_patch,center_tumor_patch,wsi"]
            for index, (slide, target) in enumerate(zip(slides, result or targets, strict=False)):
                lines.append(f"{index},{index},{index * 2},True,{bool(target)},{slide}")
            (tmp_path / f"{STEM}{part}_meta.csv").write_text("\n".join(lines) + "\n")
        return tmp_path

    return write


def draw_folders(root, *folders):
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / "a.png").touch()
    return root


def test_official_files_give_slides_places_and_parts(draw):
    draw("train")
    root = draw("valid", (1, 0), slides=("c", "d"))
    table = collect_pcam(root, {})
    assert list(table["path"])[:2] == [f"{STEM}train_x.h5#0", f"{STEM}train_x.h5#1"]
    assert list(table["label"]) == ["normal", "tumour", "tumour", "tumour", "normal"]
    assert list(table["slide"]) == list(table["group"]) == ["a", "a", "b", "c", "d"]
    assert list(table["split"]) == ["train"] * 3 + ["val"] * 2
    assert list(table["part"]) == ["train"] * 3 + ["valid"] * 2
    assert list(zip(table["x"], table["y"], strict=True))[:3] == [
        ("0", "0"),
        ("2", "1"),
        ("4", "2"),
    ]
    assert set(table["mpp"]) == {"0.972"}
    assert read_item(root / f"{STEM}train_x.h5", 1)[0, 0].tolist() == [12, 13, 14]


def test_files_in_a_folder_below_are_found(draw, tmp_path):
    draw("train")
    (tmp_path / "pcam").mkdir()
    for file in list(tmp_path.glob("*.*")):
        file.rename(tmp_path / "pcam" / file.name)
    assert collect_pcam(tmp_path, {})["path"][0] == f"pcam/{STEM}train_x.h5#0"


def test_packed_files_are_told(tmp_path):
    (tmp_path / f"{STEM}train_x.h5.gz").write_bytes(b"")
    with pytest.raises(DataError, match="is still packed") as caught:
        collect_pcam(tmp_path, {})
    assert f"gunzip {tmp_path}/*.h5.gz" in caught.value.hint


def test_one_packed_file_is_no_absent_part(draw):
    draw("valid")
    root = draw("train")
    labels = root / f"{STEM}valid_y.h5"
    labels.rename(f"{labels}.gz")
    with pytest.raises(DataError, match=r"valid_y\.h5\.gz is still packed"):
        collect_pcam(root, {})
    Path(f"{labels}.gz").rename(labels)
    (root / f"{STEM}valid_y.h5.gz").write_bytes(b"")  # kept beside it
    assert len(collect_pcam(root, {})) == 6


def test_without_slides_each_image_is_its_own_group(draw):
    table = collect_pcam(draw("train", slides=()), {})
    assert "slide" not in table
    assert set(table["group"]) == {""}
    reason = f"train: no slides are known ({STEM}train_meta.csv is missing): {OWN}"
    assert reason in table.attrs[NOTES]


def test_a_packed_table_of_slides_will_do(draw, tmp_path):
    draw("train")
    plain = tmp_path / f"{STEM}train_meta.csv"
    plain.with_name(plain.name + ".gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert list(collect_pcam(tmp_path, {})["slide"]) == ["a", "a", "b"]


def test_slides_of_other_images_are_not_believed(draw):
    table = collect_pcam(draw("train", slides=("a", "b")), {})
    assert set(table["group"]) == {""}
    assert any("it has 2 rows for 3 images" in note for note in table.attrs[NOTES])
    table = collect_pcam(draw("valid", result=(1, 0, 1)), {})
    assert any("it contradicts 2 labels" in note for note in table.attrs[NOTES])
    assert set(table["group"]) == {""}


def test_a_row_without_a_slide_is_counted(draw):
    table = collect_pcam(draw("train", slides=("a", "", "b")), {})
    assert "train: no slide is known for 1 image" in table.attrs[NOTES]


@pytest.mark.parametrize(("half", "lacking"), [("x", "images"), ("y", "labels")])
def test_a_part_with_one_half_is_left_out_and_told(half, lacking, draw):
    draw("valid")
    root = draw("train")
    (root / f"{STEM}valid_{half}.h5").unlink()
    table = collect_pcam(root, {})
    assert set(table["part"]) == {"train"}
    result = f"valid: left out, because its {lacking} {STEM}valid_{half}.h5 are missing"
    assert result in table.attrs[NOTES]
    (root / f"{STEM}train_x.h5").unlink()
    with pytest.raises(DataError, match="has no subset with images and labels"):
        collect_pcam(root, {})


def test_images_and_labels_must_fit(draw):
    with pytest.raises(DataError, match=r"has 5 images, but there are 3 labels\. Download"):
        collect_pcam(draw("train", n_images=5), {})
    with pytest.raises(DataError, match="has the label 2; it must be 0 or 1"):
        collect_pcam(draw("train", (0, 2, 1)), {})


def test_judging_on_valid_makes_it_the_test_split(draw):
    for part in ("train", "valid", "test"):
        root = draw(part)
    table = collect_pcam(root, {"judge": "valid"})
    assert table["split"].value_counts().to_dict() == {"train": 3, "test": 3}
    assert set(table["part"][table["split"] == "test"]) == {"valid"}
    assert "3 images of test left out: valid is evaluated instead" in table.attrs[NOTES]
    assert set(collect_pcam(root, {"judge": "test"})["split"]) == {"train", "val", "test"}


def test_judging_on_a_part_that_is_not_there_is_refused(draw, tmp_path):
    with pytest.raises(RecipeError, match="has no subset valid"):
        collect_pcam(draw("train"), {"judge": "valid"})
    with pytest.raises(RecipeError, match="must be one of test, valid, got 'val'"):
        collect_pcam(tmp_path, {"judge": "val"})


def test_class_folders_with_parts(tmp_path):
    root = draw_folders(tmp_path, "train/0", "train/1", "val/0", "val/1", "train/2", "extra/0", "0")
    table = collect_pcam(root, {})
    assert list(table["path"]) == ["train/0/a.png", "train/1/a.png", "val/0/a.png", "val/1/a.png"]
    assert list(table["label"]) == ["normal", "tumour"] * 2
    assert list(table["part"]) == ["train", "train", "valid", "valid"]
    assert list(table["split"]) == ["train", "train", "val", "val"]
    notes = table.attrs[NOTES]
    assert "3 images outside the class folders 0 and 1: left out" in notes
    assert any('evaluate_on = "valid"' in note for note in notes)


def test_class_folders_without_parts(tmp_path):
    table = collect_pcam(draw_folders(tmp_path, "0/deep", "1"), {})
    assert list(table["path"]) == ["0/deep/a.png", "1/a.png"]
    assert "split" not in table
    assert "part" not in table
    samples = collect_samples("pcam", tmp_path, {}, label="label", positive=None)
    assert samples.positive == "tumour"
    assert verify("pcam", samples)[0] == "all: 2 of 327,680 images"


def test_blanks_around_the_names_of_folders_do_not_count(tmp_path):
    table = collect_pcam(draw_folders(tmp_path, "train /0", "train /1 ", "test/0", "test/1"), {})
    assert len(table) == 4
    assert sorted(table["split"]) == ["test", "test", "train", "train"]


def test_files_that_are_folders_are_no_part(tmp_path):
    (tmp_path / f"{STEM}train_x.h5").mkdir()
    with pytest.raises(DataError, match="no subset with images and labels"):
        collect_pcam(tmp_path, {})
