"""The code of the page on Python runs in order."""

import re
from pathlib import Path

import pytest
from matplotlib import pyplot

import eosin
from eosin.artifacts.manifest import read_manifest
from eosin.core import errors

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.mark.drawn
def test_all_of_it_runs_in_order(tiny_run, tiny_phantom, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = read_manifest(tiny_run / "manifest.csv", verbatim=True).frame
    where = {path.name: str(path) for path in tiny_phantom.rglob("*.png")}
    paths = [where[path.rpartition("/")[2]] for path in frame["path"]]
    frame.assign(path=paths)[["path", "label", "patient"]].to_csv("manifest.csv", index=False)
    known = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, known)  # noqa: S102 -- the page's own lines
    pyplot.close("all")
    assert len(known["predicted"]) == len(frame)
    assert Path("roc.pdf").exists()
    assert 0 <= known["share"].value <= 1


def test_its_tree_of_errors_is_the_one_in_the_code():
    tree = re.search(r"```\n(EosinError.*?)```", PAGE, flags=re.DOTALL)[1]
    named = re.findall(r"^[│├└─ ]*(\w+Error)\b", tree, flags=re.MULTILINE)
    assert set(named) == {name for name in dir(eosin) if name.endswith("Error")}
    lines = re.findall(r"^([│├└─ ]*)(\w+Error)\b", tree, flags=re.MULTILINE)
    above = {}
    for indent, name in lines:
        above[len(indent)] = name
        if indent and name != "InterruptedRunError":
            assert issubclass(getattr(errors, name), getattr(errors, above[len(indent) - 4])), name
