"""The tables in docs/ are what the collected run folders say."""

import re
import tomllib

import pytest
from benchmarks import results

MOST_LINES = 120


PAGES = results.render()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_rendered_from_the_collected_runs(path):
    assert path.read_text(encoding="utf-8") == PAGES[path]


def test_no_page_is_left_of_a_question_that_is_gone():
    assert {*results.STORE.glob("*.md")} == {path for path in PAGES if path.parent == results.STORE}


def test_every_kept_run_and_table_is_on_a_page():
    """No command, seed or interval is lost between the folders and the pages."""
    text = "\n".join(PAGES.values())
    pages = tomllib.loads((results.STORE / "pages.toml").read_text(encoding="utf-8"))
    sections = [section for data in pages["data"] for section in data["section"]]
    runs = [run for section in sections for run in section.get("run", ())]
    assert {path.parent.name for path in results.STORE.glob("*/run.json")} == {
        run["name"] for run in runs
    }
    assert [run["command"] for run in runs if run.get("command", "") not in text] == []
    effects = {name for section in sections for name in section.get("effects", ())}
    assert effects == {path.stem for path in (results.STORE / "effects").glob("*.json")}


def test_the_summary_is_short_and_its_answers_have_no_open_place():
    summary = PAGES[results.DOCS / "results.md"]
    assert len(summary.splitlines()) < MOST_LINES
    assert not re.search(r"\{[\w/ -]+[.>]\w+\}", summary)


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
    monkeypatch.setattr(results, "STORE", store)
    changed = {*results.render().values()} - {*PAGES.values()}
    assert changed
    assert all("0.123" in text for text in changed)
