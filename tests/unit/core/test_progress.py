"""Progress is silent off a terminal and within two seconds."""

import io
import sys

import pytest

from eosin.core import progress
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
