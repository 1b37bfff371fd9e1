"""Comparing what was found with what a data set declares."""

import dataclasses

import pandas as pd
import pytest
from tests.facts import tells

from eosin.artifacts.manifest import make_samples
from eosin.data.sources import folder  # noqa: F401 -- enters the data set
from eosin.data.sources.base import DATASETS, NOTES, Count, DataSet
from eosin.data.sources.catalogue import verify


@pytest.fixture
def result(tmp_path, replace_entry):
    """A function from counts, parts and rows of (label, part) to what is told of them."""

    def tell(counts, rows, parts="split", notes=(), classes=("a", "b")):
        plain = DATASETS.get("folder")
        facts = dataclasses.replace(plain.facts, classes=classes, counts=counts, parts=parts)
        replace_entry(DATASETS, "folder", DataSet(facts, plain.collect))
        table = pd.DataFrame(rows, columns=["label", parts][: len(rows[0])], dtype=object)
        table["path"] = [f"{index}.png" for index in range(len(rows))]
        table.attrs[NOTES] = list(notes)
        return verify("folder", make_samples(table, root=tmp_path))

    return tell


def test_a_whole_data_set_is_complete(result):
    counts = (Count(2, "a"), Count(1, "b"))
    (line,) = result(counts, [("a",), ("a",), ("b",)])
    assert tells(line, "complete", 3)


def test_what_is_missing_whole_or_too_much_is_told_by_class(result):
    counts = (Count(1200, "a"), Count(1, "b"), Count(1, "c"), Count(7, "d"))
    rows = [("a",), ("b",), ("c",), ("c",)]
    found = result(counts, rows, classes=("a", "b", "c", "d"))
    assert tells(found, "a: 1 of 1,200", "c: 2 images", "1 more", "complete: b", "absent: d")


def test_parts_are_told_by_name(result):
    counts = tuple(Count(2, label, part) for part in ("train", "val", "test") for label in "ab")
    rows = [("a", "train"), ("b", "train"), ("b", "train"), ("a", "val"), ("a", "val")]
    facts = ("a of train: 1 of 2", "complete: b of train, a of val", "absent: b of val, test")
    assert tells(result(counts, rows), *facts)
    totals = (Count(4, part="40"), Count(4, part="100"))
    rows = [("a", "40"), ("b", "40")]
    facts = ("magnification 40: 2 of 4 images", "absent: magnification 100")
    assert tells(result(totals, rows, "magnification"), *facts)


def test_without_a_column_of_parts_the_whole_is_compared(result):
    counts = (Count(4, part="train"), Count(2, part="test"))
    assert result(counts, [("a",), ("b",)]) == ["all: 2 of 6 images"]
    (line,) = result(counts, [("a",), ("b",)] * 3)
    assert tells(line, "complete", 6)


def test_classes_that_are_absent_or_unknown_are_told(result):
    assert result((), [("a",), ("c",)]) == ["absent: b", "'c' is not a class of folder"]


def test_notes_are_told_last(result):
    counts = (Count(9, part="train"),)
    rows = [("a", "train"), ("b", "train")]
    assert result(counts, rows, notes=["no slides"]) == ["train: 2 of 9 images", "no slides"]


def test_labels_of_another_column_are_compared_with_nothing(result):
    assert result((Count(9, "a"),), [("x",), ("y",)], notes=["odd"]) == ["odd"]
