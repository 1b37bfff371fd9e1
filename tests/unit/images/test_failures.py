"""Failures of single images: each becomes the reason of one image."""

import weakref

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from eosin.artifacts.manifest import make_samples
from eosin.core.errors import ImageError, OutputError
from eosin.data.audit import hash_files
from eosin.images.decode import decode_image
from eosin.images.failures import isolated
from eosin.images.planes import decode_planes


def test_any_error_becomes_the_image_s_own_with_its_name():
    reason = r"a\.png cannot be processed: ZeroDivisionError"
    with pytest.raises(ImageError, match=reason), isolated("a.png"):
        _ = 1 / 0


def test_a_failure_lets_go_of_its_pixels_before_another_image_gets_their_memory():
    kept = []

    def read_as(kind):
        pixels = np.zeros(9)
        kept.append(weakref.ref(pixels))
        raise ImageError(kind)

    def read():
        try:
            read_as("colours")
        except ImageError:
            read_as("channels")

    with pytest.raises(ImageError) as caught, isolated("a.png"):
        read()
    assert str(caught.value) == "channels"
    assert [one() for one in kept] == [None, None]


def test_a_name_that_is_no_text_is_escaped():
    with pytest.raises(ImageError, match=r"tum\\xf6r\.png") as caught, isolated("tum\udcf6r.png"):
        raise ValueError
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize("error", [ImageError("no image"), OutputError("disk full")])
def test_errors_with_a_sentence_of_their_own_stay(error):
    with pytest.raises(type(error)) as caught, isolated("a.png"):
        raise error
    assert caught.value is error


def test_what_concerns_the_whole_process_passes():
    with pytest.raises(KeyboardInterrupt), isolated("a.png"):
        raise KeyboardInterrupt


def test_lack_of_memory_is_the_image_s_own_and_no_damage():
    with pytest.raises(ImageError, match=r"a\.png .*more memory than is free"), isolated("a.png"):
        raise MemoryError


@pytest.mark.parametrize("decode", [decode_image, decode_planes])
def test_lack_of_memory_is_not_told_as_damage(tmp_path, decode, monkeypatch):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint16))

    def run_out(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr(Image, "open", run_out)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", run_out)
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", run_out)
    for name in ("a.png", "a.tif"):
        with pytest.raises(MemoryError):
            decode(tmp_path / name)


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
