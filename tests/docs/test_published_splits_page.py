"""The page on published splits holds what the benchmark kept, and the audit still finds it."""

from pathlib import Path

import pytest
from benchmarks.published_splits import audit_split, divide_as_eva, divide_as_thunder, name_images
from benchmarks.tables import STORE, render_table

PAGE = Path(__file__).parents[2] / "docs" / "published-splits.md"


@pytest.mark.parametrize("part", ["breakhis", "lc25000"])
def test_the_page_holds_the_table(part):
    assert (STORE / f"published-{part}.json").exists()
    assert render_table(f"published-{part}") in PAGE.read_text(encoding="utf-8")


def test_four_accessions_have_sections_on_both_sides_of_eva_s_split():
    names = name_images()
    assert len(names) == 1471  # as eva states
    (row,) = audit_split("eva", names, divide_as_eva)
    assert "1,132 + 339" in row  # as eva states
    assert "16184, 18842, 19979, 23060" in row


def test_thunder_s_test_part_has_siblings_in_train_and_validation():
    rows = list(audit_split("THUNDER", name_images(), divide_as_thunder))
    found = {row[1]: row[5] for row in rows}
    assert found == {"train, test": "16184, 19979, 23060", "val, test": "18842"}
