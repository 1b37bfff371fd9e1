"""Run folders with a damaged file: the file is named, whatever verb reads it."""

import json
import os
import shutil

import pytest


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of the tiny run, to be broken at will."""
    shutil.copytree(tiny_run, tmp_path / "run")
    return tmp_path / "run"


def cut_between_rows(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) * 2 // 3]))


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    place = max(n for n, byte in enumerate(data) if chr(byte).isdigit())
    data[place] ^= 1  # another digit
    path.write_bytes(data)


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_endless(path):
    path.unlink()
    path.symlink_to("/dev/zero")


DAMAGE = [cut_between_rows, cut_in_half, flip, make_pipe, make_endless]
FILES = ["recipe.toml", "manifest.csv", "history.csv", "predictions.csv", "metrics.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_report_names_the_damaged_file(run, command, name, damage):
    damage(run / name)
    result = command("report", run)
    assert result.status == 1
    assert str(run / name) in result.complaint
    assert "as the run wrote it" in result.complaint


@pytest.mark.parametrize("name", ["recipe.toml", "manifest.csv", "predictions.csv", "split.json"])
def test_every_verb_names_the_damaged_file(run, tiny_run, command, tmp_path, name):
    flip(run / name)
    lines = [
        ["compare", run, tiny_run, "-o", tmp_path / "c"],
        ["ensemble", run, tiny_run, "-o", tmp_path / "e"],
        ["train", "--resume", run],
    ]
    if name in {"recipe.toml", "manifest.csv"}:
        lines.append(["evaluate", run, "-o", tmp_path / "v"])
    for line in lines:
        result = command(*line)
        assert result.status == 1, (line, result.err)
        assert str(run / name) in result.complaint, line


@pytest.mark.parametrize("name", ["predictions.csv", "manifest.csv", "recipe.toml"])
def test_a_run_that_lists_no_files_is_checked_by_its_numbers(run, command, name):
    path = run / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": None}))
    cut_between_rows(run / name)
    result = command("report", run)
    assert result.status == 1
    assert str(run / name) in result.complaint


@pytest.mark.parametrize(
    "names", [["history.csv"], ["predictions.csv", "manifest.csv"], ["samples"]]
)
def test_a_page_does_without_files_that_were_removed(run, command, names):
    for name in names:
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    assert command("report", run).status == 0


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="needs /dev/fd")  # noqa: PTH112
def test_a_table_may_come_from_another_process(images, model, command, tmp_path, monkeypatch):
    monkeypatch.chdir(images)
    rows = [(path.relative_to(images), path.parts[-3]) for path in images.rglob("*.png")]
    text = "".join(["path,label\n", *(f"{path},{label}\n" for path, label in rows)])

    def through_pipe(*line):
        end, start = os.pipe()
        os.write(start, text.encode())
        os.close(start)
        try:
            return command(*[f"/dev/fd/{end}" if word == "PIPE" else word for word in line])
        finally:
            os.close(end)

    for line in (
        ["data", "audit", "PIPE", "--quick", "--independent"],
        ["data", "check", "PIPE"],
        ["predict", model, "PIPE", "-o", tmp_path / "p.csv"],
        ["evaluate", model, "--data", "PIPE", "--independent", "-o", tmp_path / "v"],
    ):
        result = through_pipe(*line)
        assert result.status == 0, (line, result.err)
    repaired = ["data", "audit", "PIPE", "--quick", "--independent", "--repair", tmp_path / "m.csv"]
    assert through_pipe(*repaired).status == 0
