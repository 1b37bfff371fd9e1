"""A bar with the time left, on a terminal alone and only for work over two seconds."""

import os
import re
import select
import subprocess
import sys
import time

import pytest

pty = pytest.importorskip("pty", reason="no terminals of this kind here")

WORK = """
import time, sys
from eosin.core.progress import progress_bar
with progress_bar("Reading images") as advance:
    for done in range(1, 11):
        time.sleep(float(sys.argv[1]) / 10)
        advance(done, 10)
print("done", file=sys.stderr)
"""


def on_a_terminal(*arguments):
    """Run Python on a terminal of its own; return all that was drawn."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    line = [sys.executable, *map(str, arguments)]
    running = subprocess.Popen(line, stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    drawn = b""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        try:
            got = os.read(ours, 65536)
        except OSError:  # Linux's way of telling that the other side is closed
            break
        if not got:
            break
        drawn += got
    os.close(ours)
    return running.wait(timeout=60), drawn.decode()


def test_long_work_shows_the_time_left_and_leaves_the_terminal_clean():
    status, drawn = on_a_terminal("-c", WORK, 3)
    assert status == 0
    assert "Reading images" in drawn
    assert re.search(r"\d:\d\d:\d\d", drawn)
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1
    before, _, after = drawn.rpartition("\x1b[2K")
    assert "Reading images" in before
    assert after.strip() == "done"


def test_short_work_shows_nothing():
    assert on_a_terminal("-c", WORK, 0.2) == (0, "done\r\n")


def test_without_a_terminal_nothing_is_drawn(process):
    result = process(WORK, 2.5)
    assert result.status == 0
    assert result.err == "done\n"
