"""Reading the images of a table, and setting aside what cannot be read."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eosin.artifacts.manifest import make_samples
from eosin.core.errors import DataError, ImageError
from eosin.core.types import ImageReference, Samples
from eosin.images.decode import decode_image
from eosin.images.references import (
    list_images,
    without,
    write_skipped,
)


@pytest.fixture
def samples(tmp_path):
    """Four rows: two images, one broken file, one that is absent."""
    random = np.random.default_rng(0)
    for name, side in (("a.png", 8), ("b.png", 11)):
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"broken")
    frame = pd.DataFrame({"path": ["a.png", "c.png", "b.png", "d.png"], "label": list("xyxy")})
    return make_samples(frame, root=tmp_path)


def test_the_others_are_kept_in_order(samples):
    kept = without(samples, [("c.png", "no image"), ("d.png", "absent")])
    assert list(kept.frame["path"]) == ["a.png", "b.png"]
    assert kept.class_names == samples.class_names
    assert without(kept, []) is kept


def test_nothing_readable_is_an_error_with_the_first_reason(samples):
    broken = samples.where(np.array([False, True, False, True]))
    skipped = [("c.png", "c.png is not an image"), ("d.png", "absent")]
    with pytest.raises(DataError, match=r"no image can be read \(2 tried\): .*not an image"):
        without(broken, skipped)


def test_skipped_files_are_listed(tmp_path):
    path = tmp_path / "skipped.csv"
    write_skipped(path, [])
    assert not path.exists()
    write_skipped(path, [("a,b.png", 'no "image"')])
    assert pd.read_csv(path).to_dict("list") == {"path": ["a,b.png"], "reason": ['no "image"']}
    write_skipped(path, [])  # an earlier call's list does not stay
    assert len(pd.read_csv(path)) == 0


def test_files_and_folders_are_expanded(samples, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "._a.png").write_bytes(b"of the system")
    Image.new("RGB", (4, 4)).save(tmp_path / "sub" / "e.JPG", format="JPEG")
    (tmp_path / "notes.txt").write_text("")
    found = list_images([tmp_path / "notes.txt", tmp_path]).cells
    names = [Path(cell).relative_to(tmp_path).as_posix() for cell in found]
    # What is named is taken as it is; folders are searched for images.
    assert names == ["notes.txt", "a.png", "b.png", "c.png", "sub/e.JPG"]


def test_nothing_found_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no image file was found in"):
        list_images([tmp_path])
    (tmp_path / "a.h5").touch()
    with pytest.raises(DataError, match=r"1 \.h5\. .*named themselves"):
        list_images([tmp_path])


def test_a_missing_file_is_listed_so_that_the_others_are_finished(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    given = [tmp_path / "none.png", tmp_path]
    assert list_images(given).cells == [str(tmp_path / "none.png"), str(tmp_path / "a.png")]


def test_a_container_stands_for_all_its_images(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.zeros((3, 4, 4), dtype=np.uint8)
    cells = list_images([tmp_path / "x.h5"]).cells
    assert cells == [f"{tmp_path / 'x.h5'}#{index}" for index in range(3)]
    assert ImageReference.parse(cells[2]).resolve() == (tmp_path / "x.h5", 2)
    (tmp_path / "broken.h5").write_bytes(b"nothing")
    assert list_images([tmp_path / "broken.h5"]).cells == [f"{tmp_path / 'broken.h5'}#0"]


def test_a_folder_that_is_called_like_an_image_is_searched_and_not_listed(tmp_path):
    (tmp_path / "slide.tif").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "slide.tif" / "a.png")
    assert list_images([tmp_path]).cells == [str(tmp_path / "slide.tif" / "a.png")]


@pytest.mark.parametrize(
    ("reasons", "asks"),
    [
        (["x.png does not exist", "y.png does not exist"], True),
        (["x.png does not exist", "y.png is cut"], False),
        (["x.png has one pixel row"], False),
    ],
)
def test_only_images_that_are_absent_raise_the_question_where_paths_start(reasons, asks):
    cells = [f"{name}.png" for name in "xy"[: len(reasons)]]
    frame = pd.DataFrame({"path": cells, "label": "a", "group": cells}, dtype=object)
    with pytest.raises(DataError) as caught:
        without(Samples(frame, Path("/data"), ("a",)), list(zip(cells, reasons, strict=True)))
    assert bool(caught.value.hint) is asks
    assert not asks or "/data" in caught.value.hint


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ("9" * 5000, "index 1000000000000000000 or more"),
        ("3", "has no index 3"),
        ("-1", "whole number behind '#'"),
        ("٣", "whole number behind '#'"),
        ("²", "whole number behind '#'"),
        ("1.0", "whole number behind '#'"),
        ("", "whole number behind '#'"),
        ("1#2", "does not exist"),
    ],
)
def test_an_odd_index_is_the_image_s_own_failure(index, reason, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.ones((3, 4, 4), np.uint8)
    cell = f"{tmp_path / 'a.h5'}#{index}"
    with pytest.raises(ImageError, match=reason):
        decode_image(*ImageReference.parse(cell).resolve())


def test_zeros_lead_an_index_however_many(tmp_path):
    frame = pd.DataFrame({"path": [f"a.h5#{'0' * 5000}2", "b.png"], "label": ["x", "y"]})
    samples = make_samples(frame, root=tmp_path)
    assert samples.locate(samples.frame["path"][0]) == (tmp_path / "a.h5", 2)


def test_a_container_of_too_many_images_is_listed_with_its_reason(tmp_path):
    with (tmp_path / "a.idx").open("wb") as file:
        file.write(struct.pack(">BBBB3I", 0, 0, 8, 3, 3_000_000, 1, 1) + bytes(3_000_000))
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "b.png")
    found = list_images([tmp_path / "a.idx", tmp_path / "b.png"])
    assert found.cells == [str(tmp_path / "b.png")]
    assert "3,000,000 images" in found.skipped[0][1]
