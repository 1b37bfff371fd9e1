"""SIGKILL at random moments of `eosin train`: resumed, it ends in the same bytes."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import tomli_w
from tests.facts import same_history

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")

# Imports everything once, then forks a process a command: what is killed is the whole command, from
# its command line to its report, without the seconds that loading PyTorch takes. One line in,
# [seconds to live or null, log, arguments]; one line out, [exit status, seconds]. Seconds are the
# processor's where the system tells them: the machine's other work must not shift the moment.
FORKING = """
import json, os, signal, sys, tempfile, time
from pathlib import Path
import eosin.cli.app, eosin.commands.train, eosin.reporting
from eosin.exporting.onnx import write_onnx
from eosin.networks import build_network
from matplotlib import pyplot
with tempfile.TemporaryDirectory() as folder:  # what the first export and figure load
    network = build_network("light_cnn", num_classes=2, input_px=64, arguments={}).eval()
    write_onnx(network, Path(folder) / "model.onnx", (64, 64))
    pyplot.figure().savefig(Path(folder) / "figure.png")
from eosin.__main__ import run
def age(child, start):
    if sys.platform != "linux":
        return time.monotonic() - start
    return time.clock_gettime((~child << 3) | 2)  # what clock_getcpuclockid returns
for line in sys.stdin:
    patience, log, arguments = json.loads(line)
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(told, 1)
        os.dup2(told, 2)
        try:
            run(arguments)
        except SystemExit as left:
            os._exit(left.code or 0)
    status = None
    while status is None:
        time.sleep(0.002)
        seconds = age(child, start)  # before it is waited for, and gone
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
        elif patience is not None and seconds >= patience:
            os.kill(child, signal.SIGKILL)
            patience = None
    print(json.dumps([status, seconds]), flush=True)
"""
SAME = (
    "predictions.csv",
    "metrics.json",
    "manifest.csv",
    "audit.json",
    "split.json",
)
SAME += ("logits.parquet", "model/model.safetensors", "model/model.onnx")


@pytest.fixture(scope="module")
def commands():
    """Run a command in a forked process, killed after so many seconds if any are given."""
    line = [sys.executable, "-W", "ignore", "-c", FORKING]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as server:

        def run(log, *arguments, patience=None):
            server.stdin.write(json.dumps([patience, str(log), [*map(str, arguments)]]) + "\n")
            return tuple(json.loads(server.stdout.readline()))

        yield run
        server.stdin.close()


@pytest.fixture(scope="module")
def start(commands, tiny_values, tmp_path_factory):
    """A function that makes a folder with a recipe and data of its own, and one that trains it."""

    def make(name, **sections):
        folder = tmp_path_factory.mktemp(name)
        values = tiny_values(folder / "phantom")
        values["train"] = {
            **values["train"],
            "epochs": 6,
            "evaluations_per_epoch": 3,
            "checkpoint_minutes": 0,
        }
        for section, changes in sections.items():
            values[section] = {**values[section], **changes}
        (folder / "recipe.toml").write_bytes(tomli_w.dumps(values).encode())
        return folder

    def train(folder, patience=None):
        run = folder / "run"
        begun = (run / "recipe.toml").exists()
        line = ["--resume", run] if begun else [folder / "recipe.toml", "-o", run]
        return commands(folder / "told.txt", "train", *line, patience=patience)

    return make, train


FOLDS = {"data": {"split": {"protocol": "folds", "k": 2, "val": 0.4}}}


@pytest.fixture(scope="module")
def uninterrupted(start):
    """The folder and the duration of a run that nobody killed, with one split or with folds."""
    make, train = start
    done = {}

    def get(kind):
        if kind not in done:
            folder = make(kind, **(FOLDS if kind == "folds" else {}))
            status, seconds = train(folder)
            assert status == 0, (folder / "told.txt").read_text()
            done[kind] = folder, seconds
        return done[kind]

    return get


def model_of(run):
    """What ``model.json`` holds, but for the SHA-256 of the cards, which bear a date."""
    values = json.loads((run / "model" / "model.json").read_text())
    assert {values["files"].pop(name) for name in ("card.md", "card.html")}
    return values


def assert_same_bytes(folder, other):
    runs = [folder / "run", *sorted((folder / "run" / "folds").glob("*"))]
    assert len(runs) in {1, 3}
    for run in runs:
        twin = other / run.relative_to(folder)
        for name in SAME:
            assert (run / name).read_bytes() == (twin / name).read_bytes(), (run, name)
        if (run / "history.csv").exists():
            assert same_history(run / "history.csv", twin / "history.csv")
        assert model_of(run) == model_of(twin), run
        best = [path.name for path in (run / "checkpoints").glob("best*")]
        assert best == [path.name for path in (twin / "checkpoints").glob("best*")]
        assert (twin / "report.html").exists()
    assert not list((other / "run").rglob(".*"))


@contextmanager
def told_on_failure(folder):
    """Show what the last command said where the test fails."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError((folder / "told.txt").read_text()) from error


def kill_and_compare(start, reference, moments, *, kind, name):
    """Kill a run at each moment (shares of an uninterrupted run's time) in turn; let it finish."""
    make, train = start
    whole, seconds = reference
    folder = make(name, **(FOLDS if kind == "folds" else {}))
    with told_on_failure(folder):
        statuses = [train(folder, patience=moment * seconds)[0] for moment in moments]
        assert set(statuses) <= {0, -signal.SIGKILL}
        assert train(folder)[0] == 0
        assert_same_bytes(whole, folder)
    return statuses


def moments(seed, count):
    """Return moments in (0, 1), one at random in each of as many equal spans."""
    return (np.arange(count) + np.random.default_rng(seed).random(count)) / count


@pytest.mark.parametrize("part", range(5))
def test_a_run_killed_at_a_random_moment(start, uninterrupted, part):
    moment = moments(5, 5)[part]
    kill_and_compare(start, uninterrupted("split"), [moment], kind="split", name=f"kill{part}")


def test_two_kills_in_a_row(start, uninterrupted):
    reference = uninterrupted("split")
    statuses = kill_and_compare(start, reference, [0.4, 0.2], kind="split", name="twice")
    assert statuses == [-signal.SIGKILL] * 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["split", "folds"])
@pytest.mark.parametrize("part", range(20))
def test_a_run_killed_at_one_of_twenty_moments(start, uninterrupted, part, kind):
    points = [moments(20, 20)[part], *np.random.default_rng(part).random(part % 3)]
    kill_and_compare(start, uninterrupted(kind), points, kind=kind, name=f"{kind}{part}")
