"""Stores that are damaged, of another version, or on a disk that is full."""

import errno
import io
import os
import shutil
from collections import namedtuple
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.images.cache.workshop import SETTINGS, SHAPE, pixels_of

from eosin.core.errors import OutputError
from eosin.images.cache.index import read_index

CELLS = tuple(f"{number}.raw" for number in range(30))
WANTED = np.stack([pixels_of(number) for number in range(30)])


@pytest.fixture
def filled(workshop):
    """A workshop whose store holds thirty images."""
    for number, cell in enumerate(CELLS):
        workshop.draw(cell, number)
    workshop.read(*CELLS)
    workshop.decoder.calls.clear()
    return workshop


def cut_index(place):
    path = place / "index.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def scribble_index(place):
    (place / "index.parquet").write_bytes(b"no Parquet at all")


def empty_index(place):
    (place / "index.parquet").write_bytes(b"")


def remove_index(place):
    (place / "index.parquet").unlink()


def age_index(place):
    path = place / "index.parquet"
    table = pq.read_table(path)
    metadata = {**table.schema.metadata, b"format": b"9.0"}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def strip_index(place):
    path = place / "index.parquet"
    pq.write_table(pq.read_table(path).drop_columns("row"), path)


def overstate_index(place):
    path = place / "index.parquet"
    table = pq.read_table(path)
    metadata = {**table.schema.metadata, b"rows": b"7"}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def garble_note(place):
    path = place / "index.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"to\xff": b"n"}), path)


def turn_a_bit(place):
    """Make the index name other rows, in a way that Parquet itself reads without a word."""
    path = place / "index.parquet"
    whole, table = path.read_bytes(), pq.read_table(path)
    group = pq.read_metadata(path).row_group(0)
    (column,) = (c for c in map(group.column, range(8)) if c.path_in_schema == "row")
    start = column.dictionary_page_offset or column.data_page_offset
    for position in range(start, start + column.total_compressed_size):
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(changed)
        with suppress(OSError, ValueError, pa.ArrowException):
            rows = pq.read_table(path)["row"].to_pylist()
            if rows != table["row"].to_pylist() and 0 <= min(rows) <= max(rows) < len(CELLS):
                return
    raise AssertionError("no such bit was found")


def cut_pixels(place):
    (path,) = place.glob("pixels-*.bin")
    os.truncate(path, path.stat().st_size - 1)


def remove_pixels(place):
    (path,) = place.glob("pixels-*.bin")
    path.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        cut_index,
        scribble_index,
        empty_index,
        remove_index,
        age_index,
        strip_index,
        overstate_index,
        garble_note,
        turn_a_bit,
        cut_pixels,
        remove_pixels,
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_store_is_made_anew(filled, damage):
    place = filled.place
    damage(place)
    images, _ = filled.read(*CELLS)
    assert np.array_equal(images, WANTED)
    assert len(filled.decoder.calls) == len(CELLS)
    assert len(list(place.glob("pixels-*.bin"))) == 1
    filled.decoder.calls.clear()
    assert np.array_equal(filled.read(*CELLS)[0], WANTED)
    assert filled.decoder.calls == []


def test_who_has_a_store_open_is_not_disturbed_when_it_is_made_anew(filled):
    store, entries = filled.fill(*CELLS)
    with store:
        scribble_index(filled.place)
        filled.draw("0.raw", 99)
        filled.read(*reversed(CELLS))
        rows = np.array([entry.row for entry in entries])
        assert np.array_equal(store.take(rows), WANTED)


def test_rows_that_no_index_names_are_cut_off(filled):
    (path,) = filled.place.glob("pixels-*.bin")
    whole = path.stat().st_size
    with path.open("ab") as stream:
        stream.write(b"torn" * 1000)
    filled.draw("new.raw", 77)
    images, _ = filled.read(*CELLS, "new.raw")
    assert path.stat().st_size == whole + SETTINGS.row_bytes
    assert np.array_equal(images, [*WANTED, pixels_of(77)])


