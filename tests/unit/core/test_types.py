"""The sample table in memory."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eosin.core.errors import ImageError
from eosin.core.types import Estimate, ImageReference, Samples


@pytest.fixture
def samples():
    frame = pd.DataFrame(
        {
            "path": ["a.png", "b.h5#7", "c.png"],
            "label": ["benign", "malignant", "benign"],
            "patient": ["1", "2", ""],
            "group": ["1", "2", "c.png"],
            "split": ["train", "test", "train"],
        }
    )
    return Samples(frame, Path("/data"), ("malignant", "benign"), "malignant")


def test_targets_follow_the_order_of_the_classes(samples):
    np.testing.assert_array_equal(samples.targets, [1, 0, 1])
    assert samples.targets.dtype == np.int64


def test_a_part_has_a_fresh_index_and_keeps_the_rest(samples):
    part = samples.part("train")
    assert list(part.frame["path"]) == ["a.png", "c.png"]
    assert list(part.frame.index) == [0, 1]
    assert part.class_names == samples.class_names
    assert len(part) == 2
    assert list(part.groups) == ["1", "c.png"]


def test_a_cell_is_resolved_without_its_index(samples):
    assert samples.resolve("b.h5#7") == Path("/data/b.h5")
    assert samples.resolve("/else/a.png") == Path("/else/a.png")


@pytest.fixture
def folder(tmp_path):
    """Files whose names hold a ``#``, among others that do not."""
    for name in ("a#1.png", "scan#1", "a.png", "x.h5", "x.h5#a.h5", "s#2/b.png", "s#2/y.h5"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "file", "index"),
    [
        ("a.png", "a.png", None),
        ("a#1.png", "a#1.png", None),
        ("s#2/b.png", "s#2/b.png", None),
        ("x.h5#0", "x.h5", 0),
        ("x.h5#007", "x.h5", 7),
        ("x.h5#a.h5", "x.h5#a.h5", None),
        ("x.h5#a.h5#3", "x.h5#a.h5", 3),
        ("s#2/y.h5#4", "s#2/y.h5", 4),
        ("gone.h5#1", "gone.h5", 1),
        ("gone.h5#a", "gone.h5#a", None),
        # No containers: the file that is there, else the whole text.
        ("scan#1", "scan#1", None),
        ("gone#1", "gone#1", None),
        ("a.png#0", "a.png", 0),
        ("#3", "#3", None),
    ],
)
def test_a_reference_is_the_file_that_is_there(folder, text, file, index):
    reference = ImageReference.parse(text)
    assert str(reference) == text
    assert reference.resolve(folder) == (folder / file, index)


@pytest.mark.parametrize("index", ["a", "", "-1", "1.0", "²", "٣"])
def test_a_container_without_a_whole_number_behind_its_mark_is_refused(folder, index):
    with pytest.raises(ImageError, match="whole number behind '#'"):
        ImageReference.parse(f"x.h5#{index}").resolve(folder)


def test_an_estimate_shows_its_value_its_interval_and_what_is_missing():
    assert repr(Estimate(0.931234, 0.9, 0.95)) == "Estimate(value=0.9312, low=0.9, high=0.95)"
    lost = repr(Estimate(None, reason="no image of benign"))
    assert lost == "Estimate(value=None, low=None, high=None, reason='no image of benign')"
