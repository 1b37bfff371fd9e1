"""The package's functions beside its commands: unreadable files, tables and recipes in memory."""

import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from PIL import Image

import eosin
from eosin.artifacts.manifest import read_manifest
from eosin.artifacts.metrics import read_metrics
from eosin.evaluation import evaluate_predictions


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
    assert again.skipped == caught.value.result.skipped
    assert [path for path, _ in again.skipped] == [spoilt.relative_to(images).as_posix()]
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
    assert made.skipped == caught.value.result.skipped
    assert len(made.skipped) == 1


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
    assert eosin.check(inside).skipped == []


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


def test_overrides_are_a_dict_or_texts(tiny_values, tiny_phantom, tiny_run):
    recipe = tiny_values(tiny_phantom)
    texts, _ = eosin.plan(recipe, overrides=["train.epochs=3", "train.batch_size=10"])
    nested, _ = eosin.plan(recipe, overrides={"train": {"epochs": 3}, "train.batch_size": 10})
    one, _ = eosin.plan(recipe, overrides="train.epochs=3")
    assert texts.steps == nested.steps
    assert one.steps > texts.steps
    with pytest.raises(eosin.RecipeError, match="epoch"):
        eosin.plan(recipe, overrides={"train.epoch": 1})


@pytest.fixture
def own_recipe(tiny_values, table):
    """Return a recipe whose manifest is a pandas table."""
    recipe = tiny_values("unused")
    data = {"manifest": table.drop(columns="split"), "positive": "malignant"}
    return {**recipe, "data": {**data, "split": recipe["data"]["split"]}}


def test_a_recipe_s_manifest_may_be_a_pandas_table(own_recipe, tmp_path, stop_at, table):
    plan, _ = eosin.plan(own_recipe)
    assert plan.n_images == len(table)
    run = tmp_path / "run"
    with stop_at(evaluate_predictions), pytest.raises(KeyboardInterrupt):
        eosin.train(own_recipe, output=run)
    other = own_recipe["data"]["manifest"].iloc[1:]
    with pytest.raises(eosin.RecipeError, match="another table"):
        eosin.train(own_recipe, overrides={"data.manifest": other}, resume=run)
    resumed = eosin.train(own_recipe, resume=run)
    # The run folder is all that it needs.
    assert eosin.train(resume=run).metrics == resumed.metrics
    assert sorted(eosin.load_run(run).predictions["path"].unique()) < sorted(table["path"])


def test_a_table_alone_gets_a_recipe(table, tmp_path):
    changes = {"model.input_px": 64, "train.epochs": 1, "evaluate.resamples": 100}
    settings = {"preset": "quick", "positive": "malignant", "overrides": changes}
    plan, _ = eosin.plan(table, **settings)
    result = eosin.train(table, output=tmp_path / "run", **settings)
    assert plan.n_images == len(table)
    assert eosin.load_run(result.run).recipe.data.manifest == str(tmp_path / "run" / "table.csv")
    # The run takes its table along.
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    assert eosin.train(resume=moved).metrics == result.metrics


def test_a_table_that_no_training_followed_is_in_nobody_s_way(own_recipe, tmp_path):
    run = tmp_path / "run"
    lacking = own_recipe["data"]["manifest"].drop(columns="label")
    with pytest.raises(eosin.ManifestError):
        eosin.train({**own_recipe, "data": {**own_recipe["data"], "manifest": lacking}}, output=run)
    leaky = own_recipe["data"]["manifest"]
    leaky = leaky.assign(split=[["train", "val", "test"][row % 3] for row in range(len(leaky))])
    data = {"manifest": leaky, "split": {"protocol": "column"}, "positive": "malignant"}
    with pytest.raises(eosin.LeakError, match="allow_leak=True"):
        eosin.train({**own_recipe, "data": data}, output=run)


