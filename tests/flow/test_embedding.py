"""A head on features that were computed elsewhere, from the table to a prediction."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tomli_w
from PIL import Image

import eosin
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.metrics import read_metrics
from eosin.artifacts.run import SamplesIndex
from eosin.artifacts.versioned import read_document

N_PATIENTS, EACH, N_FEATURES = 12, 5, 8


def make_tables(folder, seed):
    """Write a manifest and a table of features in which the class shows; no image is there."""
    random = np.random.default_rng(seed)
    rows = [(p, n, ("benign", "malignant")[p % 2]) for p in range(N_PATIENTS) for n in range(EACH)]
    manifest = pd.DataFrame(
        {
            "path": [f"images/{patient}-{number}.png" for patient, number, _ in rows],
            "label": [label for *_, label in rows],
            "patient": [f"p{patient}" for patient, *_ in rows],
        }
    )
    values = random.normal(size=(len(rows), N_FEATURES))
    values[:, :4] += 3.0 * (manifest["label"] == "malignant").to_numpy()[:, None]
    features = pd.DataFrame(values, columns=[f"f{place}" for place in range(N_FEATURES)])
    manifest.to_csv(folder / "manifest.csv", index=False)
    pd.concat([manifest[["path"]], features], axis=1).to_parquet(folder / "features.parquet")
    return manifest


@pytest.fixture(scope="session")
def table_folder(tmp_path_factory):
    """A folder with a manifest, its images, features of all but two of them, and a recipe."""
    folder = tmp_path_factory.mktemp("embedding")
    manifest = make_tables(folder, 0)
    (folder / "images").mkdir()
    for place, path in enumerate(manifest["path"]):
        Image.new("RGB", (16, 16), (place, 0, 0)).save(folder / path)
    table = pd.read_parquet(folder / "features.parquet")
    table.iloc[2:].to_parquet(folder / "features.parquet")
    values = {
        "name": "embedding",
        "data": {
            "manifest": "manifest.csv",
            "positive": "malignant",
            "split": {"train": 0.5, "val": 0.25, "test": 0.25},
        },
        "model": {"name": "embedding:features.parquet"},
        "train": {"epochs": 8, "batch_size": 8, "lr": 0.05, "device": "cpu"},
        "evaluate": {"resamples": 100},
    }
    (folder / "recipe.toml").write_text(tomli_w.dumps(values))
    return folder


@pytest.fixture
def embedding_run(table_folder, command):
    """A run of the recipe; made once, read or copied, never changed."""
    run = table_folder / "run"
    if not (run / "metrics.json").exists():
        result = command("train", table_folder / "recipe.toml", "-o", run)
        assert result.status == 1, result.err  # two images were skipped
    return run


@pytest.fixture
def own(table_folder, tmp_path):
    """A copy of manifest, table and recipe that a test may change."""
    for name in ("manifest.csv", "features.parquet", "recipe.toml"):
        shutil.copy(table_folder / name, tmp_path)
    return tmp_path


def test_a_run_on_features_is_a_run_like_any_other(embedding_run, table_folder):
    info = json.loads((embedding_run / "model" / "model.json").read_text())
    assert info["architecture"] == "embedding:features.parquet"
    assert info["preprocessing"]["channels"] == [f"f{place}" for place in range(N_FEATURES)]
    assert str(table_folder) not in json.dumps(info)
    assert info["parity"]["max_probability_gap"] <= 1e-4
    assert read_metrics(embedding_run / "metrics.json")["test"].image["auc"].value > 0.9
    assert json.loads((embedding_run / "audit.json").read_text())["findings"] == []
    page = (embedding_run / "report.html").read_text()
    assert "8 features from features.parquet" in page
    assert "no evidence maps: this model takes features" in page
    assert info["explanation"] is None
    assert list((embedding_run / "samples").glob("example-*.jpg"))
    skipped = pd.read_csv(embedding_run / "skipped.csv")
    assert [path[-7:] for path in skipped["path"]] == ["0-0.png", "0-1.png"]
    (reason,) = set(skipped["reason"])
    assert "features.parquet" in reason


def test_the_run_judges_and_predicts(embedding_run, table_folder, command, tmp_path):
    before = read_metrics(embedding_run / "metrics.json")["test"]
    result = command("evaluate", embedding_run, "-o", tmp_path / "judged")
    assert result.status == 0, result.err
    assert read_metrics(tmp_path / "judged" / "metrics.json")["test"] == before
    table = table_folder / "features.parquet"
    result = command("predict", embedding_run, table, "-o", tmp_path / "preds.csv")
    assert result.status == 0, result.err
    predicted = pd.read_csv(tmp_path / "preds.csv", index_col="path")["prob_malignant"]
    own = pd.read_csv(embedding_run / "predictions.csv")
    assert len(predicted) == N_PATIENTS * EACH - 2
    own["path"] = own["path"].str.removeprefix("../")
    np.testing.assert_allclose(predicted[own["path"]], own["prob_malignant"], atol=1e-6)


def test_an_outside_manifest_needs_features_of_its_own(embedding_run, command, tmp_path):
    make_tables(tmp_path, 1)
    other = ("evaluate", embedding_run / "model", "--data", tmp_path / "manifest.csv")
    result = command(*other, "-o", tmp_path / "a")
    assert result.status == 2
    assert "--features" in result.complaint
    result = command(*other, "--features", tmp_path / "features.parquet", "-o", tmp_path / "b")
    assert result.status == 0, result.err
    found = read_metrics(tmp_path / "b" / "metrics.json")["external"]
    assert found.n_images == N_PATIENTS * EACH
    assert found.image["auc"].value > 0.9


def test_images_are_no_features(embedding_run, command, tmp_path):
    result = command("predict", embedding_run, tmp_path)
    assert result.status == 2
    assert "8 features" in result.complaint
    lacking = tmp_path / "lacking.csv"
    lacking.write_text("path,f0\na.png,1.0\n")
    result = command("predict", embedding_run, lacking)
    assert result.status == 1
    assert "it has no column 'f1' (7 lacking)" in result.complaint


def test_without_its_images_a_run_has_no_pictures_and_says_what_was_not_audited(own, command):
    result = command("train", own / "recipe.toml", "--plan")
    assert result.status == 0, result.err
    assert "58 of 58 images" in result.out
    command("train", own / "recipe.toml", "-o", own / "run")
    index = RunFolder(own / "run").samples_index
    assert read_document(index, SamplesIndex).pictures == []


def test_where_files_are_they_are_compared(table_folder, own, command):
    shutil.copytree(table_folder / "images", own / "images")
    shutil.copy(own / "images/11-4.png", own / "images/1-2.png")
    result = command("train", own / "recipe.toml", "--plan")
    assert "1-2.png = 11-4.png" in result.out


def test_a_changed_table_is_another_training(embedding_run, own, command):
    run = shutil.copytree(embedding_run, own / "run")
    recipe = run / "recipe.toml"
    source = str(embedding_run.parent / "features.parquet")
    recipe.write_text(recipe.read_text().replace(source, str(own / "features.parquet")))
    (run / "metrics.json").unlink()
    table = pd.read_parquet(own / "features.parquet")
    table.loc[3, "f5"] += 1e-3  # a row of the whole table: its index went along
    table.to_parquet(own / "features.parquet")
    result = command("train", "--resume", run)
    assert result.status == 1
    assert "the content of" in result.complaint
    assert "images/0-3.png has changed" in result.complaint


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("model.input_px=64", "'model.input_px'"),
        ("model.preprocessing=unit", "'model.preprocessing'"),
        ("augment.policy=dihedral", "'augment.policy'"),
        ("transfer.source=imagenet", "'transfer.source'"),
        ('data.channels=["DNA"]', "'data.channels'"),
        ("train.teachers=runs/a", "'train.teachers'"),
        ("model.name=embedding:absent.csv", "absent.csv does not exist"),
        ("model.arguments.head_dropot=0.1", "Did you mean 'head_dropout'?"),
    ],
)
def test_keys_that_speak_of_images_are_refused_by_name(table_folder, command, setting, named):
    result = command("train", table_folder / "recipe.toml", "--plan", "--set", setting)
    assert result.status == 2
    assert named in result.complaint


def test_only_features_that_stay_the_same_are_standardised(table_folder, command):
    settings = ("model.name=light_cnn", "transfer.standardise=true")
    chosen = [word for setting in settings for word in ("--set", setting)]
    result = command("train", table_folder / "recipe.toml", "--plan", *chosen)
    assert result.status == 2
    assert "transfer.standardise" in result.complaint


def test_a_model_of_features_tests_itself(embedding_run):
    found = eosin.load(embedding_run).selftest().agreement
    assert (found.n_images, found.n_other_decisions) == (8, 0)
