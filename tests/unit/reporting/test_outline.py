"""Sections: what they leave out, and that every renderer shows what they hold."""

import re

import pytest

from eosin.artifacts.metrics import Metric
from eosin.reporting.outline import (
    Cell,
    Code,
    Facts,
    Figures,
    Page,
    Pairs,
    Points,
    RenderedFigure,
    Section,
    Text,
    Tile,
    Tiles,
    make_table,
)
from eosin.reporting.rendering import section_to_markdown, to_html, to_markdown

TILE = Tile("data:,", 1, 1, "a tile", "its title", ())
FIGURE = RenderedFigure("roc", b"png", "what it shows", "A caption.", 4, 3)
EMPTY = (None, "", Text(""), Facts([]), Points([]), Figures(None), Tiles([]), Pairs([]), Code(""))
BLOCKS = {
    "words": "words",
    "text": Text("words", head="Head."),
    "facts": Facts([("words", "value")]),
    "points": Points([Cell("words")]),
    "table": make_table("caption", ("a", "b"), [("words", 1)]),
    "code": Code("words"),
    "section": Section("words", "more"),
    "folded": Section("words", "more", fold="closed"),
}


def page_of(*sections):
    return Page("Kind", "Name", "Tab", sections, "Footer.")


@pytest.mark.parametrize("block", EMPTY)
def test_empty_content_is_left_out(block):
    assert not Section("title", block, Section("inner", block))
    assert page_of(Section("title", block)).entries() == []
    assert Section("title", block, "words").content == ("words",)


@pytest.mark.parametrize("name", BLOCKS)
def test_each_kind_of_content_is_on_the_page_and_in_its_markdown(name):
    page = page_of(Section("title", BLOCKS[name]))
    assert "words" in to_html(page).partition("<main")[2]
    assert "words" in to_markdown(page)


def test_a_line_does_not_end_before_a_per_cent_sign():
    page = page_of(Section("title", "with 95 % intervals"))
    assert "with 95\u00a0% intervals" in to_html(page)
    assert "with 95 % intervals" in to_markdown(page)


@pytest.mark.parametrize("block", [Tiles([TILE]), Pairs([(TILE, TILE, "alike")])])
def test_thumbnails_are_on_the_page_alone(block):
    page = page_of(Section("title", block))
    assert "a tile" in to_html(page)
    assert "tile" not in to_markdown(page)


def test_figures_of_sub_sections_are_found_and_linked():
    section = Section("title", Section("inner", Figures(FIGURE), fold="closed"))
    assert [figure.name for figure in section.figures()] == ["roc"]
    assert "what it shows" in to_html(page_of(section))
    linked = section_to_markdown(section, lambda figure: f"figures/{figure.name}.png")
    assert "![what it shows](figures/roc.png)" in linked
    assert not any("roc" in line for line in section_to_markdown(section))


def test_text_is_no_markup():
    page = page_of(Section("<i>", "<b>", Text("<b>", head="<b>"), Code("<b>"), Points([Cell("*")])))
    assert not re.search("<[bi]>", to_html(page))
    assert "\\*" in to_markdown(page)


def test_sections_of_one_title_have_link_targets_of_their_own():
    titles = ("A b 2", "A b", "A b", "A b")
    anchors = [anchor for anchor, _ in page_of(*(Section(t, "x") for t in titles)).entries()]
    assert len(set(anchors)) == 4
    assert anchors[:2] == ["a-b-2", "a-b"]


def test_each_reason_has_one_letter():
    metrics = [Metric(value=0.5, reason=f"reason {place % 28}") for place in range(56)]
    table = make_table("", ("", ""), [("x", metric) for metric in metrics])
    marks = [row[1].mark for row in table.rows]
    assert marks[:28] == marks[28:] == [mark for mark, _ in table.notes]
    assert marks[25:28] == ["z", "aa", "ab"]
    assert [cell.text for cell in make_table("", ("", ""), [(None, 1234)]).rows[0]] == [
        "—",
        "1,234",
    ]
    assert make_table("", ("",), []) is None
