"""Which stores there are, and clearing them."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.facts import tells
from tests.unit.images.cache.workshop import SETTINGS, SHAPE, pixels_of
from typer.testing import CliRunner

from eosin.cli.app import app
from eosin.images.cache import clear_stores, list_stores
from eosin.images.cache import folders as locks


def test_a_store_tells_what_it_holds(workshop):
    workshop.draw("a.raw", 1)
    workshop.draw("b.raw", 2)
    workshop.draw("bad.raw")
    workshop.read("a.raw", "b.raw", "bad.raw")
    (info,) = list_stores(workshop.stores)
    assert (info.root, info.shape, info.dtype) == (str(workshop.data), SHAPE, "uint8")
    assert info.reading == SETTINGS.reading
    assert info.n_images == 2
    assert info.n_bytes == sum(path.stat().st_size for path in workshop.place.iterdir())
    assert abs(datetime.now(UTC) - info.last_use) < timedelta(minutes=1)


def test_no_folder_has_no_stores(tmp_path):
    assert list_stores(tmp_path / "none") == []
    assert clear_stores(tmp_path / "none").n_bytes == 0


def test_clearing_frees_the_room_and_the_next_run_reads_again(workshop):
    workshop.draw("a.raw", 1)
    workshop.read("a.raw")
    (info,) = list_stores(workshop.stores)
    cleared = clear_stores(workshop.stores)
    assert cleared.removed == (info,)
    assert cleared.n_bytes == info.n_bytes
    assert cleared.in_use == ()
    assert list_stores(workshop.stores) == []
    left = [path for path in workshop.stores.iterdir() if path.stat().st_size]
    assert [path for path in left if path.is_file()] == []
    images, _ = workshop.read("a.raw")
    assert np.array_equal(images, [pixels_of(1)])
    assert len(workshop.decoder.calls) == 2


def test_a_store_that_is_open_stays(workshop):
    workshop.draw("a.raw", 1)
    store, _ = workshop.fill("a.raw")
    with store:
        cleared = clear_stores(workshop.stores)
        assert cleared.removed == ()
        assert len(cleared.in_use) == 1
        assert np.array_equal(store.take(np.array([0]))[0], pixels_of(1))
    assert len(clear_stores(workshop.stores).removed) == 1


def test_a_store_that_is_dropped_without_being_closed_is_not_in_use(workshop):
    workshop.draw("a.raw", 1)
    store, _ = workshop.fill("a.raw")
    del store
    assert len(clear_stores(workshop.stores).removed) == 1


def test_a_store_that_is_being_written_stays(workshop):
    workshop.draw("a.raw", 1)
    workshop.read("a.raw")
    with locks.write_alone(workshop.place.with_name(f"{workshop.place.name}.lock")):
        assert len(clear_stores(workshop.stores).in_use) == 1


def test_a_folder_that_the_system_will_not_move_stays(workshop, monkeypatch):
    # As on Windows, where a file in it is open.
    workshop.draw("a.raw", 1)
    workshop.read("a.raw")

    def refuse(*_):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.rename", refuse)
        assert len(clear_stores(workshop.stores).in_use) == 1
    assert workshop.read("a.raw")[1][0].row == 0


def test_what_a_killed_clearing_left_is_removed(workshop):
    workshop.stores.mkdir()
    leftover = workshop.stores / ".cleared-12345678"
    leftover.mkdir()
    (leftover / "pixels-1.bin").write_bytes(b"x")
    assert list_stores(workshop.stores) == []
    clear_stores(workshop.stores)
    assert not leftover.exists()


def test_a_damaged_store_is_listed_and_cleared(workshop):
    workshop.draw("a.raw", 1)
    workshop.read("a.raw")
    for name in ("store.json", "index.parquet"):
        (workshop.place / name).write_text("damaged")
    (info,) = list_stores(workshop.stores)
    assert (info.root, info.n_images) == (None, 0)
    assert clear_stores(workshop.stores).removed == (info,)


@pytest.fixture
def command(workshop, monkeypatch):
    """The command ``eosin data cache`` on the workshop's stores, one of which is filled."""
    monkeypatch.setenv("EOSIN_CACHE", str(workshop.data.parent / "cache"))
    workshop.stores = workshop.data.parent / "cache" / "images"
    workshop.draw("a.raw", 1)
    workshop.read("a.raw")
    return lambda *arguments: CliRunner().invoke(app, ["data", "cache", *arguments])


def test_the_command_lists_stores(workshop, command):
    found = command()
    assert found.exit_code == 0
    first, second, total = found.stdout.splitlines()
    assert first == str(workshop.data)
    assert tells(second, "1 image", "4 × 6 × 3 uint8", "decoder 1", "0.0 MiB")
    assert total == f"1 store, 0.0 MiB in {workshop.stores}"
    (store,) = json.loads(command("--json").stdout)
    assert (store["root"], store["n_images"]) == (str(workshop.data), 1)
    assert store["reading"] == {"decoder": 1}


def test_the_command_clears_stores(workshop, command):
    cleared = command("--clear")
    assert cleared.exit_code == 0
    assert tells(cleared.stdout, 1, "0.0 MiB")
    assert command().stdout == f"0 stores, 0.0 MiB in {workshop.stores}\n"
    assert json.loads(command("--clear", "--json").stdout) == {
        "removed": [],
        "in_use": [],
        "n_bytes": 0,
    }


def test_the_command_fails_where_a_store_is_in_use(workshop, command):
    store, _ = workshop.fill("a.raw")
    with store:
        found = command("--clear")
    assert found.exit_code == 1
    assert tells(found.stdout, "kept", workshop.data)
