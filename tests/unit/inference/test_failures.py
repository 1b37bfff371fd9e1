"""Failures of single images: each becomes the reason of one image."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eosin.artifacts.manifest import make_samples
from eosin.core.errors import ImageError, OutputError
from eosin.datasets.audit import hash_files
from eosin.inference.failures import isolated


def test_any_error_becomes_the_image_s_own_with_its_name():
    reason = r"a\.png cannot be processed: ZeroDivisionError"
    with pytest.raises(ImageError, match=reason), isolated("a.png"):
        _ = 1 / 0


def test_a_name_that_is_no_text_is_escaped():
    with pytest.raises(ImageError, match=r"tum\\xf6r\.png") as caught, isolated("tum\udcf6r.png"):
        raise ValueError
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize("error", [ImageError("no image"), OutputError("disk full")])
def test_errors_with_a_sentence_of_their_own_stay(error):
    with pytest.raises(type(error)) as caught, isolated("a.png"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt])
def test_what_concerns_the_whole_process_passes(kind):
    with pytest.raises(kind), isolated("a.png"):
        raise kind


def test_a_failure_of_what_looks_at_images_skips_one_image(tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / name)
    frame = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["x", "y"]})

    def look(cell, _image):
        if cell == "a.png":
            raise IndexError("a bug")

    hashes = hash_files(make_samples(frame, root=tmp_path), look=look)
    ((cell, reason),) = hashes.unreadable
    assert cell == "a.png"
    assert "a bug" in reason
    assert hashes.files["b.png"].pixels is not None
