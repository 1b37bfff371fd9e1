"""Drawings of a reproduction: which thumbnails an item shows."""

import shutil
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from tests.tiny_runs import edit

from eosin.papers import Item
from eosin.reporting.outline import Section
from eosin.reproduction.drawings import draw
from eosin.runs.finished import read_run


@dataclass
class Run:
    """A run that has no thumbnails, and remembers which were requested."""

    asked: list

    def role(self, name):
        self.asked.append(name)
        return []


def test_stain_normalisation_is_shown_before_and_after():
    run = Run([])
    outcome = SimpleNamespace(run=run, job=SimpleNamespace(label="a network", is_repeated=False))
    item = Item(id="figure-3", title="a", place="b", draw=("stain",), experiments=("net",))
    _, blocks = draw(item, {("net", "as-published"): outcome}, {})
    assert [type(block) for block in blocks] == [Section, Section]
    assert run.asked == ["before", "example"]


@pytest.mark.drawn
@pytest.mark.parametrize("n_magnifications", [1, 2])
def test_of_one_magnification_all_images_are_drawn(tiny_run, tmp_path, n_magnifications):
    shutil.copytree(tiny_run, tmp_path / "run")
    if n_magnifications == 1:
        edit(
            tmp_path / "run",
            "metrics.json",
            lambda m: m["test"]["by_magnification"].pop("100") and m,
        )
    experiment = SimpleNamespace(title="a network", name="net")
    job = SimpleNamespace(
        label="a network", is_repeated=False, protocol="as-published", experiment=experiment
    )
    outcome = SimpleNamespace(run=read_run(tmp_path / "run"), job=job)
    assert len(outcome.run.evaluated.by_magnification) == n_magnifications
    asked = ("confusion_by_magnification", "roc_by_magnification")
    item = Item(id="figure-4", title="a", place="b", draw=asked, experiments=("net",))
    figures, _ = draw(item, {("net", "as-published"): outcome}, {})
    assert len(figures) == 2
