"""What is read, what is remembered, and when it is read again."""

import itertools
import json
import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.facts import tells
from tests.unit.images.cache.workshop import SETTINGS, SHAPE, Decoder, Workshop, pixels_of

from eosin.core.errors import ImageError
from eosin.core.files import hash_file, sha256_file
from eosin.images.cache import Entry, Item, StoreSettings, fill_store
from eosin.images.hashes import hash_pixels


def test_every_image_is_in_the_store_in_the_order_of_the_items(workshop):
    for number in range(40):
        workshop.draw(f"{number}.raw", number)
    cells = [f"{number}.raw" for number in (7, 3, 39, *range(20))]
    images, entries = workshop.read(*cells)
    assert np.array_equal(images, [pixels_of(n) for n in (7, 3, 39, *range(20))])
    assert entries[0].row == 0
    assert entries[1] == entries[6]  # asked for twice, held once
    assert len(workshop.decoder.calls) == 21
    path = workshop.data / "7.raw"
    assert entries[0].content == sha256_file(path)
    assert entries[0].pixels == hash_pixels(pixels_of(7))
    assert entries[0].reason is None


def test_a_second_run_decodes_nothing_and_returns_the_same(workshop):
    workshop.draw("a.raw", 1)
    workshop.draw("bad.raw")
    first = workshop.read("a.raw", "bad.raw")
    workshop.decoder.calls.clear()
    images, entries = workshop.read("a.raw", "bad.raw")
    # What was refused is tried again.
    assert workshop.decoder.calls == [("bad.raw", None)]
    assert entries == first[1]
    assert np.array_equal(images, first[0])


def test_only_new_files_are_read(workshop):
    workshop.draw("a.raw", 1)
    workshop.read("a.raw")
    workshop.draw("b.raw", 2)
    workshop.draw("c.raw", 3)
    images, _ = workshop.read("a.raw", "b.raw", "c.raw")
    assert [name for name, _ in workshop.decoder.calls] == ["a.raw", "b.raw", "c.raw"]
    assert np.array_equal(images, [pixels_of(n) for n in (1, 2, 3)])


def test_a_changed_file_is_read_again(workshop):
    path = workshop.draw("a.raw", 1)
    _, (before,) = workshop.read("a.raw")
    path.write_bytes(pixels_of(2).tobytes())
    workshop.age(path, seconds=1)
    images, (after,) = workshop.read("a.raw")
    assert np.array_equal(images[0], pixels_of(2))
    assert before.content != after.content == sha256_file(path)
    # As it was before: its row is still there.
    workshop.draw("a.raw", 1)
    workshop.decoder.calls.clear()
    assert workshop.read("a.raw")[1] == [before]
    assert workshop.decoder.calls == []


