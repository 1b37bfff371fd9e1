"""The package's functions beside its commands: unreadable files, tables and recipes in memory."""

import json

import pandas as pd
import pytest

import eosin
from eosin.artifacts.manifest import read_manifest


@pytest.fixture
def spoilt(images, cut):
    """Cut one image of the tiny phantom in half; return it."""
    return cut(min((images / "benign").rglob("*.png")))


@pytest.fixture
def table(images, tiny_run):
    """Return the tiny run's manifest as a pandas table of the images' absolute paths."""
    frame = read_manifest(tiny_run / "manifest.csv", verbatim=True).frame
    where = {path.name: str(path) for path in images.rglob("*.png")}
    return frame.assign(path=[where[path.rpartition("/")[2]] for path in frame["path"]])


def test_a_prediction_with_unreadable_files_raises_with_its_result(spoilt, images, model, tmp_path):
    with pytest.raises(eosin.SkippedFilesError, match="1 file could not be read") as caught:
        eosin.predict(model, images)
    assert len(caught.value.result.table) == 59
    output = tmp_path / "p.csv"
    with pytest.raises(eosin.SkippedFilesError, match=r"see .*p\.skipped\.csv"):
        eosin.predict(str(model), str(images), output=str(output))
    assert len(pd.read_csv(output)) == 59
    allowed = eosin.predict(model, images, output=output, allow_skipped=True)
    assert [path for path, _ in allowed.skipped] == [str(spoilt)]
    assert isinstance(caught.value, eosin.EosinError)


def test_no_image_is_no_prediction(model):
    with pytest.raises(eosin.EosinError, match="no image was given"):
        eosin.predict(model, [])


def test_a_training_with_unreadable_files_raises_with_its_run(
    spoilt, images, tiny_values, tmp_path
):
    recipe = tiny_values(images)
    recipe["data"] = {**recipe["data"], "dataset": "folder", "positive": "malignant"}
    recipe["data"].pop("options")
    recipe["train"] = {**recipe["train"], "epochs": 1}
    run = tmp_path / "run"
    with pytest.raises(eosin.SkippedFilesError, match=r"see .*skipped\.csv") as caught:
        eosin.train(recipe, output=str(run))
    assert caught.value.result.run == run
    assert (run / "report.html").exists()
    again = eosin.train(resume=str(run), allow_skipped=True)
    assert again.n_skipped == 1
    assert again.metrics.keys() == caught.value.result.metrics.keys()


@pytest.mark.parametrize("options", [{}, {"pseudonymise": True}], ids=["plain", "pseudonymised"])
def test_an_evaluation_with_unreadable_files_raises_with_its_result(
    spoilt, table, tiny_run, tmp_path, monkeypatch, options
):
    monkeypatch.setenv("EOSIN_PSEUDONYM_KEY", str(tmp_path / "key"))
    with pytest.raises(eosin.SkippedFilesError, match="1 file") as caught:
        eosin.evaluate(tiny_run, data=table, output=tmp_path / "a", **options)
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert metrics["external"]["n_images"] == 59
    made = eosin.evaluate(
        tiny_run, data=table, output=tmp_path / "b", allow_skipped=True, **options
    )
    assert made.n_skipped == caught.value.result.n_skipped == 1


def test_an_audit_with_unreadable_files_raises_and_leaks_do_not(spoilt, table, tmp_path):
    # One patient on both sides: a finding.
    table.loc[table["split"] == "val", "patient"] = table["patient"].iloc[0]
    with pytest.raises(eosin.SkippedFilesError, match="1 file") as caught:
        eosin.audit(table, output=tmp_path / "audit")
    assert [path for path, _ in caught.value.result.skipped] == [str(spoilt)]
    assert (tmp_path / "audit" / "audit.json").exists()
    found = eosin.audit(table, allow_skipped=True)
    assert found.report.leaks
    assert found.report == caught.value.result.report


def test_a_pandas_table_is_read_as_its_file_would_be(table, images, tmp_path, monkeypatch):
    table = table.assign(site=[None, *[1.0] * (len(table) - 1)]).rename(columns={"patient": "who"})
    table.to_csv(tmp_path / "m.csv", index=False)
    columns = {"patient": "who", "quick": True}
    assert eosin.audit(table, **columns).report == eosin.audit(tmp_path / "m.csv", **columns).report
    renamed = table.rename(columns={"who": "patient"})
    assert eosin.check(renamed).table["path"].tolist() == table["path"].tolist()
    # Relative paths start from the working folder.
    monkeypatch.chdir(images)
    inside = renamed.assign(path=[path.removeprefix(f"{images}/") for path in table["path"]])
    assert eosin.check(inside).unreadable == []


def test_a_table_without_a_needed_column_is_refused(table):
    with pytest.raises(eosin.EosinError, match="the column 'label' is missing"):
        eosin.audit(table.drop(columns="label"))


def test_columns_are_refused_without_an_external_manifest(tiny_run):
    with pytest.raises(eosin.EosinError, match="apply to external data only"):
        eosin.evaluate(tiny_run, patient="who")


def test_a_recipe_may_be_a_dict(tiny_values, tiny_phantom, tiny_run):
    recipe = tiny_values(tiny_phantom)
    _, audit = eosin.plan(recipe, overrides=["train.epochs=3"])
    assert not audit.leaks
    assert recipe == tiny_values(tiny_phantom)
    with pytest.raises(eosin.EosinError, match="epoch"):
        eosin.plan({**recipe, "train": {"epoch": 1}})


def test_the_cache_is_listed_and_cleared(tiny_run, images, monkeypatch, tmp_path):
    monkeypatch.setenv("EOSIN_CACHE", str(tmp_path / "cache"))
    assert list(eosin.cache().stores) == []
    cleared = eosin.cache(clear=True)
    assert cleared.cleared
    assert list(cleared.stores) == list(cleared.in_use) == []
