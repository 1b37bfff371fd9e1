"""What comes in: folders, manifests and images that do not fit, one line each."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.facts import has_files, tells

from eosin.artifacts.metrics import read_metrics
from eosin.images.bank import load_bank


@pytest.fixture
def manifest(images):
    """The broken-at-will images as a manifest that the tests may spoil."""

    def write(change=lambda frame: frame, name="m.csv"):
        files = sorted(images.rglob("*.png"))
        frame = pd.DataFrame(
            {
                "path": [str(file.relative_to(images.parent)) for file in files],
                "label": [file.relative_to(images).parts[0] for file in files],
                "patient": [file.parent.name for file in files],
            },
            dtype=object,
        )
        path = images.parent / name
        change(frame).to_csv(path, index=False)
        return path

    return write


@pytest.fixture
def train_on(command, recipe_file, tmp_path):
    """Train the tiny recipe on a manifest or a folder of images."""

    def train(*options, manifest=None, folder=None, **sections):
        drop = ("dataset", "options", "root") if manifest else ("options",)
        source = {"manifest": str(manifest), "positive": "malignant"}
        if folder is not None:
            source = {"dataset": "folder", "root": str(folder), "positive": "malignant"}
            drop = ("options",)
        data = {**source, **sections.pop("data", {})}
        path = recipe_file(data=data, drop=drop, **sections)
        return command("train", path, "-o", tmp_path / "run", *options)

    return train


def spoil(column, value, rows=slice(0, 1)):
    """Return a change of some cells of a table."""

    def change(frame):
        frame = frame.copy()
        if column not in frame:
            frame[column] = ""
        frame.iloc[rows, list(frame.columns).index(column)] = value
        return frame

    return change


def by_patient(frame):
    """Add a split column that keeps patients together."""
    patients = {}
    for label, name in zip(frame["label"], frame["patient"], strict=True):
        patients.setdefault(label, []).extend([name] if name not in patients[label] else [])
    parts = {
        name: ("val", "test", "train")[min(position, 2)]
        for names in patients.values()
        for position, name in enumerate(names)
    }
    return frame.assign(split=[parts[name] for name in frame["patient"]])


def crossing(frame):
    """Like :func:`by_patient`, with one image of a training patient in test."""
    frame = by_patient(frame)
    row = frame.index[frame["split"] == "train"][0]
    frame.loc[row, "split"] = "test"
    return frame


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.rename(columns={"path": "file"}), "the column 'path' is missing"),
        (lambda f: f.rename(columns={"label": "lable"}), "'label' is missing. Did you mean"),
        (lambda f: f.iloc[:0], "has no rows"),
        (spoil("label", ""), "row 2 has no label"),
        (lambda f: f[f["label"] == "benign"], "at least two classes are needed"),
        (lambda f: f.assign(label="a" + f["label"]), "class 'malignant' is not a label"),
        (spoil("split", "tset"), "Did you mean 'test'?"),
    ],
)
def test_a_manifest_that_does_not_fit(train_on, manifest, tmp_path, change, said):
    result = train_on(manifest=manifest(change))
    assert result.status == 1
    assert said in result.complaint
    assert not (tmp_path / "run").exists()


def test_tables_that_are_none(command, manifest, tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "ragged.csv").write_text("path,label\na,b\na,b,c,d\n")
    for name in ("none.csv", "empty.csv", "binary.csv", "ragged.csv"):
        result = command("data", "audit", tmp_path / name)
        assert result.status == 1
        assert name in result.complaint


def test_folders_that_are_missing_or_empty(command, train_on, model, tmp_path):
    empty = tmp_path / "empty folder"
    empty.mkdir()
    result = train_on(folder=tmp_path / "nowhere")
    assert result.status == 1
    assert "does not exist" in result.complaint
    result = train_on(folder=empty)
    assert result.status == 1
    assert "no images in class folders" in result.complaint
    assert not (tmp_path / "run").exists()
    for arguments in (
        ("predict", model, empty),
        ("data", "check", empty),
        ("data", "check", tmp_path / "nowhere"),
        ("predict", model, tmp_path / "nowhere"),
        ("data", "manifest", "folder", tmp_path / "nowhere", "-o", tmp_path / "new" / "m.csv"),
        ("data", "manifest", "folder", empty, "-o", tmp_path / "new" / "m.csv"),
        ("data", "manifest", "breakhis", empty, "-o", tmp_path / "new" / "m.csv"),
    ):
        result = command(*arguments)
        assert result.status == 1
        assert str(tmp_path) in result.complaint
    assert not (tmp_path / "new").exists()


def test_the_place_of_a_data_set_must_be_known(command, recipe_file, monkeypatch, tmp_path):
    monkeypatch.delenv("EOSIN_DATA", raising=False)
    recipe = recipe_file(data={"dataset": "breakhis"}, drop=("root", "options"))
    result = command("train", recipe, "-o", tmp_path / "run")
    assert result.status == 1
    assert "$EOSIN_DATA" in result.complaint


def test_a_class_with_too_few_groups_says_how_many_are_needed(train_on, manifest, tmp_path):
    def few(frame):
        names = sorted(set(frame.loc[frame["label"] == "malignant", "patient"]))[:2]
        return frame[(frame["label"] == "benign") | frame["patient"].isin(names)]

    result = train_on(manifest=manifest(few))
    assert result.status == 1
    assert "the class 'malignant' has 2 patients, but 3 are needed" in result.complaint
    result = train_on(manifest=manifest(few), data={"split": {"protocol": "folds", "k": 5}})
    assert result.status == 1
    assert "the class 'malignant' has 2 patients, but 5 are needed" in result.complaint
    assert not (tmp_path / "run").exists()


def test_a_group_in_two_splits_stops_a_strict_run(command, train_on, manifest, tmp_path):
    path = manifest(crossing)
    result = command("data", "audit", path)
    assert result.status == 1
    assert "leak     same_group: 1 patient is in both train and test" in result.out
    result = train_on(manifest=path, data={"split": {"protocol": "column"}})
    assert result.status == 1
    assert "the split leaks: 1 patient is in both train and test" in result.complaint
    assert "--allow-leak" in result.complaint
    assert not (tmp_path / "run").exists()
    result = train_on("--allow-leak", manifest=path, data={"split": {"protocol": "column"}})
    assert result.status == 0
    assert "this split leaks" in result.err
    assert "same_group" in (tmp_path / "run" / "audit.json").read_text()


def test_an_audit_tells_copies_and_names_what_it_could_not_read(
    command, images, manifest, cut, tmp_path
):
    benign = sorted((images / "benign").rglob("*.png"))
    shutil.copy(benign[0], images / "malignant" / "copy.png")
    cut(benign[-1])
    path, out = manifest(by_patient), tmp_path / "audit"
    result = command("data", "audit", path, "-o", out)
    assert result.status == 1
    assert "identical_bytes" in result.out
    assert has_files(out / "audit.html")
    listed = [file.read_text(encoding="utf-8") for file in (out / "tables").glob("audit_pairs_*")]
    assert any(benign[0].name in text and "copy.png" in text for text in listed)
    assert benign[-1].name in result.err
    assert command("data", "audit", manifest(lambda f: f), "--allow-skipped").status == 0


def test_an_audit_says_what_it_did_not_compare(command, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    for number in (1, 2, 3):
        (tmp_path / f"{number}.png").write_bytes(b"no image")
    rows = "".join(f"{number}.png,{'ab'[number % 2]}\n" for number in range(4))
    (tmp_path / "table.csv").write_text(f"path,label\n{rows}")
    audit = ("data", "audit", tmp_path / "table.csv", "--quick")
    result = command(*audit, "-o", tmp_path / "out")
    assert result.status == 1
    assert result.err.splitlines()[-1].endswith(f"see {tmp_path / 'out' / 'skipped.csv'}")
    assert len(pd.read_csv(tmp_path / "out" / "skipped.csv")) == 3
    words = "3 of 4 images could not be read, so their pixels were not compared."
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["reach"][0] == words
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert words in page
    assert tells(page, "no split", "leaks", "not checked")
    assert "<dt>Leaks</dt><dd>—</dd>" in page
    assert command(*audit, "--allow-skipped").status == 0


def test_unreadable_images_are_listed_and_the_rest_is_done(
    command, train_on, images, cut, model, tmp_path
):
    files = sorted((images / "benign").rglob("*.png"))
    broken = [cut(files[0]), cut(files[1], jpeg=True)]
    files[2].write_bytes(b"")
    broken.append(files[2])
    result = command("data", "check", images)
    assert result.status == 1
    assert all(file.name in result.out for file in broken)
    assert "60 images, 3 unreadable" in result.out

    result = train_on(folder=images)
    assert result.status == 1
    run = tmp_path / "run"
    assert tells(result.err.splitlines()[-1], "3 files", run / "skipped.csv")
    listed = pd.read_csv(run / "skipped.csv")
    assert [file.name for file in broken] == [path.split("/")[-1] for path in listed["path"]]
    assert listed["reason"].str.len().min() > 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert all(file.name in page for file in broken)
    assert command("train", "--resume", run, "--allow-skipped").status == 0

    result = command("predict", model, images, "-o", tmp_path / "p" / "preds.csv")
    assert result.status == 1
    assert len(pd.read_csv(tmp_path / "p" / "preds.csv")) == 57
    assert len(pd.read_csv(tmp_path / "p" / "preds.skipped.csv")) == 3
    result = command("predict", model, images, "--allow-skipped")
    assert result.status == 0
    assert len(result.out.splitlines()) == 58
    # The list of an earlier call must not stand beside a complete table.
    result = command("predict", model, images / "malignant", "-o", tmp_path / "p" / "preds.csv")
    assert result.status == 0
    assert not (tmp_path / "p" / "preds.skipped.csv").exists()
    result = command("predict", model, *broken)
    assert result.status == 1
    assert "none of the files can be read" in result.complaint


def test_a_missing_file_does_not_stop_a_prediction(command, images, model, tmp_path):
    there = sorted((images / "benign").rglob("*.png"))[:2]
    gone = tmp_path / "gone.png"
    result = command("predict", model, there[0], gone, there[1], "-o", tmp_path / "preds.csv")
    assert result.status == 1
    assert "1 file could not be read" in result.err
    assert len(pd.read_csv(tmp_path / "preds.csv")) == 2
    listed = pd.read_csv(tmp_path / "preds.skipped.csv")
    assert list(listed["path"]) == [str(gone)]
    assert "does not exist" in listed["reason"][0]


def test_an_image_that_vanishes_after_it_was_listed(train_on, images, on_entry, tmp_path):
    gone = sorted((images / "malignant").rglob("*.png"))[3]
    with on_entry(load_bank, lambda _given: gone.unlink(missing_ok=True)):
        result = train_on(folder=images)
    assert result.status == 1
    assert "1 file could not be read" in result.err
    listed = pd.read_csv(tmp_path / "run" / "skipped.csv")
    assert list(listed["path"]) == [gone.relative_to(images).as_posix()]
    assert "does not exist" in listed["reason"][0]
    used = pd.read_csv(tmp_path / "run" / "manifest.csv")
    assert len(used) == 59
    assert not used["path"].str.contains(gone.name).any()


def test_paths_with_spaces_and_other_letters(command, recipe_file, images, tmp_path):
    place = tmp_path / "Gewebe – proben «ÅßЖ漢»"
    shutil.move(images, place / "bilder von heute")
    recipe = recipe_file(
        place,
        "rezept ü.toml",
        data={"dataset": "folder", "root": "bilder von heute", "positive": "malignant"},
        drop=("options",),
    )
    run = place / "lauf 1 é"
    result = command("train", recipe, "-o", run)
    assert result.status == 0, result.err
    assert str(run / "report.html") in result.out
    assert command("train", run / "recipe.toml", "--plan").status == 0
    assert command("report", run).status == 0
    result = command("evaluate", run, "-o", place / "urteil ñ")
    assert result.status == 0
    assert read_metrics(place / "urteil ñ" / "metrics.json") == {
        "test": read_metrics(run / "metrics.json")["test"]
    }
    result = command("predict", run, place / "bilder von heute", "-o", place / "vorher sage.csv")
    assert result.status == 0
    assert len(pd.read_csv(place / "vorher sage.csv")) == 60
    made = place / "liste œ.csv"
    root = place / "bilder von heute"
    assert command("data", "manifest", "folder", root, "-o", made).status == 0
    assert command("data", "audit", made).status == 0
    assert command("data", "check", made).status == 0
    result = command("data", "manifest", "folder", root, "-o", made)
    assert result.status == 1
    assert "exists already" in result.complaint


def test_a_column_split_may_hold_anything_where_no_split_is_read(
    command, tiny_run, manifest, tmp_path
):
    path = manifest(spoil("split", "holdout", slice(0, 3)))
    assert command("data", "check", path).status == 0
    assert command("predict", tiny_run, path, "-o", tmp_path / "p.csv").status == 0
    result = command("data", "audit", path, "--quick")
    assert result.status == 1
    assert "'holdout'" in result.complaint
