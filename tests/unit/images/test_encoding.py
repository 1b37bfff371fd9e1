"""Encoding of an image file, from its header."""

import numpy as np
import pytest
from PIL import Image

from eosin.images.encoding import describe_encoding


@pytest.fixture
def save(tmp_path):
    def write(name, side=40, **options):
        values = np.random.default_rng(0).integers(0, 255, (side, side, 3))
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / name, **options)
        return tmp_path / name

    return write


def test_format_size_and_quantisation_tell_encodings_apart(save):
    files = [save("a.png"), save("b.png", side=41), save("c.bmp")]
    files += [save("d.jpg", quality=70), save("e.jpg", quality=90)]
    found = [describe_encoding(file) for file in files]
    assert len(set(found)) == len(files)
    assert describe_encoding(save("f.jpg", quality=70)) == found[3]


def test_files_that_are_not_opened_have_none(tmp_path, save):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    assert describe_encoding(broken) == describe_encoding(tmp_path / "absent.png") == ""
    assert describe_encoding(save("a.png"), 0) == ""
