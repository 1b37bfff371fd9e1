"""Memory that images reserve while they are worked on."""

import threading

from eosin.images.failures import BUDGET_BYTES, isolated, reserve_memory


def start(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_large_image_waits_until_the_others_are_done():
    held = threading.Event()

    def large():
        with isolated("large"):
            reserve_memory(10 * BUDGET_BYTES)
            held.set()

    with isolated("small"):
        reserve_memory(1)
        thread = start(large)
        assert not held.wait(0.2)
    assert held.wait(20)
    thread.join(20)


def test_small_images_do_not_wait_for_each_other():
    with isolated("a"):
        reserve_memory(BUDGET_BYTES // 4)
        done = threading.Event()

        def small():
            with isolated("b"):
                reserve_memory(BUDGET_BYTES // 4)
                done.set()

        start(small)
        assert done.wait(20)


def test_two_that_need_more_do_not_wait_for_each_other_for_ever():
    both = threading.Barrier(2, timeout=20)

    def grow():
        with isolated("a"):
            reserve_memory(BUDGET_BYTES // 2)
            both.wait()
            reserve_memory(BUDGET_BYTES)

    threads = [start(grow) for _ in range(2)]
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_outside_the_work_on_an_image_nothing_is_held():
    reserve_memory(10 * BUDGET_BYTES)
    with isolated("a"), isolated("b"):
        reserve_memory(10 * BUDGET_BYTES)