def test_a_damaged_description_is_written_again(filled):
    (filled.place / "store.json").write_text("{")
    filled.draw("new.raw", 77)
    filled.read(*CELLS, "new.raw")
    assert (filled.place / "store.json").read_text().startswith("{\n")


@pytest.mark.parametrize("room", [0, 1, 7, 20])
def test_a_disk_that_fills_up_keeps_what_fitted(workshop, monkeypatch, room):
    for number, cell in enumerate(CELLS):
        workshop.draw(cell, number)
    # Four rows are as much as is handed to the system in one go.
    copies = (128, 114, 1)
    settings = replace(SETTINGS, shape=tuple(np.multiply(SHAPE, copies).tolist()))
    options = {"settings": settings, "fit": lambda image: np.tile(image, copies)}

    class SmallDisk(io.FileIO):
        def write(self, data):
            left = room * settings.row_bytes + 5 - self.tell()
            if left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data[:left])

    with monkeypatch.context() as patch:
        patch.setattr(io, "FileIO", SmallDisk)
        with pytest.raises(OutputError, match="no space left on device") as caught:
            workshop.fill(*CELLS, **options)
    assert "EOSIN_CACHE" in caught.value.hint
    assert "eosin data cache --clear" in caught.value.hint
    workshop.decoder.calls.clear()
    images, _ = workshop.read(*CELLS, **options)
    assert np.array_equal(images, np.tile(WANTED, (1, *copies)))
    assert len(workshop.decoder.calls) == len(CELLS) - room


def test_rows_that_do_not_reach_the_disk_are_not_named(workshop, monkeypatch):
    for number, cell in enumerate(CELLS):
        workshop.draw(cell, number)

    def refuse(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OutputError, match="no space left"):
            workshop.fill(*CELLS)
    assert not (workshop.place / "index.parquet").exists()
    assert np.array_equal(workshop.read(*CELLS)[0], WANTED)


def test_an_index_that_cannot_be_written_leaves_the_one_before(filled, monkeypatch):
    filled.draw("new.raw", 77)
    with monkeypatch.context() as patch:

        def refuse(*_arguments, **_options):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(pq, "write_table", refuse)
        with pytest.raises(OutputError, match="no space left") as caught:
            filled.fill(*CELLS, "new.raw")
    assert "EOSIN_CACHE" in caught.value.hint
    assert read_index(filled.place / "index.parquet").n_rows == len(CELLS)
    assert np.array_equal(filled.read(*CELLS, "new.raw")[0], [*WANTED, pixels_of(77)])


def test_what_will_not_fit_is_refused_before_the_work(workshop, monkeypatch):
    for number, cell in enumerate(CELLS):
        workshop.draw(cell, number)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(1, 1, 30 * 72 - 1))
    with pytest.raises(OutputError, match=r"30 images need 0 MiB in .*, 0 MiB are free") as caught:
        workshop.fill(*CELLS)
    assert "EOSIN_CACHE" in caught.value.hint
    assert workshop.decoder.calls == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_cache_that_may_not_be_written_is_refused_with_a_mend(workshop):
    workshop.draw("0.raw", 0)
    workshop.stores.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="permission denied"):
        workshop.fill("0.raw")


def test_a_file_in_place_of_the_cache_is_told_in_one_line(workshop):
    workshop.draw("0.raw", 0)
    workshop.stores.write_text("a file")
    with pytest.raises(OutputError, match=r"could not make .*stores") as caught:
        workshop.fill("0.raw")
    assert "EOSIN_CACHE" in caught.value.hint


def test_a_store_copied_elsewhere_still_serves(filled, tmp_path):
    shutil.copytree(filled.stores, tmp_path / "copy")
    filled.stores = tmp_path / "copy"
    assert np.array_equal(filled.read(*CELLS)[0], WANTED)
    assert filled.decoder.calls == []
