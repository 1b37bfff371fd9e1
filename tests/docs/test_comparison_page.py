"""The page of comparisons is what the kept documents say."""

from pathlib import Path

from benchmarks import comparison

ROOT = Path(__file__).parents[2]


def test_the_page_is_rendered_from_the_kept_documents():
    page = ROOT / "docs" / "comparison.md"
    assert page.read_text(encoding="utf-8") == comparison.render()


def test_every_figure_is_there_and_small():
    figures = comparison.draw()
    assert figures
    for path in figures:
        assert path.stat().st_size <= 100_000, path


def test_kept_documents_hold_no_path_of_a_machine():
    for path in comparison.STORE.glob("*.json"):
        assert '"/' not in path.read_text(encoding="utf-8"), path
