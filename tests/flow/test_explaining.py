"""What ``explain`` writes: overlays, numbers, table, record, page; what it refuses."""

import html
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.facts import tells

import eosin
from eosin.artifacts.explanations import ExplanationRecord
from eosin.artifacts.versioned import read_document
from eosin.core.files import sha256_file
from eosin.explanation.evidence import FLAT


@pytest.fixture
def two(images):
    """The paths of an image of either class."""
    return [sorted((images / name).rglob("*.png"))[0] for name in ("benign", "malignant")]


@pytest.mark.parametrize("method", ["gradcam", "integrated_gradients", "occlusion", "rise"])
def test_each_image_gets_an_overlay_numbers_and_a_row(command, tiny_run, two, tmp_path, method):
    if method == "integrated_gradients":
        pytest.importorskip("captum", reason="integrated gradients need captum")
    out = tmp_path / "out"
    line = ("explain", tiny_run, *two, "--method", method, "-o", out)
    result = command(*line)
    assert result.status == 0
    assert str(out / "report.html") in result.out
    table = pd.read_csv(out / "explanations.csv")
    predicted = eosin.predict(tiny_run, two).table
    same = [column for column in predicted if column.startswith("prob_")]
    np.testing.assert_allclose(table[same], predicted[same])
    assert list(table["explained"]) == list(predicted["decision"])
    record = read_document(out / "explanations.json", ExplanationRecord)
    assert (record.method, record.n_images, record.n_skipped) == (method, 2, 0)
    assert record.table_sha256 == sha256_file(out / "explanations.csv")
    assert record.n_masks is None or str(record.n_masks) in record.settings
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    for row in table.to_dict("records"):
        share = row[f"prob_{row['explained']}"]
        assert row["log_odds"] == pytest.approx(np.log(share / (1 - share)), abs=1e-4)
        with np.load(out / "maps" / f"{row['file']}.npz") as numbers:
            evidence = numbers["map"]
        assert evidence.shape == (64, 64)
        assert row["for"] == pytest.approx(max(0, evidence.max()))
        assert row["against"] == pytest.approx(min(0, evidence.min()))
        assert row["flat"] == (np.ptp(evidence) <= FLAT)
        with Image.open(out / "overlays" / f"{row['file']}.png") as overlay:
            assert overlay.width > overlay.height
        assert row["path"].rpartition("/")[2] in page
    assert tells(page, method, record.settings)


def test_both_classes_can_be_explained_of_one_image(tiny_run, two, tmp_path):
    maps = []
    for target in ("benign", "malignant"):
        made = eosin.explain(
            tiny_run, two[0], method="occlusion", target=target, output=tmp_path / target
        )
        assert list(made.table["explained"]) == [target]
        with np.load(made.folder / "maps" / f"{made.table['file'][0]}.npz") as numbers:
            maps.append(numbers["map"])
    np.testing.assert_allclose(maps[0], -maps[1], atol=1e-4)


def test_the_maps_of_folds_are_named(run_of, two, tmp_path):
    made = eosin.explain(run_of("folds"), two[0], method="gradcam", output=tmp_path / "out")
    assert made.record.members == ["fold 0-0", "fold 0-1", "fold 0-2"]
    with np.load(made.folder / "maps" / f"{made.table['file'][0]}.npz") as numbers:
        assert list(numbers["names"]) == made.record.members
        assert len(numbers["members"]) == 3
        np.testing.assert_allclose(numbers["map"], numbers["members"].mean(axis=0), atol=1e-5)
    page = html.unescape((made.folder / "report.html").read_text(encoding="utf-8"))
    assert all(name in page for name in made.record.members)


@pytest.mark.parametrize("method", ["gradcam", "integrated_gradients"])
def test_without_torch_the_error_names_what_installs_it_and_another_method(
    process, run_of, two, tmp_path, method
):
    code = (
        "import sys, eosin\n"
        "sys.modules['torch'] = None\n"
        "try: eosin.explain(*sys.argv[1:3], method=sys.argv[3], output=sys.argv[4])\n"
        "except eosin.MissingPartError as error: print(error)"
    )
    done = process(code, run_of("folds"), two[0], method, tmp_path / "out")
    assert all(fact in done.out for fact in ("eosin[train]", "method='occlusion'")), done.err


