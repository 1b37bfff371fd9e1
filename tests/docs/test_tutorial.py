"""The tutorial's commands and code run in order, in a quick form."""

import re
import shlex
from pathlib import Path

import pytest

from eosin.__main__ import call

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
#: Appended to every training.
QUICK = ["train.epochs=1", "data.split.k=2", "model.input_px=64", "evaluate.resamples=100"]


def run(line, capsys):
    """Run a line of the shell."""
    words = shlex.split(line)
    assert words[0] == "eosin"
    quick = [word for setting in QUICK for word in ("--set", setting)]
    status = call([*words[1:], *(quick if words[1] == "train" else [])], debug=False)
    assert status == 0, (line, capsys.readouterr().err)


@pytest.mark.drawn
def test_all_of_it_runs_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    known = {}
    blocks = re.findall(r"```(sh|python)\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) >= 8
    for kind, block in blocks:
        if kind == "python":
            exec(block, known)  # noqa: S102 -- the page's own lines
            continue
        for line in block.splitlines():
            run(line, capsys)
    made = "metrics.pdf", "predictions.csv", "runs/comparison/comparison.html"
    made += "runs/check/quality.html", "runs/audit/audit.html", "runs/external/report.html"
    assert [name for name in made if not Path(name).exists()] == []
    assert set(known["wrong"]["label"]) <= {"benign", "malignant"}


def test_every_file_that_it_names_is_made_by_its_commands():
    folders = set(re.findall(r"-o (runs/\w+)", PAGE))
    named = {found.split("/")[1] for found in re.findall(r"runs/[\w/]+", PAGE)}
    assert named == {folder.split("/")[1] for folder in folders}
