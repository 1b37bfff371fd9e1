"""Progress is silent off a terminal and within two seconds."""

import io
import sys

import pytest

from eosin.core.progress import progress_bar


class Terminal(io.StringIO):
    """What was written to a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def open_terminal(monkeypatch):
    """A function that puts a terminal in stderr's place, once the test itself runs."""

    def open_it():
        monkeypatch.setenv("TERM", "xterm")
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        return terminal

    return open_it


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the clock shows, to be set."""
    shown = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: shown[0])
    return shown


def test_nothing_is_drawn_off_a_terminal(clock, capsys):
    with progress_bar("Working") as advance:
        clock[0] = 2.0
        advance(1, 2)
    assert capsys.readouterr() == ("", "")


def test_nothing_is_drawn_for_short_work(open_terminal):
    terminal = open_terminal()
    with progress_bar("Working") as advance:
        advance(1, 2)
        advance(2, 2)
    assert terminal.getvalue() == ""


def test_longer_work_is_drawn_on_stderr(open_terminal, clock, capsys):
    terminal = open_terminal()
    with progress_bar("Working") as advance:
        clock[0] = 2.0
        advance(1, 2)
    assert "Working" in terminal.getvalue()
    assert "1/2" in terminal.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("per_item", "expected"), [(1.0, ["Reading 4,000 images: about 67 min"]), (0.001, [])]
)
def test_the_time_of_long_work_is_logged_once_and_of_short_work_not(
    clock, messages, per_item, expected
):
    with progress_bar("Reading", estimate="Reading {total} images") as advance:
        for done in range(1, 101):
            clock[0] += per_item if done > 20 else 100.0  # libraries are loaded with the first
            advance(done, 4000)
    assert messages == expected


def test_a_bar_inside_another_is_not_drawn(open_terminal, clock):
    terminal = open_terminal()
    with progress_bar("Outside") as outside:
        with progress_bar("Inside") as inside:
            clock[0] = 2.0
            inside(1, 7)
        outside(1, 2)
    assert "Inside" not in terminal.getvalue()
    assert "1/2" in terminal.getvalue()
