"""Near-duplicates: copies that are planted are found, what is only alike is left in peace."""

import importlib.util
import io
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial import KDTree
from tests.facts import tells

from eosin.core.types import Samples
from eosin.data.audit import (
    FileHash,
    FileHashes,
    ImageIndex,
    Match,
    NearDuplicates,
    audit_samples,
    audit_stage,
    find_near_duplicates,
    sketch,
)
from eosin.data.audit.near_duplicates import (
    describe,
    find_copies,
    find_limit,
    find_neighbours,
    find_pairs,
    find_textured,
)

SIDE = 96


def make_tissue(seed, side=SIDE):
    """Blobs of a few pixels on a light ground, unlike those of any other seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    dark = np.zeros((side, side))
    for cy, cx, r in zip(*rng.uniform(0, side, (2, 60)), rng.uniform(2, 7, 60), strict=True):
        dark = np.maximum(dark, np.exp(-((((y - cy) ** 2 + (x - cx) ** 2) / r**2) ** 2)))
    noise = rng.normal(0, 3, (side, side, 3))
    tint = np.array([90, 140, 60])
    return np.clip(235 - dark[..., None] * tint + noise, 0, 255).astype(np.uint8)


def save_jpeg(image, quality=75):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))


def resize(image, side):
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def halve(image):
    """To half the size and back."""
    thumbnail, cubic = Image.fromarray(image), Image.Resampling.BICUBIC
    half = thumbnail.resize((thumbnail.width // 2, thumbnail.height // 2), cubic)
    return np.asarray(half.resize(thumbnail.size, cubic))


COPIES = {
    "mirrored": (lambda image: image[:, ::-1], "mirrored"),
    "rotated by 180°": (lambda image: image[::-1], "rotated by 180° and mirrored"),
    "turned": (lambda image: np.rot90(image), "rotated by "),
    "transposed": (lambda image: image.transpose(1, 0, 2), "mirrored and rotated by "),
    "JPEG": (save_jpeg, "re-encoded or resized"),
    "halved": (halve, "re-encoded or resized"),
    "small": (lambda image: resize(image, 60), "re-encoded or resized"),
    "cropped": (lambda image: image[5:, : SIDE - 5], "cropped by about "),
}


def make_image_index(images, cells=None):
    pictures = np.stack([sketch(np.ascontiguousarray(image)) for image in images])
    return ImageIndex(tuple(cells or map(str, range(len(images)))), pictures)


@pytest.fixture(scope="module")
def tissue():
    return [make_tissue(seed) for seed in range(40)]


@pytest.mark.parametrize("name", COPIES)
def test_a_planted_copy_is_found_and_named(tissue, name):
    change, how = COPIES[name]
    found = find_near_duplicates(make_image_index([*tissue, change(tissue[7])]))
    (match,) = found.matches
    assert (match.a, match.b) == ("7", "40")
    assert match.how.startswith(how)
    assert 0.85 < match.score <= 1


def test_images_of_one_stain_are_not_copies(tissue):
    found = find_near_duplicates(make_image_index(tissue))
    assert found.matches == ()
    assert found.reach[0].startswith("Checked for copies")


def test_plain_images_do_not_match_each_other():
    rng = np.random.default_rng(0)
    plain = [np.clip(rng.normal(240, 2, (SIDE, SIDE, 3)), 0, 255) for _ in range(10)]
    shaded = [np.broadcast_to(np.linspace(200, 240 + k, SIDE)[:, None, None], (SIDE, SIDE, 3))
              for k in range(4)]  # fmt: skip
    found = find_near_duplicates(
        make_image_index([image.astype(np.uint8) for image in plain + shaded])
    )
    assert found.matches == ()
    assert tells(found.reach, "14 of 14 images")


def test_sixteen_bit_channels_are_compared_whatever_their_window(tissue):
    planes = [image.astype(np.uint16) * 40 for image in tissue]
    copy = planes[3][:, ::-1] * 2 + 100
    (match,) = find_near_duplicates(make_image_index([*planes, copy])).matches
    assert (match.a, match.b, match.how) == ("3", "40", "mirrored")


def test_between_two_tables_only_pairs_of_both_are_told(tissue):
    mine = make_image_index([*tissue[:5], tissue[0][:, ::-1]], [f"m{n}" for n in range(6)])
    other = make_image_index([*tissue[10:14], tissue[2][::-1]], [f"o{n}" for n in range(5)])
    found = find_near_duplicates(mine.joined(other), len(mine))
    assert [(m.a, m.b) for m in found.matches] == [("m2", "o4")]


@given(st.integers(0, 2**16), st.integers(0, 7))
def test_no_view_changes_the_descriptor(seed, view):
    thumbnail = np.random.default_rng(seed).integers(0, 256, (1, 32, 32), dtype=np.uint8)
    seen = np.rot90(thumbnail[:, :, ::-1] if view >= 4 else thumbnail, view % 4, axes=(1, 2))
    np.testing.assert_allclose(describe(thumbnail), describe(seen), rtol=1e-6)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 99))
def test_neighbours_are_those_of_all_distances(n, k, seed):
    vectors = np.random.default_rng(seed).normal(3, 1, (n, 5)).astype(np.float32)
    found = find_neighbours(vectors[:7], vectors, k)
    distance = ((vectors[:7, None] - vectors) ** 2).sum(axis=2)
    got = np.sort(np.take_along_axis(distance, found, axis=1), axis=1)
    np.testing.assert_allclose(got, np.sort(distance, axis=1)[:, :k], rtol=1e-3, atol=1e-4)


def test_neighbours_of_several_blocks_are_those_of_a_tree():
    vectors = np.random.default_rng(0).normal(size=(4500, 8)).astype(np.float32)
    _, near = KDTree(vectors).query(vectors, 5)
    wanted = {(min(a, b), max(a, b)) for a, mine in enumerate(near.tolist()) for b in mine[1:]}
    assert {tuple(pair) for pair in find_pairs(vectors, 4).tolist()} == wanted
    _, near = KDTree(vectors[:4200]).query(vectors[4200:], 4)
    wanted = {(b, a) for a, mine in enumerate(near.tolist(), 4200) for b in mine}
    assert {tuple(pair) for pair in find_pairs(vectors, 4, 4200).tolist()} == wanted


def test_the_limit_falls_where_images_are_all_alike():
    rng = np.random.default_rng(0)
    digits = rng.uniform(0.01, 1, 4000)  # a continuum: nothing stands apart
    assert (digits <= find_limit(digits, 1000)).sum() == 0
    copies = np.concatenate([digits, np.full(50, 1e-3)])
    assert (copies <= find_limit(copies, 1000)).sum() == 50
    tissue = np.concatenate([rng.uniform(0.5, 3, 4000), rng.uniform(0, 0.09, 5)])
    assert (tissue <= find_limit(tissue, 1000)).sum() == 5


def make_samples(rows):
    frame = pd.DataFrame(rows, columns=["path", "label", "split"], dtype=object)
    frame = frame.assign(patient="", group=[f"g{path}" for path in frame["path"]])
    return Samples(frame=frame, root=Path(), class_names=("a", "b"))


def kinds(report):
    return [(f.kind, f.severity, [(p.a, p.b) for p in f.pairs]) for f in report.findings]


class TestTelling:
    def test_across_splits_a_leak_inside_one_a_note(self):
        samples = make_samples([("1", "a", "train"), ("2", "a", "test"), ("3", "a", "train")])
        near_duplicates = NearDuplicates(
            (Match("1", "2", 0.99, "mirrored"), Match("1", "3", 0.9, "rotated by 90°"))
        )
        report = audit_samples(samples, near_duplicates=near_duplicates)
        assert kinds(report) == [
            ("near_duplicate", "leak", [("1", "2")]),
            ("near_duplicate", "note", [("1", "3")]),
        ]
        assert tells(report.findings[0].message, "1 image", "1 ~ 2", "mirrored", "1 of 1 test")
        pair = report.findings[0].pairs[0]
        assert (pair.split_a, pair.split_b, pair.score, pair.how) == (
            "train", "test", 0.99, "mirrored",
        )  # fmt: skip

    def test_what_a_third_image_links_is_told_once(self):
        samples = make_samples([("1", "a", "train"), ("2", "a", "val"), ("3", "a", "test")])
        near_duplicates = NearDuplicates(
            (Match("1", "2", 0.99, "mirrored"), Match("2", "3", 0.8, "rotated by 90°"))
        )
        leaks = audit_samples(samples, near_duplicates=near_duplicates).leaks
        assert [(p.a, p.b, p.how) for leak in leaks for p in leak.pairs] == [
            ("1", "2", "mirrored"),
            ("1", "3", "through other images"),
            ("2", "3", "rotated by 90°"),
        ]

    def test_two_labels_are_a_conflict_besides(self):
        samples = make_samples([("1", "a", "train"), ("2", "b", "train")])
        report = audit_samples(
            samples, near_duplicates=NearDuplicates((Match("1", "2", 0.9, "mirrored"),))
        )
        assert [kind[:2] for kind in kinds(report)] == [
            ("label_conflict", "warning"),
            ("near_duplicate", "note"),
        ]

    def test_an_exact_copy_is_not_told_twice(self):
        samples = make_samples([("1", "a", "train"), ("2", "a", "test"), ("3", "a", "test")])
        pixels = {"1": "x", "2": "x", "3": "y"}
        hashes = FileHashes({cell: FileHash(f"c{cell}", value) for cell, value in pixels.items()})
        # The album holds one of the two exact copies.
        report = audit_samples(
            samples, hashes=hashes, near_duplicates=NearDuplicates((Match("2", "3", 0.9, "x"),))
        )
        assert kinds(report) == [
            ("identical_pixels", "leak", [("1", "2")]),
            ("near_duplicate", "leak", [("1", "3")]),
            ("near_duplicate", "note", [("2", "3")]),
        ]

    def test_an_earlier_training_that_saw_a_copy_leaks(self):
        stage = make_samples([("s1", "a", "train")])
        evaluated = make_samples([("t1", "a", "test"), ("t2", "a", "test")])
        nothing = FileHashes({})
        near_duplicates = NearDuplicates((Match("s1", "t2", 0.97, "mirrored"),))
        (leak,) = audit_stage(
            "pcam",
            (stage, nothing),
            (evaluated, nothing),
            is_same_source=False,
            near_duplicates=near_duplicates,
        )
        pair = leak.pairs[0]
        assert (pair.split_a, pair.a, pair.split_b, pair.b) == ("stage pcam", "s1", "test", "t2")
        assert leak.message.endswith("(1 of 2 test images)")


@pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed")
class TestGeometry:
    def test_a_turned_and_enlarged_copy_is_found_by_its_candidates(self, tissue):
        large = [make_tissue(seed, 160) for seed in range(6)]
        thumbnail = Image.fromarray(large[2]).rotate(20, Image.Resampling.BICUBIC)
        images = [
            *large,
            np.asarray(thumbnail.crop((30, 30, 130, 130)).resize((160, 160)))[:, ::-1],
        ]
        image_index = make_image_index(images)
        vectors = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
        full = ImageIndex(image_index.cells, image_index.pictures, vectors, lambda row: images[row])
        (match,) = find_near_duplicates(full).matches
        assert (match.a, match.b) == ("2", "6")
        assert match.how.startswith("mirrored, rotated by 20°, scaled by 0.6")
        assert find_near_duplicates(image_index).matches == ()

    def test_images_of_one_group_are_compared_as_copies_only(self):
        large = [make_tissue(seed, 160) for seed in range(6)]
        turned = Image.fromarray(large[2]).rotate(20, Image.Resampling.BICUBIC)
        images = [*large, np.asarray(turned.crop((30, 30, 130, 130))), large[4][:, ::-1]]
        vectors = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
        image_index = replace(
            make_image_index(images), vectors=vectors, read=lambda row: images[row]
        )
        pairs = {(m.a, m.b) for m in find_near_duplicates(image_index).matches}
        assert pairs == {("2", "6"), ("4", "7")}
        apart = replace(image_index, groups=tuple("abcdefgh"))
        assert {(m.a, m.b) for m in find_near_duplicates(apart).matches} == pairs
        near_duplicates = find_near_duplicates(replace(image_index, groups=tuple("abcdefce")))
        assert [(m.a, m.b) for m in near_duplicates.matches] == [("4", "7")]
        assert any("Within a group" in words for words in near_duplicates.reach)

    def test_long_work_is_announced_with_its_time(self, monkeypatch, messages):
        images = [make_tissue(seed, 64) for seed in range(70)]
        vectors = np.random.default_rng(0).normal(size=(70, 4)).astype(np.float32)
        image_index = replace(
            make_image_index(images), vectors=vectors, read=lambda row: images[row]
        )
        find_near_duplicates(image_index)
        assert messages == []
        clock = itertools.count(step=60.0)
        monkeypatch.setattr("time.perf_counter", lambda: next(clock))
        find_near_duplicates(image_index)
        (line,) = messages
        assert "of 70 images" in line
        assert line.endswith((" min", " h"))

    def test_a_pair_in_doubt_is_decided_by_the_images(self, tissue):
        # Too far turned for the sketches to be sure.
        turned = Image.fromarray(tissue[7]).rotate(5, Image.Resampling.BICUBIC)
        images = [*tissue, np.asarray(turned)[4:-4, 4:-4]]
        image_index = make_image_index(images)
        assert find_near_duplicates(image_index).matches == ()
        (match,) = find_near_duplicates(
            ImageIndex(image_index.cells, image_index.pictures, None, lambda r: images[r])
        ).matches
        assert (match.a, match.b) == ("7", "40")
        assert match.how == "rotated by 5°, scaled by 0.92"


SUFFIXES = {".png", ".jpg", ".jpeg"}


@pytest.mark.data
@pytest.mark.parametrize("name", ["breakhis-200x-224", "pcam", "idc"])
def test_real_sets_hold_their_planted_copies_and_nothing_else(data_root, name):
    files = sorted(f for f in (data_root / name).rglob("*") if f.suffix in SUFFIXES)
    chosen = np.random.default_rng(1).permutation(len(files))[:150]
    images = [np.asarray(Image.open(files[row]).convert("RGB")) for row in chosen]
    copied = images[:20]
    planted = [
        np.ascontiguousarray(change)
        for image in copied
        for change in (
            image[:, ::-1], np.rot90(image), save_jpeg(image),
            halve(image),
            image[: round(0.95 * len(image)), : round(0.95 * image.shape[1])],
        )
    ]  # fmt: skip
    image_index = make_image_index([*images, *planted])
    rows, texture = find_textured(image_index.pictures)
    found, _ = find_copies(image_index.pictures[rows], texture)
    pairs = [(int(rows[one.a]), int(rows[one.b])) for one in found]
    origin = np.concatenate([np.arange(150), np.repeat(np.arange(20), 5)])
    assert all(origin[a] == origin[b] for a, b in pairs)
    expected = {row for row in rows.tolist() if row >= 150}
    assert len(expected) >= 80
    assert expected <= {row for pair in pairs for row in pair}
