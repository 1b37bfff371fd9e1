"""``model.backend = "numpy"``: the same recipe, run folder and verbs, with and without PyTorch."""

import re

import numpy as np
import onnx
import pandas as pd
import pytest
from safetensors.numpy import load_file

import eosin
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.metrics import read_metrics
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import read_history, read_predictions
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import read_document
from eosin.inference.classifier import Classifier
from eosin.inference.engine import EngineNetwork
from eosin.inference.onnx import OnnxNetwork

WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder

class Without:  # as if they were not installed
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "onnx"):
            return None
        return PathFinder.find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from eosin.__main__ import call
recipe, run, work = sys.argv[1:]
statuses = [
    call(["train", recipe, "--plan"], debug=True),
    call(["train", recipe, "-o", run], debug=True),
    call(["evaluate", run, "-o", f"{work}/judged"], debug=True),
    call(["predict", f"{run}/model", f"{run}/samples", "-o", f"{work}/preds.csv"], debug=True),
    call(["report", run], debug=True),
]
assert statuses == [0] * 5, statuses
assert "torch" not in sys.modules
"""
NUMPY = {"model": {"name": "light_cnn", "input_px": 51, "backend": "numpy"}}


def test_a_split_without_pytorch(process, command, recipe_file, tmp_path):
    recipe = recipe_file(**NUMPY, train={"epochs": 2, "evaluations_per_epoch": 2})
    run = RunFolder(tmp_path / "run")
    result = process(WITHOUT_TORCH, recipe, run.root, tmp_path)
    assert result.status == 0, result.err
    assert "cpu (NumPy engine)" in result.err
    assert len(read_history(run.history)) == 4
    model = ModelFolder(run.model)
    assert not model.onnx.exists()
    assert read_document(model.info, ModelInfo).parity["max_probability_gap"] < 1e-6
    assert (
        read_metrics(tmp_path / "judged" / "metrics.json")["test"]
        == read_metrics(run.metrics)["test"]
    )
    assert len(pd.read_csv(tmp_path / "preds.csv")) > 0
    # The engine's own file holds the same network.
    done = command("convert", run.best_npz, "-o", tmp_path / "best.safetensors")
    assert done.status == 0, done.err
    made, kept = load_file(tmp_path / "best.safetensors"), load_file(model.weights)
    assert made.keys() == kept.keys()
    assert all(np.array_equal(made[name], kept[name]) for name in kept)


def test_a_leaky_network_is_exported_and_predicts_in_both(recipe_file, tmp_path):
    arguments = {"arguments": {"activation": "leaky_relu"}}
    recipe = recipe_file(model={**NUMPY["model"], **arguments}, train={"epochs": 1})
    folder = ModelFolder(RunFolder(eosin.train(recipe, output=tmp_path / "run").run).model)
    exported = onnx.load(folder.onnx).graph.node
    slopes = [node.attribute[0].f for node in exported if node.op_type == "LeakyRelu"]
    assert slopes == pytest.approx([0.01] * 3)
    info = read_document(folder.info, ModelInfo)
    images = np.random.default_rng(0).normal(0, 1, (5, 3, 51, 51)).astype(np.float32)
    found, expected = EngineNetwork(folder.weights, info), OnnxNetwork(folder.onnx)
    np.testing.assert_allclose(found.run(images), expected.run(images), rtol=1e-4, atol=1e-4)
    plain = info.model_copy(update={"arguments": {"input_px": 51}})
    assert not np.allclose(EngineNetwork(folder.weights, plain).run(images), expected.run(images))


def test_folds_with_and_without_pytorch(process, command, recipe_file, tmp_path):
    split = {"protocol": "folds", "k": 2, "val": 0.4}
    recipe = recipe_file(**NUMPY, data={"split": split}, train={"epochs": 1})
    result = process(WITHOUT_TORCH, recipe, tmp_path / "a", tmp_path)
    assert result.status == 0, result.err
    done = command("train", recipe, "-o", tmp_path / "b")
    assert done.status == 0, done.err
    bare, full = RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")
    assert not ModelFolder(bare.model).onnx.exists()
    assert ModelFolder(full.model).onnx.exists()
    tables = [read_predictions(run.predictions) for run in (bare, full)]
    for name in ("prob_benign", "prob_malignant"):
        np.testing.assert_allclose(*(table[name] for table in tables), atol=1e-4)
    # Each fold tells its own time; the run's is their sum.
    own, *folds = (
        read_document(run.environment, Environment).seconds["train"]
        for run in (full, full.fold(0, 0), full.fold(0, 1))
    )
    assert own == pytest.approx(sum(folds), abs=0.02)
    # The model that averages the folds: in the engine, and in ONNX Runtime.
    info = read_document(ModelFolder(full.model).info, ModelInfo)
    size = info.preprocessing.input_px
    images = np.random.default_rng(0).integers(0, 256, (5, *size, 3)).astype(np.uint8)
    ours, theirs = (Classifier(run.model) for run in (bare, full))
    np.testing.assert_allclose(
        *(one.probabilities(one.logits(images)) for one in (ours, theirs)), atol=1e-4
    )


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"train": {"optimizer": "adamw"}}, "train.optimizer"),
        ({"train": {"clip_gradient": 1.0}}, "train.clip_gradient"),
        ({"train": {"batch_norm": "recalibrated"}}, "train.batch_norm"),
        ({"train": {"weight_averaging": "ema"}}, "train.weight_averaging"),
        ({"train": {"mixup": 0.2}}, "train.mixup"),
        ({"train": {"label_smoothing": 0.1}}, "train.label_smoothing"),
        ({"train": {"teachers": ["runs/a"]}}, "train.teachers"),
        ({"train": {"schedule": {"warmup": 0.5}}}, "train.schedule.warmup"),
        ({"train": {"schedule": {"name": "plateau"}}}, "train.schedule.name"),
        ({"train": {"threads": 1}}, "train.threads"),
        ({"transfer": {"source": "imagenet"}}, "transfer.source"),
    ],
)
def test_what_the_engine_does_not_have_is_refused(command, recipe_file, tmp_path, sections, key):
    result = command("train", recipe_file(**NUMPY, **sections), "-o", tmp_path / "run")
    assert result.status == 2
    assert f"'{key}'" in result.complaint
    assert not (tmp_path / "run").exists()


def test_all_that_the_engine_does_not_have_is_named_at_once(command, recipe_file, tmp_path):
    sections = {
        "transfer": {"source": "imagenet", "freeze": "backbone"},
        "train": {"clip_gradient": 1.0, "compile": True, "schedule": {"name": "plateau"}},
    }
    line = ("train", recipe_file(**NUMPY, **sections), "--plan")
    result = command(*line)
    assert result.status == 2
    typed = re.findall(r"--set \S+?(?=[,;.]? )", result.complaint)
    assert len(typed) == 5
    again = command(*line, *(word for option in typed for word in option.split()))
    assert again.status == 0, again.err


def test_another_network_is_refused(command, recipe_file, tmp_path):
    model = {**NUMPY["model"], "name": "vgg16"}
    result = command("train", recipe_file(model=model), "-o", tmp_path / "run")
    assert result.status == 2
    assert "unknown model of the NumPy engine 'vgg16'. Known: light_cnn" in result.complaint


def test_a_training_that_diverges_ends_in_one_line(command, recipe_file, tmp_path):
    recipe = recipe_file(**NUMPY, train={"lr": 1e30})
    result = command("train", recipe, "-o", tmp_path / "run")
    assert result.status == 1
    assert "the loss is nan at step 2: the output of " in result.complaint
    assert "RuntimeWarning" not in result.err
