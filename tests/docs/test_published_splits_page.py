"""The page on published splits holds what the benchmark kept, and the audit still finds it."""

import json
from pathlib import Path

import pytest
from benchmarks import audit, published_splits
from benchmarks.published_splits import (
    audit_breakhis,
    audit_split,
    divide_as_eva,
    divide_as_thunder,
    name_images,
)
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


def test_the_benchmark_of_breakhis_gives_the_rows_of_the_page(data_root, monkeypatch):
    monkeypatch.setattr(published_splits, "DATA", data_root)
    if not (data_root / "breakhis-200x-224").exists():
        pytest.skip("no BreakHis images at 200X here")
    kept = json.loads((STORE / "published-breakhis.json").read_text(encoding="utf-8"))
    assert list(audit_breakhis()) == kept["rows"]


def test_the_benchmark_by_content_writes_images_of_the_real_sets(data_root, monkeypatch, tmp_path):
    monkeypatch.setattr(audit, "DATA", data_root)
    monkeypatch.setattr(audit, "CONTENT_SIZES", (2,))
    if not (data_root / "lc25000").exists():
        pytest.skip("no images of LC25000 here")
    made = audit.make_images(tmp_path)
    assert len(made) == 2
    assert all(Path(path).exists() for path in made)
