"""Bundles of a slide's magnifications: pure, complete, and refused where they would mix."""

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eosin.artifacts.manifest import make_samples, read_manifest, relocated, write_manifest
from eosin.core.errors import ManifestError
from eosin.core.types import parts_of
from eosin.data.audit import FileHash, FileHashes, audit_samples, fingerprint
from eosin.images.references import without
from eosin.images.stacks import stack_samples

ALL = ("40", "100", "200")


def samples(*rows, **columns):
    """Rows of path, slide, magnification; label and patient follow from the slide's name."""
    table = pd.DataFrame(rows, columns=["path", "slide", "magnification"], dtype=object)
    table["label"] = ["malignant" if slide[0] == "M" else "benign" for slide in table["slide"]]
    table["patient"] = [slide[:2] for slide in table["slide"]]
    return make_samples(table.assign(**columns), root=Path("/data"))


def three(**columns):
    return samples(
        ("b.png", "M1-A", "100"),
        ("a.png", "M1-A", "40"),
        ("c.png", "M1-A", "100"),
        ("d.png", "B2-A", "200"),
        ("e.png", "B2-A", "400"),
        **columns,
    )


def test_a_slide_s_images_meet_in_the_order_of_their_paths():
    frame = stack_samples(three(), ALL).frame
    assert list(frame["path"]) == ["a.png|b.png|", "|c.png|", "||d.png"]
    assert list(frame["magnification"]) == ["40+100", "100", "200"]
    assert list(frame["label"]) == ["malignant", "malignant", "benign"]
    assert list(frame["group"]) == ["M1", "M1", "B2"]


TABLES = st.lists(
    st.tuples(st.sampled_from(["M1-A", "M1-B", "B2-A"]), st.sampled_from([*ALL, "400"])),
    min_size=1,
    max_size=30,
).filter(lambda rows: any(m in ALL for _, m in rows) and len({s[0] for s, _ in rows}) == 2)


@settings(max_examples=25)
@given(rows=TABLES, turn=st.randoms(use_true_random=False))
def test_every_image_stands_in_one_bundle_of_its_slide_whatever_the_order_of_rows(rows, turn):
    named = [(f"{number:02d}.png", *row) for number, row in enumerate(rows)]
    found = stack_samples(samples(*named), ALL).frame
    used = [part for path in found["path"] for part in parts_of(path) if part]
    assert sorted(used) == [path for path, _, magnification in named if magnification in ALL]
    slide_of = {path: slide for path, slide, _ in named}
    for path, slide in zip(found["path"], found["slide"], strict=True):
        assert {slide_of[part] for part in parts_of(path) if part} == {slide}
    most = Counter((slide, m) for _, slide, m in named if m in ALL)
    assert Counter(found["slide"]) == {
        slide: max(n for (own, _), n in most.items() if own == slide) for slide, _ in most
    }
    turn.shuffle(named)
    again = stack_samples(samples(*named), ALL).frame
    assert sorted(again["path"]) == sorted(found["path"])


def test_without_a_known_group_the_slide_is_it():
    table = three().frame.drop(columns=["patient", "group"])
    found = stack_samples(make_samples(table, root=Path("/data")), ALL)
    assert list(found.groups) == ["M1-A", "M1-A", "B2-A"]


def test_what_a_slide_s_images_differ_in_is_left_empty():
    frame = stack_samples(three(mpp=["2", "5", "2", "1", "0.5"], site="x"), ALL).frame
    assert list(frame["mpp"]) == ["", "", "1"]
    assert set(frame["site"]) == {"x"}


@pytest.mark.parametrize("column", ["label", "patient", "group", "split", "accession"])
def test_a_slide_that_mixes_is_refused_by_name(column):
    values = ["test", "train", "train", "test", "test"]
    mixed = three()
    mixed.frame[column] = values
    said = f"images of the slide 'M1-A' differ in `{column}`: 'train' and 'test'"
    with pytest.raises(ManifestError, match=re.escape(said)):
        stack_samples(mixed, ALL)


def test_columns_slides_and_magnifications_that_lack_are_refused_by_name():
    table = three()
    for changed, said in (
        (table.frame.drop(columns="slide"), "`slide` must be known .* column is missing"),
        (table.frame.assign(magnification=""), "`magnification` must be known .* rows have none"),
        (table.frame.assign(magnification="20"), "no image was taken at 40 or 100 or 200"),
    ):
        with pytest.raises(ManifestError, match=said):
            stack_samples(make_samples(changed, root=Path("/data")), ALL)


def test_bundles_come_back_as_they_are_and_others_are_refused(tmp_path):
    stacks = stack_samples(three(), ALL)
    write_manifest(tmp_path / "m.csv", stacks)
    again = read_manifest(tmp_path / "m.csv")
    same = relocated(stack_samples(again, ALL), Path("/data")).frame
    pd.testing.assert_frame_equal(same[list(stacks.frame)], stacks.frame, check_dtype=False)
    for other in (("40", "100"), ("100", "40", "200")):
        with pytest.raises(ManifestError, match="stacks of other magnifications"):
            stack_samples(again, other)
    with pytest.raises(ManifestError, match="every row is a stack of 3 images"):
        stack_samples(again, ())


def test_a_path_with_the_bundles_mark_is_refused_beside_others():
    table = pd.DataFrame({"path": ["a|b.png", "c.png"], "label": ["x", "y"]})
    with pytest.raises(ManifestError, match=re.escape("'a|b.png' has a '|'")):
        make_samples(table, root=Path("/data"))


def hashes(**contents):
    return FileHashes({f"{k}.png": FileHash(v, f"pixels of {v}") for k, v in contents.items()})


def test_the_audit_sees_every_image_of_a_bundle():
    stacks = stack_samples(three(), ALL)
    stacks.frame["split"] = ["train", "train", "test"]
    result = hashes(a="1", b="2", c="3", d="2")  # b and d hold the same bytes
    leaks = [f for f in audit_samples(stacks, hashes=result).findings if f.severity == "leak"]
    assert [leak.kind for leak in leaks] == ["identical_bytes"]
    assert (leaks[0].pairs[0].a, leaks[0].pairs[0].b) == ("b.png", "d.png")


def test_the_fingerprint_knows_every_image_of_a_bundle():
    stacks = stack_samples(three(), ALL)
    prints = {
        fingerprint(stacks, hashes(**{**dict.fromkeys("abcd", "1"), letter: "2"}))
        for letter in "abcd"
    }
    assert len(prints) == 4


def test_a_bundle_with_an_unreadable_image_is_left_out():
    left = without(stack_samples(three(), ALL), [("b.png", "truncated")])
    assert list(left.frame["path"]) == ["|c.png|", "||d.png"]
