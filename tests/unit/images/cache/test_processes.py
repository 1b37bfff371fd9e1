"""Two processes at once, and processes that are killed."""

import multiprocessing
import sys
import threading
import time

import numpy as np
import pytest
from tests.unit.images.cache import workshop as children
from tests.unit.images.cache.workshop import pixels_of

from eosin.core.seeding import generator
from eosin.images.cache.index import read_index

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork server on Windows")

IMAGES = 60
KILLS = 6


@pytest.fixture(scope="module")
def start():
    """A function that starts a process; all come from one server, which imports but once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([children.__name__])
    running = []

    def begin(target, *arguments):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=target, args=(there, *arguments), daemon=True)
        process.start()
        there.close()
        running.append(process)
        assert here.poll(60)
        assert here.recv() == "begun"
        return process, here

    yield begin
    for process in running:
        process.kill()
        process.join()


def draw_all(workshop):
    for number in range(IMAGES):
        workshop.draw(f"{number}.raw", number)
    return [f"{number}.raw" for number in range(IMAGES)]


def wait_for(workshop, name):
    """Wait until the store has such a file."""
    deadline = time.monotonic() + 60
    while not list(workshop.stores.glob(f"*/{name}")):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_two_processes_that_fill_the_same_store_read_each_image_once(workshop, start):
    draw_all(workshop)
    folder = workshop.data.parent
    begun = [start(children.fill_and_tell, folder, IMAGES, 0.002, 0.01) for _ in range(2)]
    results = []
    for process, pipe in begun:
        assert pipe.poll(60)
        results.append(pipe.recv())
        process.join()
    assert sorted(n_decoded for n_decoded, _ in results) == [0, IMAGES]
    assert all(is_right for _, is_right in results)
    assert read_index(workshop.place / "index.parquet").n_rows == IMAGES


def test_who_waits_for_another_is_told_and_then_finds_everything(workshop, start, messages):
    cells = draw_all(workshop)
    start(children.fill_and_tell, workshop.data.parent, IMAGES, 0.01, 0.01)
    wait_for(workshop, "pixels-*.bin")
    images, _ = workshop.read(*cells)
    (message,) = messages
    assert "Waiting" in message
    assert np.array_equal(images, [pixels_of(n) for n in range(IMAGES)])
    assert workshop.decoder.calls == []


def test_after_a_kill_at_any_moment_the_next_run_goes_on_with_exact_pixels(workshop, start):
    cells = draw_all(workshop)
    random = generator(0, "kills")
    n_rows = []
    for kill in range(KILLS):
        process, _ = start(children.fill_and_tell, workshop.data.parent, IMAGES, 0.001, 0.0)
        if kill == 0:  # on a slow machine too, one of them leaves something
            wait_for(workshop, "index.parquet")
        process.join(timeout=float(random.uniform(0.02, 0.3)))
        process.kill()
        process.join()
        index = list(workshop.stores.glob("*/index.parquet"))
        n_rows.append(read_index(index[0]).n_rows if index else 0)
    # What a process wrote is never lost by the next one's death.
    assert n_rows == sorted(n_rows)
    assert n_rows[-1] > 0
    images, entries = workshop.read(*cells)
    assert np.array_equal(images, [pixels_of(n) for n in range(IMAGES)])
    assert len(workshop.decoder.calls) == IMAGES - n_rows[-1]
    assert sorted(entry.row for entry in entries) == list(range(IMAGES))
    assert not list(workshop.place.glob(".*.tmp*"))


def test_threads_that_fill_the_same_store_agree(workshop):
    cells = draw_all(workshop)
    found = []
    threads = [threading.Thread(target=lambda: found.append(workshop.read(*cells))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 2
    assert found[0][1] == found[1][1]
    assert np.array_equal(found[0][0], found[1][0])
    assert len(workshop.decoder.calls) == IMAGES
