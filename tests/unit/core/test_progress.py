"""Progress is silent off a terminal and within two seconds."""

import io
import sys

import pytest

from eosin.core import progress
from eosin.core.progress import progress_bar, with_estimate


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


def test_nothing_is_drawn_off_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_DELAY_S", 0.0)
    with progress_bar("Working") as advance:
        advance(1, 2)
    assert capsys.readouterr() == ("", "")


def test_nothing_is_drawn_for_short_work(open_terminal):
    terminal = open_terminal()
    with progress_bar("Working") as advance:
        advance(1, 2)
        advance(2, 2)
    assert terminal.getvalue() == ""


def test_longer_work_is_drawn_on_stderr(open_terminal, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_DELAY_S", 0.0)
    terminal = open_terminal()
    with progress_bar("Working") as advance:
        advance(1, 2)
    assert "Working" in terminal.getvalue()
    assert "1/2" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_the_time_of_long_work_is_said_once_and_of_short_work_not(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for per_item, expected in ((1.0, ["Reading 4,000 images: about 67 min"]), (0.001, [])):
        said, steps = [], []
        report = with_estimate(
            lambda *step, steps=steps: steps.append(step), said.append, "Reading {total} images"
        )
        for done in range(1, 101):
            now[0] += per_item if done > 20 else 100.0  # libraries are loaded with the first
            report(done, 4000)
        assert said == expected
        assert steps[-1] == (100, 4000)