def test_ctrl_c_stops_a_loop_that_catches_failures(tiny_values, tiny_phantom, tmp_path, stop_at):
    begun = []

    def train_all():
        for number in range(2):
            begun.append(number)
            with contextlib.suppress(eosin.EosinError):
                eosin.train(tiny_values(tiny_phantom), output=tmp_path / str(number))

    with stop_at(evaluate_predictions), pytest.raises(eosin.InterruptedRunError) as caught:
        train_all()
    assert begun == [0]
    assert f"eosin.train(resume='{tmp_path / '0'}')" in str(caught.value)


def test_one_text_is_one_path(tiny_run, tmp_path):
    for function in (eosin.compare, eosin.ensemble):
        with pytest.raises(eosin.UsageError) as caught:
            function(str(tiny_run), output=tmp_path / "out")
        assert "2" in str(caught.value) or "two" in str(caught.value)
    with pytest.raises(eosin.DataError, match="does not exist"):
        eosin.reproduce("P3", data=str(tmp_path / "nowhere"))


def test_images_may_be_a_pandas_table(model, table):
    result = eosin.predict(model, table[["path"]])
    assert list(result.table["path"]) == list(table["path"])
    assert result.record.inputs == ["table"]


def test_a_loaded_model_takes_paths_tables_arrays_images_and_bytes(model, table, spoilt):
    paths = [path for path in table["path"][:3] if path != str(spoilt)][:2]
    loaded = eosin.load(model)
    assert loaded.info.class_names == ("benign", "malignant")
    by_path = loaded.predict(paths).table.drop(columns="path")
    images = [Image.open(path) for path in paths]
    arrays = [np.asarray(image) for image in images]
    content = [Path(path).read_bytes() for path in paths]
    for given in (images, arrays, np.stack(arrays), content, [images[0], content[1]]):
        found = loaded.predict(given).table
        assert list(found["path"]) == ["image 0", "image 1"]
        pd.testing.assert_frame_equal(found.drop(columns="path"), by_path)
    mixed = loaded.predict([paths[0], arrays[1]]).table
    assert list(mixed["path"]) == [paths[0], "image 1"]
    assert len(loaded.predict(arrays[0]).table) == len(loaded.predict(content[0]).table) == 1


def test_a_loaded_model_takes_open_files(model, table, spoilt):
    path = next(Path(path) for path in table["path"] if path != str(spoilt))
    loaded = eosin.load(model)
    content = path.read_bytes()
    with path.open("rb") as stream, tempfile.SpooledTemporaryFile() as upload:
        upload.write(content)
        upload.seek(0)
        given = [stream, upload, io.BytesIO(content), bytearray(content), memoryview(content)]
        found = loaded.predict(given).table
        assert list(found["path"]) == [f"image {number}" for number in range(5)]
        stream.seek(0)
        alone = [loaded.predict(stream).table, loaded.predict(io.BytesIO(content)).table]
    expected = loaded.predict(path).table.drop(columns="path")
    for table in (found, *alone):
        for row in range(len(table)):
            same = table.iloc[[row]].drop(columns="path").reset_index(drop=True)
            pd.testing.assert_frame_equal(same, expected)
    with pytest.raises(eosin.UsageError, match="rb"):
        loaded.predict(io.StringIO("text"))


def test_a_loaded_model_reads_arrays_as_files_of_the_same_pixels(model, table, spoilt):
    path = next(path for path in table["path"] if path != str(spoilt))
    loaded = eosin.load(model)
    rgba = np.dstack([np.asarray(Image.open(path).convert("RGB")), np.full((64, 64), 255, "u1")])
    rgba[:30, :30, 3] = 40
    shown = Image.fromarray(rgba)
    expected = loaded.predict(shown).table
    pd.testing.assert_frame_equal(loaded.predict(rgba).table, expected)
    grey = rgba[..., [0, 3]]
    expected = loaded.predict(Image.fromarray(grey, "LA")).table
    pd.testing.assert_frame_equal(loaded.predict(grey).table, expected)
    channels_first = np.moveaxis(rgba[..., :3], -1, 0)
    with pytest.raises(eosin.DataError, match=r"3, 64, 64\).*transpose\(1, 2, 0\)"):
        loaded.predict(channels_first)


