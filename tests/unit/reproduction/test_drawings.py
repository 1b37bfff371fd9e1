"""Drawings of a reproduction: which thumbnails an item shows."""

from dataclasses import dataclass
from types import SimpleNamespace

from eosin.papers import Item
from eosin.reporting.outline import Section
from eosin.reproduction.drawings import draw


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
