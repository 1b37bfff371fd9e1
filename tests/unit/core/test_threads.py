"""Mapping over tasks on threads: in order, and without waiting for ever."""

import threading

import pytest

from eosin.core.threads import map_threads


def test_results_come_in_the_order_of_the_tasks():
    assert list(map_threads(lambda n: n * n, range(200), ahead=8)) == [n * n for n in range(200)]
    assert list(map_threads(str, [])) == []


def test_two_tasks_are_worked_on_at_a_time():
    both = threading.Barrier(2, timeout=20)
    list(map_threads(lambda _: both.wait(), range(2)))


def test_few_tasks_are_begun_ahead_of_the_result_that_is_used():
    begun = []
    results = map_threads(begun.append, range(1000), ahead=4)
    next(results)
    assert len(begun) <= 5
    results.close()


def test_an_error_comes_at_the_place_of_its_result_and_ends_the_rest():
    begun = []

    def work(number):
        begun.append(number)
        return 1 // (number - 3)

    results = map_threads(work, range(1000), ahead=4)
    assert [next(results) for _ in range(3)] == [-1, -1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(begun) < 20


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError])
def test_where_no_thread_can_be_started_the_caller_does_the_work(monkeypatch, kind):
    def start(_self):
        raise kind("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert list(map_threads(lambda n: -n, range(9))) == [-n for n in range(9)]


def test_lack_of_memory_on_a_thread_is_the_task_s():
    def work(number):
        if number == 5:
            raise MemoryError
        return number

    results = map_threads(work, range(10), ahead=2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(MemoryError):
        next(results)
