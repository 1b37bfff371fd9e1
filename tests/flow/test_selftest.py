"""``predict --selftest``: a model's own test images, run on this machine."""

import base64
import json
import shutil
import zlib

import numpy as np
import pandas as pd
import pytest
from tests.facts import tells
from tests.tiny_runs import relist

import eosin
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.selftest import pack
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError
from eosin.images.preprocess import read_image
from eosin.inference import selftest
from eosin.inference.classifier import MAX_PROBABILITY_GAP, Classifier
from eosin.inference.selftest import unpack_images
from eosin.recipe import recipe_from_dict


def edit(model, change):
    """Change the self-test in a model's ``model.json``."""
    values = json.loads((model / "model.json").read_text())
    change(values["selftest"])
    (model / "model.json").write_text(json.dumps(values))


def test_a_model_agrees_with_what_it_was_saved_with(command, tiny_run, model):
    result = command("predict", tiny_run, "--selftest")
    assert result.status == 0, result.err
    assert tells(result.out, "passed", 8, "ONNX Runtime", "ms per image")
    found = json.loads(command("predict", model, "--selftest", "--json").out)["agreement"]
    assert found["n_images"] == 8
    assert found["max_probability_gap"] <= 1e-6
    assert found["n_other_decisions"] == 0
    assert found["seconds_per_image"] > 0


def test_the_images_are_held_out_ones_with_their_predictions(tiny_run):
    info = read_document(tiny_run / "model" / "model.json", ModelInfo)
    frame = pd.read_csv(tiny_run / "predictions.csv", dtype={"path": str})
    frame = frame[frame["split"] == "val"]
    folder = tiny_run
    read = {
        read_image((folder / row["path"]).resolve(), None, info.preprocessing).tobytes(): row
        for _, row in frame.iterrows()
    }
    for place, image in enumerate(unpack_images(info)):
        row = read[image.tobytes()]
        wanted = [row[f"prob_{name}"] for name in info.class_names]
        assert info.selftest.probabilities[place] == pytest.approx(wanted, abs=1e-6)
        assert info.selftest.decisions[place] == row["decision"]


def test_other_outputs_fail(command, model):
    def change(values):
        values["probabilities"][3] = [0.25, 0.75]
        other = {"benign": "malignant", "malignant": "benign"}
        values["decisions"][:2] = [other[name] for name in values["decisions"][:2]]

    expected = read_document(model / "model.json", ModelInfo).selftest
    edit(model, change)
    result = command("predict", model, "--selftest")
    assert result.status == 1
    gap = abs(expected.probabilities[3][0] - 0.25)
    assert tells(result.complaint, "failed", f"{gap:.2g}", MAX_PROBABILITY_GAP, "2 of 8")


def test_a_model_without_test_images_is_told(command, repository, model):
    old = repository / "tests" / "fixtures" / "model-0.1-numpy"
    for folder in (old, model):
        if folder is model:
            values = json.loads((model / "model.json").read_text())
            values.pop("selftest")
            (model / "model.json").write_text(json.dumps(values))
        result = command("predict", folder, "--selftest")
        assert result.status == 1
        assert tells(result.complaint, "no test images", "earlier version")


def test_only_a_model_is_named(command, model, tiny_phantom):
    result = command("predict", model, tiny_phantom, "--selftest")
    assert result.status == 2
    assert command("predict", model, "--selftest", "-o", "x.csv").status == 2
    result = command("predict", model)
    assert result.status == 2
    assert "no image" in result.complaint


@pytest.mark.parametrize(
    "text",
    [
        "AAAA",
        pack(np.zeros(100, np.uint8)),
        base64.b64encode(zlib.compress(bytes(1 << 26))).decode(),
    ],
    ids=["not compressed", "too short", "too long"],
)
def test_damaged_images_are_refused(command, model, text):
    edit(model, lambda values: values.update(images_base64=text))
    result = command("predict", model, "--selftest")
    assert result.status == 1
    assert "damaged" in result.complaint


