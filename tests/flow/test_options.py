"""Options that every command takes, JSON documents, tables in a terminal, exit status of Ctrl-C."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer
from tests.facts import tells

import eosin
from eosin.cli.app import app
from eosin.commands.data_list import list as list_datasets
from eosin.core.threads import map_threads
from eosin.data.quality import measure_samples
from eosin.runtime.device import choose_device_settings

VERBS = typer.main.get_command(app).commands
LINES = [[name] for name in VERBS if name != "data"]
LINES += [["data", name] for name in VERBS["data"].commands]


@pytest.mark.parametrize("line", [[], ["data"], *LINES], ids=" ".join)
def test_every_command_takes_the_shared_options(command, line):
    helped = command(*line, "-h")
    assert helped.status == 0
    assert helped.out == command(*line, "--help").out
    shared = ["--verbose", "--quiet", "--log-file", "--threads", "--offline", "--plugin", "--debug"]
    assert tells(helped.out, *shared)


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_every_verb_takes_json_and_its_help_names_no_type_of_python(command, line):
    helped = command(*line, "-h").out
    assert "--json" in helped
    assert not re.search(r"-- ?\S+ +<list", helped)
    assert "[[" not in helped


def test_the_version_is_printed(command):
    result = command("--version")
    assert (result.status, result.out) == (0, f"eosin {eosin.__version__}\n")


def test_messages_are_hidden_or_detailed_and_kept_in_a_file(command, model, tiny_phantom, tmp_path):
    line = ("predict", model, tiny_phantom / "benign")
    usual, log = command(*line), tmp_path / "log.txt"
    quiet = command("-q", *line, "--log-file", log)
    assert "research use" in usual.err.lower()
    assert (quiet.out, quiet.err) == (usual.out, "")
    assert tells(log.read_text(encoding="utf-8"), "DEBUG", "ONNX Runtime", "INFO")
    detailed = command(*line, "-v")
    assert detailed.out == usual.out
    assert tells(detailed.err, "ONNX Runtime", "threads")
    assert "threads" not in usual.err
    before = log.read_text(encoding="utf-8")
    assert command("predict", tmp_path / "none", "x", "--log-file", log).status == 1
    added = log.read_text(encoding="utf-8").removeprefix(before)
    assert tells(added, "ERROR", "Traceback", "ArtifactError")


def test_warnings_are_printed_even_with_quiet(command, model, tiny_phantom):
    with (model / "card.md").open("a") as card:
        card.write("edited")
    result = command("predict", model, tiny_phantom / "benign", "-q")
    assert result.status == 0
    assert result.err.startswith("warning: ")


def test_a_log_file_that_cannot_be_written(command, tmp_path):
    result = command("data", "list", "--log-file", tmp_path)
    assert result.status == 1
    assert tells(result.complaint, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_log_file_on_a_full_disk_costs_one_warning_and_no_work(command):
    result = command("data", "list", "--log-file", "/dev/full")
    assert result.status == 0
    assert "Traceback" not in result.err
    assert result.err.count("/dev/full") == 1


def test_wrong_values_of_shared_options_are_named(command):
    result = command("data", "list", "--threads", "0")
    assert result.status == 2
    assert tells(result.complaint, "--threads", "1", "eosin data list --help")


@pytest.fixture
def limited(monkeypatch):
    """Restore the environment that --threads changes."""
    for name in ("EOSIN_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.delenv("EOSIN_THREADS")


def test_threads_are_limited(command, limited, model, tiny_phantom):
    result = command("predict", "-v", model, tiny_phantom / "benign", "--threads", "1")
    assert tells(result.err, "threads: 1")
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert choose_device_settings("cpu", "auto", 3).description == "cpu (1 threads)"
    names = set(map_threads(lambda _: threading.current_thread().name, range(9)))
    assert len(names) <= 2  # one thread, and the one that waits
    assert len([one for one in threading.enumerate() if one.name == "eosin-map"]) <= 1


def test_completion_is_offered(process):
    code = "from eosin.__main__ import run; run()"
    words = {"_EOSIN_COMPLETE": "complete_bash", "COMP_WORDS": "eosin data ", "COMP_CWORD": "2"}
    result = process(code, env={**os.environ, **words})
    assert set(result.out.split()) == set(VERBS["data"].commands)


def test_ctrl_c_exits_with_130(command, stop_at):
    with stop_at(list_datasets):
        result = command("data", "list")
    assert result.status == 130
    assert "interrupted" in result.complaint


def _numpy_recipe(recipe_file):
    return recipe_file(model={"backend": "numpy", "input_px": 52}, train={"epochs": 1})


def test_every_verb_that_reports_prints_one_json_document(
    command, recipe_file, tiny_run, tiny_phantom, tmp_path
):
    recipe, run = _numpy_recipe(recipe_file), tmp_path / "run"
    images, manifest = tiny_phantom / "benign", tiny_run / "manifest.csv"
    facts = {
        ("train", recipe, "--plan"): {"n_images": 60, "trainings": 1},
        ("train", recipe, "-o", run): {"run": str(run), "skipped": []},
        ("evaluate", run / "model", "--data", manifest, "-o", tmp_path / "e"): {"skipped": []},
        ("ensemble", run, tiny_run, "-o", tmp_path / "m"): {"run": str(tmp_path / "m")},
        ("compare", run, tiny_run, "-o", tmp_path / "c"): {"metric": "auc"},
        ("report", run): {"report": str(run / "report.html")},
        ("convert", run / "checkpoints" / "best.npz", "-o", tmp_path / "w.safetensors"): {
            "path": str(tmp_path / "w.safetensors")
        },
        ("predict", run, images): {"skipped": [], "left_out": {}},
        ("predict", run, images, "-o", tmp_path / "p.csv"): {"skipped": []},
        ("data", "audit", manifest, "--quick"): {"n_images": 60},
        ("data", "check", images): {"n_images": 30},
        ("data", "manifest", "folder", tiny_phantom, "-o", tmp_path / "m.csv"): {
            "path": str(tmp_path / "m.csv"),
            "n_images": 60,
            "labels": {"benign": 30, "malignant": 30},
        },
    }
    for line, expected in facts.items():
        result = command(*line, "--json")
        assert result.status == 0, result.err
        document = json.loads(result.out)
        assert expected.items() <= document.items(), line
        if line[0] in {"train", "evaluate", "ensemble"} and "--plan" not in line:
            *_, metrics = document["metrics"].values()
            assert metrics["image"]["accuracy"]["value"] is not None
    for line in (["models"], ["recipes"], ["data", "list"], ["data", "cache"], ["doctor"]):
        assert isinstance(json.loads(command(*line, "--json").out), list)


def test_predictions_as_json(command, tiny_run, tiny_phantom, tmp_path):
    found = eosin.predict(tiny_run, tiny_phantom / "benign")
    result = command("predict", tiny_run, tiny_phantom / "benign", "--json")
    rows = json.loads(result.out)["predictions"]
    assert len(rows) == len(found.table)
    assert rows[0]["prob_malignant"] == pytest.approx(found.table["prob_malignant"][0], abs=1e-12)


def test_files_of_other_types_are_counted_by_their_ending(command, tiny_run, images, tmp_path):
    for name in ("a.heic", "b.heic", "notes.txt"):
        (images / name).write_bytes(b"x")
    result = command("predict", tiny_run, images)
    assert tells(result.err, "2 .heic", "1 .txt")
    document = json.loads(command("predict", tiny_run, images, "--json").out)
    assert document["left_out"] == {".heic": 2, ".txt": 1}


def test_lists_are_tables_in_a_terminal_and_plain_elsewhere(command):
    plain = command("data", "list").out
    assert "─" not in plain
    ours, theirs = pty.openpty()
    code = "from eosin.__main__ import run; run()"
    line = [sys.executable, "-c", code, "data", "list"]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(line, stdout=theirs, env=environment) as running:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux: nobody has the other end open any more
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    assert running.returncode == 0
    text = re.sub("\x1b\\[[0-9;]*m", "", shown.decode())
    assert "─" in text
    assert tells(text, "name", "licence", "breakhis", "CC BY 4.0")


@pytest.fixture
def terminal(command, monkeypatch):
    """Run the command as in a terminal of 80 columns."""

    def call(*arguments):
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", "80")
            patch.setattr(sys.stdout, "isatty", lambda: True)
            result = command(*arguments)
        return re.sub("\x1b\\[[0-9;]*m", "", result.out)

    return call


def words(text):
    """Return the words of a text without those that times and paths are in."""
    return {word for word in re.findall(r"[^\s:,]+", text) if not re.search(r"[\d/]", word)}


def test_a_terminal_of_80_columns_cuts_no_word_of_a_table(
    command, terminal, recipe_file, images, tiny_run, folds_run, tmp_path
):
    table = images / "table.csv"
    path = next((images / "benign").rglob("*.png")).relative_to(images)
    table.write_text(f"path,label,split\n{path},benign,train\n{path},benign,test\n")
    for line in (
        ["models"],
        ["recipes"],
        ["data", "audit", table, "--quick"],
        ["compare", tiny_run, folds_run, "-o", tmp_path / "c"],
        ["train", _numpy_recipe(recipe_file), "--plan"],
    ):
        plain = command(*line).out
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        drawn = terminal(*line)
        assert words(plain) <= words(drawn), line
        # Rich fills the lines of a table with blanks.
        assert any(row.endswith("  ") and len(row) <= 80 for row in drawn.splitlines()), line
        assert not any(row.endswith(" ") for row in plain.splitlines())


def test_a_stopped_check_leaves_no_files(command, images, tmp_path, stop_at):
    with stop_at(measure_samples):
        result = command("data", "check", images, "-o", tmp_path / "out")
    assert result.status == 130
    assert not (tmp_path / "out").exists()