def test_without_images_a_run_s_own_wrong_and_right_decisions_are_explained(
    command, run_of, tmp_path
):
    run, out = run_of("grouped"), tmp_path / "out"
    result = command("explain", run, "-o", out, "--feature-maps", "--json")
    assert result.status == 0, result.complaint
    record = json.loads(result.out)["record"]
    table = pd.read_csv(out / "explanations.csv")
    predictions = pd.read_csv(run / "predictions.csv")
    predictions = predictions[predictions["split"] == "test"]
    right = predictions["decision"] == predictions["label"]
    assert list(table["correct"]) == [False] * min(6, (~right).sum()) + [True] * min(6, right.sum())
    assert list(table["correct"]) == list(table["decision"] == table["label"])
    known = {path.rpartition("/")[2]: label for path, label in
             zip(predictions["path"], predictions["label"], strict=True)}  # fmt: skip
    names = [path.rpartition("/")[2] for path in table["path"]]
    assert [known[name] for name in names] == list(table["label"])
    assert record["chosen"]
    assert len(list((out / "feature_maps").iterdir())) == len(table)
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    assert tells(page, "Wrong decisions", "Feature maps", record["chosen"])


def test_the_images_of_a_run_are_found_after_a_move(run_of, tmp_path):
    moved = shutil.copytree(run_of("grouped"), tmp_path / "elsewhere" / "run")
    made = eosin.explain(moved, method="gradcam", output=tmp_path / "out")
    assert len(made.table) > 6


def test_a_run_of_folds_names_a_fold(command, run_of, tmp_path):
    result = command("explain", run_of("folds"), "-o", tmp_path / "out")
    assert result.status in {1, 2}
    assert str(run_of("folds") / "folds" / "0-0") in result.complaint
    made = eosin.explain(
        run_of("folds") / "folds" / "0-0", method="gradcam", output=tmp_path / "out"
    )
    assert set(made.table["correct"]) <= {True, False}


def test_labels_come_from_a_table_or_from_folders_of_classes(run_of, two, images, tmp_path):
    table = pd.DataFrame({"path": [str(p) for p in two], "label": ["benign", "other"]})
    table.to_csv(tmp_path / "table.csv", index=False)
    for given in (table, tmp_path / "table.csv"):
        out = tmp_path / type(given).__name__
        made = eosin.explain(run_of("grouped"), given, method="gradcam", output=out)
        first, second = made.table.to_dict("records")
        assert first["label"] == "benign"
        assert first["correct"] == (first["decision"] == "benign")
        # A class that the model does not have is no label.
        assert (second["label"], second["correct"]) == ("", "")
    some = tmp_path / "classes"
    for path, name in zip(two, ("benign", "malignant"), strict=True):
        (some / name).mkdir(parents=True)
        for number in range(2):
            shutil.copy(path, some / name / f"{number}.png")
    made = eosin.explain(run_of("grouped"), some, method="gradcam", output=tmp_path / "folder")
    assert list(made.table["label"]) == ["benign"] * 2 + ["malignant"] * 2
    unlabelled = eosin.explain(run_of("grouped"), some / "benign", output=tmp_path / "one")
    assert "label" not in unlabelled.table


def test_the_number_of_masks_can_be_chosen(command, tiny_run, two, tmp_path):
    line = ("explain", tiny_run, two[0], "--method", "rise", "--masks", "40", "-o", tmp_path / "a")
    assert command(*line, "--json").status == 0
    record = read_document(tmp_path / "a" / "explanations.json", ExplanationRecord)
    assert record.n_masks == 40
    refused = command("explain", tiny_run, two[0], "--masks", "40", "-o", tmp_path / "b")
    assert refused.status in {1, 2}
    assert "rise" in refused.complaint
    with pytest.raises(eosin.UsageError, match="0"):
        eosin.explain(tiny_run, two[0], method="rise", masks=0, output=tmp_path / "b")


