"""Reading the images of a table, and setting aside what cannot be read."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eosin.artifacts.manifest import make_samples
from eosin.core.errors import DataError
from eosin.datasets.images import (
    find_unreadable,
    list_images,
    load_readable,
    without,
    write_skipped,
)
from eosin.inference.decode import decode_image
from eosin.inference.preprocess import make_preprocessing, resize_image


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


def test_unreadable_images_are_told_with_reasons(samples):
    seen = []
    skipped = find_unreadable(samples, advance=lambda done, total: seen.append((done, total)))
    assert [path for path, _ in skipped] == ["c.png", "d.png"]
    assert "is not an image" in skipped[0][1]
    assert "does not exist" in skipped[1][1]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_others_are_kept_in_order(samples):
    kept = without(samples, find_unreadable(samples))
    assert list(kept.frame["path"]) == ["a.png", "b.png"]
    assert kept.class_names == samples.class_names
    assert without(kept, []) is kept


def test_nothing_readable_is_an_error_with_the_first_reason(samples):
    broken = samples.where(np.array([False, True, False, True]))
    with pytest.raises(DataError, match=r"none of the 2 images can be read: .*not an image"):
        without(broken, find_unreadable(broken))


def test_images_are_loaded_in_the_table_s_order(samples, tmp_path):
    preprocessing = make_preprocessing("unit", 8)
    seen = []
    kept, images, skipped = load_readable(
        samples, preprocessing, advance=lambda done, total: seen.append((done, total))
    )
    assert list(kept.frame["path"]) == ["a.png", "b.png"]
    assert skipped == find_unreadable(samples)
    assert images.shape == (2, 8, 8, 3)
    assert images.dtype == np.uint8
    for image, name in zip(images, ("a.png", "b.png"), strict=True):
        expected = resize_image(decode_image(tmp_path / name), preprocessing)
        np.testing.assert_array_equal(image, expected)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_where_all_can_be_read_none_is_left_out(samples):
    kept = without(samples, find_unreadable(samples))
    again, images, skipped = load_readable(kept, make_preprocessing("unit", 8))
    assert (len(again), len(images), skipped) == (2, 2, [])


def test_an_image_of_another_size_is_skipped_by_a_model_that_does_not_resize(samples):
    fixed = make_preprocessing("unit", 8).model_copy(update={"resize": "none"})
    kept, images, skipped = load_readable(samples, fixed)
    assert list(kept.frame["path"]) == ["a.png"]
    assert len(images) == 1
    assert ("b.png", "the model takes 8 × 8 pixels, got 11 × 11") in skipped


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
    found = list_images([tmp_path / "notes.txt", tmp_path])
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    # What is named is taken as it is; folders are searched for images.
    assert names == ["notes.txt", "a.png", "b.png", "c.png", "sub/e.JPG"]


def test_nothing_found_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no image file was found in"):
        list_images([tmp_path])


def test_a_missing_file_is_listed_so_that_the_others_are_finished(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    given = [tmp_path / "none.png", tmp_path]
    assert list_images(given) == [tmp_path / "none.png", tmp_path / "a.png"]