def test_a_loaded_model_lists_what_it_cannot_read(model, spoilt):
    loaded = eosin.load(model)
    good = np.zeros((64, 64, 3), dtype=np.uint8)
    floats = good.astype(float)
    with pytest.raises(eosin.SkippedFilesError) as caught:
        loaded.predict([spoilt.read_bytes(), good, floats, b"no image"])
    result = caught.value.result
    assert list(result.table["path"]) == ["image 1"]
    assert [name for name, _ in result.skipped] == ["image 0", "image 2", "image 3"]
    assert all(reason.startswith(name) for name, reason in result.skipped)
    assert "uint8" in result.skipped[1][1]
    assert len(loaded.predict([good, floats], allow_skipped=True).skipped) == 1
    with pytest.raises(eosin.DataError, match="none of the files can be read"):
        loaded.predict(b"")
    with pytest.raises(eosin.UsageError, match="no image"):
        loaded.predict([])
    for unknown in ([1], 1, None):
        with pytest.raises(eosin.UsageError, match=type(1 if unknown else None).__name__):
            loaded.predict(unknown)


def test_a_run_is_read_as_tables_and_drawn(tiny_run):
    run = eosin.load_run(tiny_run)
    metrics = read_metrics(tiny_run / "metrics.json")["test"]
    assert run.metrics.loc[("test", "image", "auc"), "value"] == metrics.image["auc"].value
    assert list(run.metrics.loc["test", "image"].index) == sorted(metrics.image)
    assert len(run.predictions) == metrics.n_images
    assert run.report == tiny_run / "report.html"
    assert run.recipe.model.name == "light_cnn"
    assert run.info == run.model.info
    axes = run.plot_roc()
    assert axes is run.plot_roc(axes)
    assert "malignant" in axes.get_legend_handles_labels()[1][0]
    pyplot.close("all")
    with pytest.raises(eosin.ArtifactError):
        eosin.load_run(tiny_run / "model")


def test_results_show_their_main_facts(model, table, tiny_run, tiny_values, tiny_phantom, tmp_path):
    recipe = tiny_values(tiny_phantom)
    shown = {
        "tiny": eosin.train(recipe, resume=tiny_run, allow_skipped=True),
        str(tiny_run): eosin.load_run(tiny_run),
        "benign": eosin.predict(model, table),
        "leaks": eosin.audit(table, quick=True),
        "flagged": eosin.check(table),
        "time": eosin.plan(recipe)[0],
        "external": eosin.evaluate(tiny_run, data=table, output=tmp_path / "e"),
    }
    for fact, result in shown.items():
        line, page = repr(result), result._repr_html_()
        assert line.startswith(type(result).__name__)
        assert fact in line
        assert fact in page
        assert len(line) < 1000
        assert "\n" not in line


def test_a_loaded_model_takes_a_table_s_column_of_paths(model, table):
    loaded, paths = eosin.load(model), table["path"][:3]
    expected = loaded.predict(list(paths)).table
    for column in (paths.to_numpy(dtype=object), paths.to_numpy(dtype=str)):
        pd.testing.assert_frame_equal(loaded.predict(column).table, expected)


def test_the_byte_order_of_an_array_is_of_no_matter(model):
    loaded = eosin.load(model)
    pixels = np.random.default_rng(0).integers(0, 2**16, (64, 64, 3)).astype(np.uint16)
    expected = loaded.predict(pixels).table
    pd.testing.assert_frame_equal(loaded.predict(pixels.astype(">u2")).table, expected)


def test_the_hint_for_shares_is_not_given_for_other_arrays(model):
    loaded, pixels = eosin.load(model), np.zeros((64, 64, 3))
    with pytest.raises(eosin.DataError, match="255"):
        loaded.predict(pixels)
    for other in (pixels.astype(np.int64), pixels > 0):
        with pytest.raises(eosin.DataError) as caught:
            loaded.predict(other)
        assert "255" not in str(caught.value)


def test_a_closed_file_and_an_empty_path_are_wrong_arguments(model, table):
    with Path(table["path"][0]).open("rb") as file:
        pass
    for wrong in (file, ""):
        with pytest.raises(eosin.UsageError):
            eosin.load(model).predict(wrong)
