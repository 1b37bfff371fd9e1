"""Taking rows: exact, in any order, from threads and other processes, with little memory."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.images.cache.workshop import pixels_of

from eosin.core.errors import ArtifactError

N = 20
WANTED = np.stack([pixels_of(number) for number in range(N)])


@pytest.fixture
def store(workshop):
    for number in range(N):
        workshop.draw(f"{number}.raw", number)
    store, _ = workshop.fill(*(f"{number}.raw" for number in range(N)))
    with store:
        yield store


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, N - 1), max_size=40))
def test_rows_in_any_order_and_number_are_those_of_an_array(store, rows):
    rows = np.array(rows, dtype=np.int64)
    assert np.array_equal(store.take(rows), WANTED[rows])


@pytest.mark.parametrize("first", [0, 5])
def test_rows_in_a_row_are_those_of_an_array(store, first):
    rows = np.arange(first, N, dtype=np.int32)
    assert np.array_equal(store.take(rows), WANTED[first:])


def test_what_is_taken_is_a_copy(store):
    taken = store.take(np.array([3]))
    taken[:] = 0
    assert np.array_equal(store.take(np.array([3]))[0], WANTED[3])


def test_it_has_the_shape_and_the_kind_of_an_array(store):
    assert (store.shape, store.dtype, len(store)) == (WANTED.shape, np.uint8, N)


@pytest.mark.parametrize("row", [-1, N])
def test_a_row_outside_is_refused(store, row):
    with pytest.raises(IndexError, match=f"the store has {N} rows"):
        store.take(np.array([0, row]))


def test_a_closed_store_is_refused_and_may_be_closed_twice(store):
    store.close()
    store.close()
    with pytest.raises(ValueError, match="closed"):
        store.take(np.array([0]))


def test_a_pickled_store_opens_its_file_again(store):
    with pickle.loads(pickle.dumps(store)) as again:  # noqa: S301 -- our own bytes  # noqa: S301
        store.close()
        assert np.array_equal(again.take(np.arange(N)[::-1]), WANTED[::-1])


def test_a_pickled_store_that_was_cleared_says_so(store, workshop):
    data = pickle.dumps(store)
    store.close()
    next(workshop.place.glob("pixels-*.bin")).unlink()
    with pytest.raises(ArtifactError, match="no such file") as caught:
        pickle.loads(data)  # noqa: S301
    assert "cleared" in caught.value.hint


def test_a_file_that_was_cut_while_it_is_open_is_an_error_not_a_crash(store, workshop):
    path = next(workshop.place.glob("pixels-*.bin"))
    os.truncate(path, path.stat().st_size - 1)
    assert np.array_equal(store.take(np.array([0]))[0], WANTED[0])
    with pytest.raises(ArtifactError, match="shorter than its index says"):
        store.take(np.array([0, N - 1]))


@pytest.mark.parametrize("positioned", [True, False], ids=["preadv", "seek"])
def test_threads_share_a_store(store, monkeypatch, positioned):
    if not positioned:  # as on Windows
        monkeypatch.delattr(os, "preadv", raising=False)
    right = []

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(100):
            rows = random.integers(0, N, 8)
            right.append(np.array_equal(store.take(rows), WANTED[rows]))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(right) == 400
    assert all(right)


def take_some(store, connection):
    random = np.random.default_rng(os.getpid())
    for _ in range(50):
        rows = random.integers(0, N, 8)
        if not np.array_equal(store.take(rows), WANTED[rows]):
            connection.send(False)
            return
    connection.send(True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_workers_share_a_store(store):
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(3)]
    workers = [context.Process(target=take_some, args=(store, there)) for _, there in pipes]
    for worker in workers:
        worker.start()
    for worker, (here, _) in zip(workers, pipes, strict=True):
        assert here.poll(30)
        assert here.recv()
        worker.join()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_filling_and_reading_hold_few_images_in_memory(tmp_path):
    # 245 MB of images, read twice over.
    code = """
        import sys
        from pathlib import Path
        import numpy as np
        from eosin.images.cache import Item, StoreSettings, fill_store

        def resident():
            lines = Path("/proc/self/status").read_text().splitlines()
            return int(next(x for x in lines if x.startswith("VmHWM")).split()[1]) / 1e3

        folder, n, shape = Path(sys.argv[1]), 800, (320, 320, 3)
        (folder / "box.bin").write_bytes(b"box")
        items = [Item(f"box.bin#{i}", folder / "box.bin", i) for i in range(n)]
        before = resident()
        store, entries = fill_store(
            items, StoreSettings(shape, "uint8", {}), fit=lambda image: image, folder=folder / "s",
            decode=lambda path, index: np.full(shape, index % 251, dtype=np.uint8),
        )
        rows = np.array([entry.row for entry in entries])
        for order in (rows, rows[::-1]):
            for start in range(0, n, 8):
                store.take(order[start : start + 8])
        print(before, resident())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(float, done.stdout.split())
    assert after - before < 100