def test_counts_that_differ_are_refused(command, model):
    edit(model, lambda values: values["decisions"].pop())
    result = command("predict", model, "--selftest")
    assert result.status == 1
    assert "selftest" in result.complaint


def test_no_torch_is_needed(process, tiny_run):
    code = (
        "import sys; from eosin.__main__ import call\n"
        "assert call(['predict', sys.argv[1], '--selftest']) == 0\n"
        "assert not {'torch', 'onnx'} & sys.modules.keys()"
    )
    assert process(code, tiny_run).status == 0


def test_folds_and_ensembles_have_one(folds_run, tiny_run, tmp_path):
    for model in (folds_run, folds_run / "folds" / "0-0"):
        assert eosin.load(model).selftest().agreement.n_images == 8
    joined = eosin.ensemble([tiny_run, folds_run / "folds" / "0-0"], output=tmp_path / "joined")
    found = eosin.load(joined.run).selftest()
    assert found.agreement.max_probability_gap <= 1e-6
    assert "agreement" not in repr(found)
    assert "max_probability_gap" in repr(found)


@pytest.mark.parametrize("kind", ["engine", "views", "stain"])
def test_other_kinds_of_models_have_one(kind, tiny_values, tiny_phantom, tiny_run, tmp_path):
    values = tiny_values(tiny_phantom)
    values["train"]["epochs"] = 1
    if kind == "engine":
        values["model"]["backend"] = "numpy"
    elif kind == "views":
        values["augment"] = {"test_time": "dihedral"}
    else:
        values["stain"] = {"method": "reinhard"}
    run = eosin.train(recipe_from_dict(values), output=tmp_path / "run").run
    if kind == "engine":
        model = run / "model"
        (model / "model.onnx").unlink()
        listed = json.loads((model / "model.json").read_text())
        listed["files"].pop("model.onnx")
        (model / "model.json").write_text(json.dumps(listed))
    found = eosin.load(run).selftest()
    assert found.engine.startswith("NumPy" if kind == "engine" else "ONNX")
    assert found.agreement.n_images == 8


def test_a_pseudonymised_copy_keeps_it(command, tiny_run, tmp_path):
    copy = tmp_path / "copy"
    result = command("report", tiny_run, "--pseudonymise", "-o", copy)
    assert result.status == 0, result.err
    assert eosin.load(copy).selftest().agreement.n_images == 8
    before, after = (
        read_document(run / "model" / "model.json", ModelInfo) for run in (tiny_run, copy)
    )
    assert after.selftest == before.selftest


def test_letters_by_chance_name_nobody(command, copy_of, tmp_path):
    # A patient called as letters of the packed pixels are.
    run = copy_of("grouped")
    text = read_document(run / "model" / "model.json", ModelInfo).selftest.images_base64
    word = next(part for part in text.replace("+", "/").split("/") if len(part) >= 6)
    moved = tmp_path / "named"
    shutil.copytree(run, moved)
    for name in ("manifest.csv", "predictions.csv"):
        table = pd.read_csv(moved / name, dtype=str)
        first = table["patient"].iloc[0]
        for column in ("patient", "group"):
            table[column] = table[column].where(table[column] != first, word)
        table.to_csv(moved / name, index=False)
    relist(moved)
    result = command("report", moved, "--pseudonymise", "-o", tmp_path / "copy")
    assert result.status == 0, result.err


def test_larger_images_are_fewer(model):
    classifier = Classifier(model)
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    made = selftest.make_selftest(classifier, images)
    assert made.n_images == 4
    assert selftest.make_selftest(classifier, images[:0]) is None
    with pytest.raises(ArtifactError, match="another model"):
        selftest.find_selftest(
            classifier.info.model_copy(update={"class_names": ("a", "b", "c"), "selftest": made})
        )
