"""The reproductions' pages are those that their documents give."""

import pytest
from benchmarks.reproductions import documents, markdown

from eosin.artifacts.reproduction import Reproduction
from eosin.artifacts.versioned import read_document


@pytest.mark.parametrize("target", documents(), ids=lambda target: target.root.name)
def test_a_page_is_rendered_from_its_document(target):
    page = target.root.parent / f"{target.root.name.upper()}.md"
    assert page.read_text(encoding="utf-8") == markdown(target)


@pytest.mark.parametrize("target", documents(), ids=lambda target: target.root.name)
def test_its_figures_are_there(target):
    figures = read_document(target.document, Reproduction).figures
    shown = {path.stem for path in target.figures.glob("*.png")}
    assert shown == {figure.file for figure in figures}
