"""Nothing phones home, and a prediction leaves no file behind but its own."""

import os
import shutil
import subprocess
import sys

import pytest

import eosin

LONG = """
import sys, time
import eosin
from eosin.inference.classifier import Classifier
model = Classifier(sys.argv[1])
eosin.predict(sys.argv[1], sys.argv[2:])
time.sleep(20)
"""


@pytest.fixture
def environment(tmp_path):
    """An environment with an empty home, as a user's own has it: under CI libraries keep still."""
    home = tmp_path / "home"
    home.mkdir()
    dropped = {"CI", "EOSIN_CACHE", "MPLCONFIGDIR", "ORT_DISABLE_TELEMETRY"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith(("XDG_", "GITHUB_"))
    }
    return {**kept, "HOME": str(home)}, home


def eosin_line(*arguments):
    return [sys.executable, "-m", "eosin", *map(str, arguments)]


@pytest.mark.parametrize("given", [None, "0"])
def test_an_empty_home_stays_empty_after_a_prediction(
    environment, tiny_run, tiny_phantom, tmp_path, given
):
    variables, home = environment
    if given is not None:
        variables["ORT_DISABLE_TELEMETRY"] = given
    line = eosin_line("predict", tiny_run, tiny_phantom / "benign", "-o", tmp_path / "p.csv")
    done = subprocess.run(line, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []


def test_what_draws_keeps_its_fonts_in_eosin_s_own_cache(environment, tiny_run, tmp_path):
    variables, home = environment
    cache = tmp_path / "cache"
    run = shutil.copytree(tiny_run, tmp_path / "run")
    line = eosin_line("report", run)
    variables["EOSIN_CACHE"] = str(cache)
    done = subprocess.run(line, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []
    assert [path.name for path in cache.iterdir()] == ["matplotlib"]


def test_the_switch_is_set_for_python_and_for_child_processes():
    assert eosin.__name__
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_an_import_that_came_too_late_is_warned_of(process):
    code = "import os; os.environ.pop('ORT_DISABLE_TELEMETRY', None)\nimport {}\nimport eosin"
    result = process(code.format("onnxruntime"))
    assert result.status == 0
    assert "imported before eosin" in result.err
    assert process(code.format("numpy")).err == ""


@pytest.mark.slow
def test_a_process_that_lives_longer_opens_no_socket(environment, tiny_run, tiny_phantom, tmp_path):
    tools = [shutil.which(name) for name in ("unshare", "strace")]
    if None in tools:
        pytest.skip("watching system calls needs unshare and strace")
    variables, home = environment
    trace = tmp_path / "trace"
    line = ["unshare", "-n", "strace", "-f", "-qq", "-e", "trace=socket", "-o", str(trace)]
    line += [sys.executable, "-c", LONG, str(tiny_run / "model"), str(tiny_phantom / "benign")]
    done = subprocess.run(line, env=variables, capture_output=True, text=True, check=False)
    if done.returncode and "Operation not permitted" in done.stderr:
        pytest.skip(f"system calls cannot be watched here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert [row for row in trace.read_text().splitlines() if "AF_INET" in row] == []
    assert list(home.rglob("*")) == []
