"""The tables in docs/statistics.md are what was simulated."""

import copy

from benchmarks import coverage_page

from eosin.metrics.intervals import coverage_table


def test_page_is_rendered_from_the_kept_table():
    page = coverage_page.PAGE.read_text(encoding="utf-8")
    assert coverage_page.render(coverage_table()) in page


def test_a_changed_coverage_changes_the_page():
    table = copy.deepcopy(coverage_table())
    table["clustered"]["f1"][0]["coverage"] = 0.123
    assert "12.3" in coverage_page.render(table)
    table["image_level"]["rare"]["auc"]["coverage"] = 0.456
    assert "45.6" in coverage_page.render(table)
    row = table["other_scenarios"]["alike"]["auc_difference"][0]
    row["width"] = 0.0987
    assert f"{100 * row['coverage']:.1f} (0.099)" in coverage_page.render(table)