def test_a_file_that_was_written_a_moment_ago_is_not_trusted(workshop):
    path = workshop.data / "a.raw"
    path.write_bytes(pixels_of(1).tobytes())
    stat = path.stat()
    workshop.read("a.raw")
    # Changed within one tick of the clock: size and time are the same.
    path.write_bytes(pixels_of(2).tobytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    images, _ = workshop.read("a.raw")
    assert np.array_equal(images[0], pixels_of(2))


def test_a_touched_file_is_hashed_but_not_decoded(workshop):
    path = workshop.draw("a.raw", 1)
    _, before = workshop.read("a.raw")
    workshop.age(path, seconds=5)
    workshop.decoder.calls.clear()
    _, after = workshop.read("a.raw")
    assert workshop.decoder.calls == []
    assert after == before


def test_a_renamed_or_copied_file_keeps_its_row(workshop):
    path = workshop.draw("a.raw", 1)
    workshop.draw("b.raw", 2)
    _, before = workshop.read("a.raw", "b.raw")
    shutil.copy(path, workshop.data / "copy.raw")
    path.rename(workshop.data / "moved.raw")
    workshop.decoder.calls.clear()
    _, after = workshop.read("moved.raw", "b.raw", "copy.raw")
    assert workshop.decoder.calls == []
    assert after == [*before, before[0]]


def test_files_of_the_same_bytes_share_a_row(workshop):
    for name in "abc":
        workshop.draw(f"{name}.raw", 1)
    images, entries = workshop.read("a.raw", "b.raw", "c.raw")
    assert {entry.row for entry in entries} == {0}
    assert np.array_equal(images, [pixels_of(1)] * 3)


def test_an_unreadable_file_is_tried_every_time_and_its_record_is_not_written_again(workshop):
    workshop.draw("a.raw", 1)
    bad = workshop.data / "bad.raw"
    bad.write_bytes(b"short")
    workshop.age(bad)
    _, (_, entry) = workshop.read("a.raw", "bad.raw")
    assert entry == Entry(None, f"{bad} holds no image 0", sha256_file(bad), None)
    before = (workshop.place / "index.parquet").stat().st_ino
    assert workshop.read("a.raw", "bad.raw")[1][1] == entry
    assert (workshop.place / "index.parquet").stat().st_ino == before
    bad.write_bytes(pixels_of(5).tobytes())
    workshop.age(bad, seconds=1)
    images, (_, entry) = workshop.read("a.raw", "bad.raw")
    assert entry.reason is None
    assert np.array_equal(images[1], pixels_of(5))


def test_what_was_refused_under_a_lower_limit_is_read_once_it_is_raised(workshop):
    workshop.draw("a.raw", 1)

    def refuse(_path, _index):
        raise ImageError("too large")

    assert workshop.read("a.raw", decode=refuse)[1][0].reason == "too large"
    for _ in range(2):
        images, (entry,) = workshop.read("a.raw")
        assert entry.reason is None
        assert np.array_equal(images[0], pixels_of(1))
    assert len(workshop.decoder.calls) == 2  # looked at, then read; not a third time


def test_a_container_s_images_are_read_as_they_lie(workshop):
    workshop.draw("a.raw", *range(40))
    workshop.draw("b.raw", 99)
    order = np.random.default_rng(0).permutation(40)
    _, entries = workshop.read(*[f"a.raw#{i}" for i in order], "b.raw")
    assert [entry.row for entry in entries] == [*order, 40]


def test_an_absent_file_is_looked_for_every_time(workshop):
    workshop.draw("a.raw", 1)
    missing = workshop.data / "b.raw"
    for _ in range(2):
        _, entries = workshop.read("a.raw", "b.raw")
        assert entries[1] == Entry(None, f"{missing} does not exist", None, None)
    workshop.draw("b.raw", 2)
    images, entries = workshop.read("a.raw", "b.raw")
    assert np.array_equal(images[1], pixels_of(2))
    missing.unlink()
    assert workshop.read("a.raw", "b.raw")[1][1].row is None


def test_a_folder_in_place_of_a_file_gives_the_decoder_s_reason(workshop):
    (workshop.data / "a.raw").mkdir()
    for _ in range(2):
        _, (entry,) = workshop.read("a.raw")
        assert "cannot be read" in entry.reason
        assert (entry.row, entry.content) == (None, None)


def test_a_file_larger_than_any_image_is_refused_before_it_is_hashed(workshop):
    path = workshop.draw("hole", 1)
    with path.open("r+b") as stream:
        stream.truncate(1 << 40)
    started = time.monotonic()
    _, (entry, good) = workshop.read("hole", str(workshop.draw("good", 2)))
    assert time.monotonic() - started < 5
    assert (entry.row, good.row) == (None, 0)
    assert "EOSIN_MAX_BYTES" in entry.reason


def test_nothing_but_unreadable_files_gives_an_empty_store(workshop):
    store, (entry,) = workshop.fill("none.raw")
    with store:
        assert store.shape == (0, *SHAPE)
        assert store.take(np.array([], dtype=int)).shape == (0, *SHAPE)
    assert entry.row is None


def test_an_image_that_does_not_fit_keeps_its_hash_of_pixels(workshop):
    workshop.draw("a.raw", 1)

    def refuse(_image):
        raise ImageError("the model takes 8 × 8 pixels, got 4 × 6")

    _, (entry,) = workshop.read("a.raw", fit=refuse)
    assert tells(entry.reason, "8 × 8", "4 × 6")
    assert entry.pixels == hash_pixels(pixels_of(1))


def test_a_fit_of_another_shape_is_the_caller_s_mistake(workshop):
    workshop.draw("a.raw", 1)
    with pytest.raises(ValueError, match=r"a\.raw: the store contains uint8 \(4, 6, 3\), got"):
        workshop.read("a.raw", fit=lambda image: image[:2])
    with pytest.raises(ValueError, match="at least one image"):
        workshop.read()


def test_an_unexpected_error_of_one_image_is_its_reason_alone(workshop):
    cells = [f"{number}.raw" for number in range(60)]
    for number, cell in enumerate(cells):
        workshop.draw(cell, number)

    def decode(path, index):
        if path.name == "59.raw":
            raise RuntimeError("a bug")
        return workshop.decoder(path, index)

    _, entries = workshop.fill(*cells, decode=decode)
    assert [entry.row is None for entry in entries] == [False] * 59 + [True]
    assert "a bug" in entries[-1].reason
    workshop.decoder.calls.clear()
    images, _ = workshop.read(*cells)  # tried again, and the others are kept
    assert len(workshop.decoder.calls) in {1, 2}
    assert np.array_equal(images, [pixels_of(n) for n in range(60)])


def test_lack_of_memory_is_one_image_s_and_is_tried_again(workshop):
    cells = [f"{number}.raw" for number in range(60)]
    for number, cell in enumerate(cells):
        workshop.draw(cell, number)

    def decode(path, index):
        if path.name == "59.raw":
            raise MemoryError
        return workshop.decoder(path, index)

    _, entries = workshop.fill(*cells, decode=decode)
    assert [entry.reason is None for entry in entries] == 59 * [True] + [False]
    assert "more memory than is free" in entries[-1].reason
    workshop.decoder.calls.clear()
    images, _ = workshop.read(*cells)
    assert len(workshop.decoder.calls) < 20
    assert np.array_equal(images, [pixels_of(n) for n in range(60)])


def test_a_container_is_hashed_once_however_many_images_are_asked_for(workshop, on_entry):
    hashed = []
    path = workshop.draw("box.raw", *range(50))
    with on_entry(hash_file, lambda given: hashed.append(given["path"])):
        images, entries = workshop.read(*(f"box.raw#{i}" for i in range(30)))
    assert hashed == [path]
    assert np.array_equal(images, [pixels_of(n) for n in range(30)])
    assert len({entry.content for entry in entries}) == 1
    # More of it: the file is as it was, so it is not hashed again.
    with on_entry(hash_file, lambda given: hashed.append(given["path"])):
        images, _ = workshop.read(*(f"box.raw#{i}" for i in range(50)))
    assert hashed == [path]
    assert len(workshop.decoder.calls) == 50
    assert np.array_equal(images, [pixels_of(n) for n in range(50)])


def test_a_changed_container_is_read_again(workshop):
    workshop.draw("box.raw", 0, 1, 2)
    workshop.read("box.raw#0", "box.raw#1", "box.raw#2")
    path = workshop.draw("box.raw", 0, 9, 2)
    workshop.age(path, seconds=1)
    images, _ = workshop.read("box.raw#1")
    assert np.array_equal(images, [pixels_of(9)])
    images, _ = workshop.read("box.raw#0", "box.raw#1", "box.raw#2")
    assert np.array_equal(images, [pixels_of(n) for n in (0, 9, 2)])


def test_a_file_that_changes_while_it_is_read_is_refused_and_not_remembered(workshop):
    path = workshop.draw("a.raw", 1)
    ticks = itertools.count(1)

    def decode(file, index):
        workshop.age(path, seconds=next(ticks))
        return workshop.decoder(file, index)

    _, (entry,) = workshop.read("a.raw", decode=decode)
    assert entry == Entry(None, f"{path} changed while it was read", None, None)
    assert workshop.read("a.raw")[1][0].row is not None


def test_other_settings_have_another_store(workshop):
    workshop.draw("a.raw", 1)
    workshop.read("a.raw")
    wide = StoreSettings(SHAPE, "uint16", {"decoder": 1})
    images, _ = workshop.read(
        "a.raw", settings=wide, fit=lambda image: image.astype(np.uint16) * 257
    )
    assert images.dtype == np.uint16
    assert np.array_equal(images[0], pixels_of(1).astype(np.uint16) * 257)
    workshop.read("a.raw", settings=replace(SETTINGS, reading={"decoder": 2}))
    assert len([path for path in workshop.stores.iterdir() if path.is_dir()]) == 3
    assert len(workshop.decoder.calls) == 3


def test_the_order_of_the_settings_makes_no_difference(workshop):
    workshop.draw("a.raw", 1)
    workshop.read("a.raw", settings=replace(SETTINGS, reading={"a": 1, "b": 2}))
    workshop.read("a.raw", settings=replace(SETTINGS, reading={"b": 2, "a": 1}))
    assert workshop.place.is_dir()


def test_a_part_of_the_data_set_uses_the_whole_one_s_store(workshop):
    workshop.draw("benign/a.raw", 1)
    workshop.draw("malignant/b.raw", 2)
    workshop.read("benign/a.raw", "malignant/b.raw")
    workshop.decoder.calls.clear()
    images, _ = workshop.read("malignant/b.raw")
    assert workshop.decoder.calls == []
    assert np.array_equal(images, [pixels_of(2)])
    assert json.loads((workshop.place / "store.json").read_text())["root"] == str(workshop.data)


def test_a_folder_of_other_files_does_not_join_a_store_above_it(workshop):
    workshop.draw("a.raw", 1)
    workshop.read("a.raw")
    workshop.draw("elsewhere/b.raw", 2)
    workshop.read("elsewhere/b.raw")
    assert len([path for path in workshop.stores.iterdir() if path.is_dir()]) == 2


def test_a_read_only_cache_serves_what_it_holds(workshop, read_only):
    workshop.draw("a.raw", 1)
    workshop.read("a.raw")
    read_only(workshop.stores)
    images, _ = workshop.read("a.raw")
    assert np.array_equal(images, [pixels_of(1)])


_DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["write", "spoil", "touch", "remove", "rename", "read"]),
        st.integers(0, 3),
        st.integers(0, 4),
    ),
    max_size=12,
)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(deeds=_DEEDS)
def test_whatever_happens_to_the_files_the_store_shows_what_they_hold(tmp_path_factory, deeds):
    workshop = Workshop(tmp_path_factory.mktemp("deeds"))
    cells = [f"{name}.raw" for name in range(4)]
    for second, (deed, name, seed) in enumerate([*deeds, ("read", 0, 0)]):
        path = workshop.data / cells[name]
        if deed == "write":
            path.write_bytes(pixels_of(seed).tobytes())
        elif deed == "spoil":
            path.write_bytes(b"spoilt")
        elif deed == "remove":
            path.unlink(missing_ok=True)
        elif deed == "rename" and path.exists():
            path.replace(workshop.data / cells[seed % 4])
        if deed in {"write", "spoil", "touch"} and path.exists():
            workshop.age(path, seconds=second)
        if deed == "read":
            _compare(workshop, cells)


def _compare(workshop, cells):
    store, entries = workshop.fill(*cells)
    with store:
        for item, entry in zip(workshop.items(*cells), entries, strict=True):
            try:
                wanted = Decoder()(item.file, None)
            except ImageError:
                assert entry.row is None
                assert entry.reason
                continue
            assert np.array_equal(store.take(np.array([entry.row]))[0], wanted)
            assert entry.content == sha256_file(item.file)
            assert entry.pixels == hash_pixels(wanted)


def test_files_without_a_common_folder_have_a_store_too(workshop, monkeypatch):
    workshop.draw("a.raw", 1)

    def refuse(_paths):
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os.path, "commonpath", refuse)
    store, entries = fill_store(
        [Item("a.raw", workshop.data / "a.raw")],
        SETTINGS,
        decode=workshop.decoder,
        fit=np.ascontiguousarray,
        folder=workshop.stores,
    )
    store.close()
    assert entries[0].row == 0
