"""The tables in docs/audit.md are what the benchmark kept."""

from pathlib import Path

import pytest
from benchmarks.tables import STORE, render_table

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


@pytest.mark.parametrize("part", ["copies", "alarms", "clusters", "growth", "content"])
def test_the_page_holds_the_table(part):
    assert (STORE / f"audit-{part}.json").exists()
    assert render_table(f"audit-{part}") in PAGE.read_text(encoding="utf-8")
