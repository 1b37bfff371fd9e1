"""The tables in docs/ are what the collected run folders say."""

from pathlib import Path

import pytest
from benchmarks import results

ROOT = Path(__file__).parents[2]


def test_page_is_rendered_from_the_collected_runs():
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == results.render()


def test_collected_runs_hold_no_path_of_a_machine():
    for path in results.STORE.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert '"/' not in text, path
        assert "data_root" not in text, path


def test_a_changed_metric_changes_the_page(monkeypatch, tmp_path):
    import json
    import shutil

    store = tmp_path / "results"
    shutil.copytree(results.STORE, store)
    first = sorted(store.glob("*/metrics.json"))[0]
    data = json.loads(first.read_text(encoding="utf-8"))
    split = next(name for name in ("oof", "test") if name in data)
    data[split]["image"]["auc"]["value"] = 0.123
    first.write_text(json.dumps(data), encoding="utf-8")
    before = results.render()
    monkeypatch.setattr(results, "STORE", store)
    assert "0.123" in results.render()
    assert results.render() != before


@pytest.mark.parametrize("name", ["README.md", "docs/results.md", "docs/papers.md"])
def test_local_links_lead_somewhere(name):
    import re

    page = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{name} links to {target}"
