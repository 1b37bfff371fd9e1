"""Ink is told from tissue by colour."""

import numpy as np
import pytest
from PIL import Image

from eosin.stain import find_ink

PENS = {
    "blue": [(30, 60, 200), (30, 70, 150), (60, 110, 190)],
    "green": [(20, 140, 60), (60, 130, 90), (70, 130, 120)],
    "red": [(220, 25, 30), (200, 20, 45)],
    "black": [(12, 10, 14), (30, 30, 35)],
}
TISSUE = {
    "nuclei": [(90, 60, 140), (60, 40, 110), (50, 25, 70)],
    "stroma": [(225, 150, 190), (240, 190, 215)],
    "blood": [(190, 60, 70), (195, 51, 51)],
    "glass": [(255, 255, 255), (230, 228, 232)],
}


@pytest.mark.parametrize("pen", PENS)
def test_a_pen_s_colours_are_ink(pen):
    assert find_ink(np.array(PENS[pen], dtype=np.uint8)).all()


@pytest.mark.parametrize("part", TISSUE)
def test_a_tissue_s_colours_are_not(part):
    assert not find_ink(np.array(TISSUE[part], dtype=np.uint8)).any()


def test_marks_keep_the_shape_of_the_images():
    images = np.full((2, 5, 7, 3), 240, dtype=np.uint8)
    images[1, 2, 3] = PENS["green"][0]
    marks = find_ink(images)
    assert (marks.shape, marks.dtype) == ((2, 5, 7), np.bool_)
    assert np.argwhere(marks).tolist() == [[1, 2, 3]]


@pytest.mark.data
@pytest.mark.parametrize("folder", ["breakhis-200x-224", "lc25000"])
def test_real_tiles_without_ink_have_none(data_root, folder):
    files = (data_root / folder).rglob("*.*")
    paths = sorted(path for path in files if path.suffix in {".png", ".jpg", ".jpeg"})
    shares = []
    for path in paths[:: len(paths) // 150]:
        with Image.open(path) as thumbnail:
            shares.append(find_ink(np.asarray(thumbnail.convert("RGB"))).mean())
    assert len(shares) >= 150
    assert max(shares) <= 0.02
