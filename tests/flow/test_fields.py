"""A model of fields: one model that takes a field, in every command."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.facts import tells

import eosin
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.images.crops import crop_origins
from eosin.images.preprocess import read_image, to_input
from eosin.inference.classifier import Classifier
from eosin.inference.engine import EngineNetwork
from eosin.networks import build_network
from eosin.networks.registry import count_macs
from eosin.recipe import recipe_from_dict
from eosin.training.checkpoints import load_weights

FIELD, SIDE = (56, 84), 52


@pytest.fixture(scope="module")
def squashed(once, tiny_run, tiny_phantom):
    """Return a table of fields that were squashed to squares: their scale is stated nowhere."""

    def fill(folder):
        table = pd.read_csv(tiny_run / "manifest.csv", dtype=str)
        table["path"] = [str(tiny_phantom / path) for path in table["path"]]
        table[["path", "label", "patient"]].to_csv(folder / "squashed.csv", index=False)

    return once("squashed", fill) / "squashed.csv"


@pytest.fixture(scope="module")
def values(tiny_values, squashed):
    made = tiny_values("")
    made["data"] = {
        "manifest": str(squashed),
        "positive": "malignant",
        "split": {"protocol": "folds", "k": 2, "val": 0.4},
    }
    made["model"] |= {"input_px": SIDE, "field_px": FIELD, "mpp": 0.5}
    made["augment"] = {"policy": "dihedral", "test_time": "dihedral"}
    return made


@pytest.fixture(scope="module")
def run(once, values):
    """Return a finished run of fields, in two folds; copy it before changing it."""
    recipe = recipe_from_dict(values)
    return once("fields", lambda folder: eosin.train(recipe, output=folder / "run")) / "run"


@pytest.fixture(scope="module")
def fold(run):
    return RunFolder(run).fold(0, 0)


def test_the_model_says_what_it_takes(run, fold):
    for folder in (ModelFolder(fold.model), ModelFolder(run / "model")):
        info = read_document(folder.info, ModelInfo)
        assert info.preprocessing.input_px == FIELD
        assert info.preprocessing.crop_px == info.arguments["input_px"] == SIDE
        assert info.mpp == 0.5
        network = build_network("light_cnn", num_classes=2, input_px=SIDE, arguments={})
        n_members = info.arguments.get("members", 1)
        assert info.macs == n_members * 4 * count_macs(network, SIDE)
    assert info.preprocessing.network_px == SIDE
    page = (run / "report.html").read_text(encoding="utf-8")
    assert tells(page, "56×84 px", "4 crops", "52×52 px")


def test_a_prediction_is_the_mean_over_crops_and_flips(fold, squashed):
    """By hand, with the network that was trained on crops."""
    folder = ModelFolder(fold.model)
    info = read_document(folder.info, ModelInfo)
    network = build_network("light_cnn", num_classes=2, input_px=SIDE, arguments={}).eval()
    load_weights(folder.weights, network)
    paths = [Path(path) for path in pd.read_csv(squashed)["path"][:3]]
    images = np.stack([read_image(path, None, info.preprocessing) for path in paths])
    field = torch.from_numpy(to_input(images, info.preprocessing))
    views = [field, field.flip(2), field.flip(3), field.flip(2, 3)]
    origins = crop_origins(info.preprocessing)
    assert len(origins) == 4
    with torch.inference_mode():
        mean = torch.stack(
            [
                network(view[:, :, top : top + SIDE, left : left + SIDE]).double().softmax(-1)
                for view in views
                for top, left in origins
            ]
        ).mean(0)
    expected = (mean.log() / info.temperature).softmax(-1).numpy()
    table = eosin.load(fold.root).predict(paths).table
    found = table[["prob_benign", "prob_malignant"]].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_folds_evaluate_and_predict_agree(run, fold, tmp_path):
    known = pd.read_csv(run / "predictions.csv")
    known = known[(known["split"] == "oof") & (known["fold"] == 0)]
    places = [(run / path).resolve() for path in known["path"]]
    assert len(places) > 10
    table = known[["label", "patient"]].assign(path=places)
    table.to_csv(tmp_path / "other.csv", index=False)
    predicted = eosin.load(fold.root).predict(places).table
    result = eosin.evaluate(fold.root, data=tmp_path / "other.csv", output=tmp_path / "out")
    evaluated = pd.read_csv(RunFolder(result.folder).predictions)
    for found in (predicted, evaluated):
        names = [Path(path).name for path in found["path"]]
        assert names == [place.name for place in places]
        np.testing.assert_allclose(found["prob_malignant"], known["prob_malignant"], atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_exports_take_fields(run, squashed, tmp_path):
    paths = list(pd.read_csv(squashed)["path"][:3])
    table = eosin.load(run).predict(paths).table
    expected = table[["prob_benign", "prob_malignant"]].to_numpy()
    onnx = eosin.export(run, to="onnx", output=tmp_path / "onnx")
    session = onnxruntime.InferenceSession(str(onnx.file), providers=["CPUExecutionProvider"])
    images = np.stack([np.asarray(Image.open(path)) for path in paths])
    (found,) = session.run(None, {"images": images})
    np.testing.assert_allclose(found, expected, atol=1e-2)  # it resizes by itself
    assert json.loads(session.get_modelmeta().custom_metadata_map["mpp"]) == 0.5
    torchscript = eosin.export(run, to="torchscript", output=tmp_path / "torchscript")
    assert torchscript.parity["probability_gap"] <= 1e-5
    assert eosin.load(run).selftest().agreement.max_probability_gap <= 1e-5


def test_the_numpy_engine_takes_fields_too(fold):
    folder = ModelFolder(fold.model)
    info = read_document(folder.info, ModelInfo)
    bare = info.model_copy(update={"test_time": "none"})
    onnx = Classifier(fold.model, info=bare)
    images = np.random.default_rng(0).integers(0, 256, (3, *FIELD, 3), dtype=np.uint8)
    inputs = to_input(images, info.preprocessing)
    found = EngineNetwork(folder.weights, info).run(inputs)
    np.testing.assert_allclose(np.exp(found), np.exp(onnx.logits(images)), atol=1e-5)


def test_maps_are_of_fields(command, run, squashed, tmp_path):
    path = pd.read_csv(squashed)["path"][0]
    for method in ("gradcam", "occlusion", "integrated_gradients"):
        out = tmp_path / method
        done = command("explain", run, path, "--method", method, "--feature-maps", "-o", out)
        assert done.status == 0, done.err
        (file,) = (out / "maps").glob("*.npz")
        with np.load(file) as found:
            assert found["map"].shape == FIELD
    record = json.loads((tmp_path / "gradcam" / "explanations.json").read_text())
    assert tells(record["settings"], "4 mirrored", "2 members", "4 crops")
    assert all("first of 4 crops" in name for name in record["layers"])
    assert tells(record["layers"][0], "features.2")