def test_no_image_is_an_error_where_some_were_asked_for(tiny_run, tmp_path):
    with pytest.raises(eosin.UsageError, match="no image"):
        eosin.explain(tiny_run, [], output=tmp_path / "out")
    with pytest.raises(eosin.UsageError, match="no image"):
        eosin.explain(tiny_run / "model", output=tmp_path / "out")


def test_without_a_method_a_network_without_pooling_is_occluded(tiny_run, two, tmp_path):
    assert eosin.explain(tiny_run, two[0], output=tmp_path / "out").record.method == "occlusion"


def test_unreadable_images_are_listed_and_the_rest_is_explained(
    command, tiny_run, images, two, cut, tmp_path
):
    cut(two[0])
    out = tmp_path / "out"
    assert command("explain", tiny_run, *two, "-o", out).status == 1
    assert len(pd.read_csv(out / "explanations.csv")) == 1
    assert list(pd.read_csv(out / "skipped.csv")["path"]) == [str(two[0])]
    line = ("explain", tiny_run, *two, "-o", tmp_path / "allowed", "--allow-skipped")
    assert command(*line).status == 0


def test_images_in_memory_are_explained(tiny_run, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)
    made = eosin.explain(tiny_run, noise, output=tmp_path / "out")
    assert len(made.table) == 3
    assert made.summary()["images"] == 3


def test_under_pseudonyms_no_name_is_written(command, tiny_run, images, tmp_path, monkeypatch):
    monkeypatch.setenv("EOSIN_PSEUDONYM_KEY", str(tmp_path / "key"))
    out = tmp_path / "out"
    some = tmp_path / "P0007-smith"
    some.mkdir()
    for path in sorted(images.rglob("*.png"))[:3]:
        shutil.copy(path, some / f"{path.stem}.png")
    names = [path.stem for path in some.iterdir()]
    assert command("explain", tiny_run, some, "--pseudonymise", "-o", out).status == 0
    texts = [path.read_text(encoding="utf-8") for path in out.rglob("*.*") if path.suffix != ".npz"
             and path.suffix != ".png"]  # fmt: skip
    assert len(list((out / "overlays").iterdir())) == 3
    for name in [*names, "smith", str(tmp_path)]:
        assert not any(name in text for text in texts)
        assert not list(out.rglob(f"*{name}*"))


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (("--method", "cam"), ("activation map", "occlusion")),
        (("--method", "occlusoin"), ("occlusoin", "occlusion")),
        (("--target", "malignan"), ("malignan", "malignant")),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(
    command, tiny_run, two, tmp_path, options, facts
):
    result = command("explain", tiny_run, two[0], "-o", tmp_path / "out", *options)
    assert result.status in {1, 2}
    assert all(fact in result.complaint for fact in facts)
    assert not (tmp_path / "out").exists()


def test_a_full_folder_is_refused(command, tiny_run, two, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert command("explain", tiny_run, two[0], "-o", tmp_path / "out").status == 1


def test_torch_is_not_imported(process, tiny_run, two, tmp_path):
    code = (
        "import sys, eosin; eosin.explain(sys.argv[1], sys.argv[2], output=sys.argv[3]);"
        "print({'torch', 'timm', 'onnx'} & set(sys.modules))"
    )
    done = process(code, tiny_run, two[0], tmp_path / "out")
    assert done.out.strip() == "set()", done.err


def test_memory_does_not_grow_with_the_number_of_images(tiny_run, two, tmp_path, monkeypatch):
    """At most a chunk of images is held, whatever the number of files."""
    held = []
    original = np.stack

    def watch(arrays, *given, **named):
        arrays = list(arrays)
        held.append(len(arrays))
        return original(arrays, *given, **named)

    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(70):
        shutil.copy(two[0], folder / f"{number}.png")
    monkeypatch.setattr(np, "stack", watch)
    made = eosin.explain(tiny_run, folder, method="occlusion", output=tmp_path / "out")
    assert len(made.table) == 70
    assert max(held) <= 32
    page = json.dumps((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert page.count("data:image/png") <= 24
