"""The sample table in memory."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eosin.core.types import Samples


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
