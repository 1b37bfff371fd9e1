"""``evaluate``, ``predict`` and ``report`` on folders that do and do not fit."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from tests.facts import tells

from eosin.artifacts.integrity import list_run_files
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.metrics import read_metrics
from eosin.artifacts.predictions import read_predictions

WITHOUT_TORCH = """
import json, sys
from importlib.machinery import PathFinder

class Without:  # as if they were not installed
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in "torch torchvision timm onnx sklearn".split():
            return None
        return PathFinder.find_spec(name, path, target)

    @staticmethod
    def find_distributions(*arguments):
        for found in PathFinder.find_distributions(*arguments):
            if found.name not in "torch torchvision timm onnx sklearn".split():
                yield found

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from eosin.__main__ import call
for line in json.loads(sys.argv[1]):
    print("status", call(line))
"""


def test_a_hospital_without_pytorch(process, tiny_run, tiny_phantom, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    manifest = pd.read_csv(run / "manifest.csv", dtype=str, keep_default_na=False)
    manifest["path"] = [str((tiny_run / path).resolve()) for path in manifest["path"]]
    manifest.to_csv(run / "manifest.csv", index=False)
    list_run_files(RunFolder(run))
    lines = (
        (["evaluate", run, "-o", tmp_path / "judged"], "0", "metrics"),
        (["predict", run, tiny_phantom / "benign"], "0", "prob_malignant"),
        (["report", run], "0", "report.html"),
        (["data", "audit", run / "manifest.csv"], "0", "60 images"),
        (["data", "check", tiny_phantom], "0", "60 images, 0 unreadable"),
        (["data", "list"], "0", "breakhis"),
        (["doctor"], "0", "torch"),
        (["models"], "0", "densenet121"),
        (["models", "densenet121"], "0", "6,955,906"),
        (["models", "light_cnn", "--all"], "0", "total"),
        (["train", run / "recipe.toml"], "1", ""),
    )
    result = process(
        WITHOUT_TORCH, json.dumps([[str(word) for word in line] for line, *_ in lines])
    )
    assert "internal error" not in result.err
    printed = re.split(r"^status (\d)\n", result.out, flags=re.MULTILINE)
    assert [status for _, status, _ in lines] == printed[1::2], result.err
    for (line, _, text), out in zip(lines, printed[::2], strict=False):
        assert text in out, line
    assert tells(result.err.splitlines()[-1], "eosin", "PyTorch", "pip install 'eosin[train]'")
    assert (
        read_metrics(tmp_path / "judged" / "metrics.json")["test"]
        == read_metrics(tiny_run / "metrics.json")["test"]
    )


def test_every_split_can_be_judged_again(command, tiny_run, tmp_path):
    result = command("evaluate", tiny_run, "--split", "val", "-o", tmp_path / "val")
    assert result.status == 0
    assert set(read_metrics(tmp_path / "val" / "metrics.json")) == {"val"}
    result = command("evaluate", tiny_run, "--split", "vall", "-o", tmp_path / "x")
    assert result.status == 2
    assert "no split 'vall'. Did you mean 'val'?" in result.complaint
    assert not (tmp_path / "x").exists()
    result = command("evaluate", tiny_run, "-o", tmp_path / "val")
    assert result.status == 1
    assert "is not empty" in result.complaint


def test_folds_are_judged_each_by_its_own_model(command, folds_run, tmp_path):
    result = command("evaluate", folds_run, "-o", tmp_path / "again")
    assert result.status == 0
    before, after = (
        read_metrics(f / "metrics.json")["oof"] for f in (folds_run, tmp_path / "again")
    )
    assert before == after
    result = command("evaluate", folds_run, "--split", "train", "-o", tmp_path / "x")
    assert result.status == 2
    assert "has the split 'oof'" in result.complaint


def test_an_outside_manifest(command, tiny_run, tmp_path):
    frame = pd.read_csv(tiny_run / "manifest.csv", dtype=str, keep_default_na=False)
    frame["path"] = [str((tiny_run / path).resolve()) for path in frame["path"]]
    frame.to_csv(tmp_path / "outside.csv", index=False)
    output = tmp_path / "external"
    result = command(
        "evaluate", tiny_run / "model", "--data", tmp_path / "outside.csv", "-o", output
    )
    assert result.status == 0
    assert set(read_metrics(output / "metrics.json")) == {"external"}
    assert set(read_predictions(output / "predictions.csv")["split"]) == {"external"}
    # What evaluate writes, it reads.
    again = command(
        "evaluate", tiny_run, "--data", output / "manifest.csv", "-o", tmp_path / "again"
    )
    assert again.status == 0

    frame["label"] = frame["label"].replace("malignant", "tumour")
    frame.to_csv(tmp_path / "other.csv", index=False)
    result = command("evaluate", tiny_run, "--data", tmp_path / "other.csv", "-o", tmp_path / "x")
    assert result.status == 1
    assert "'tumour' (its classes: benign" in result.complaint
    assert not (tmp_path / "x").exists()


def test_folders_that_are_no_run_and_no_model(command, model, tiny_run, tmp_path):
    (tmp_path / "empty").mkdir()
    image = next((tiny_run / "samples").glob("*.jpg"))
    for name, lack in (("empty", "is not a model folder"), ("none", "does not exist")):
        for line in (("evaluate", tmp_path / name), ("report", tmp_path / name)):
            result = command(*line)
            assert result.status == 1
            assert name in result.complaint
        result = command("predict", tmp_path / name, image)
        assert result.status == 1
        assert lack in result.complaint
    result = command("evaluate", model)
    assert result.status == 2
    assert "Name a manifest with --data" in result.complaint


def test_a_run_that_is_not_finished(command, tiny_run, tmp_path):
    run = tmp_path / "half"
    run.mkdir()
    for name in ("recipe.toml", "manifest.csv", "environment.json"):
        shutil.copy(tiny_run / name, run / name)
    for verb in ("evaluate", "report"):
        result = command(verb, run)
        assert result.status == 1
        assert "--resume" in result.complaint


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda model: _remove(model, "onnx", "safetensors"), "safetensors is missing: model.json"),
        (lambda model: (model / "model.onnx").write_bytes(b"none"), "is not the file"),
        (lambda model: (model / "model.json").write_text("{"), "cannot be read as JSON"),
        (lambda model: _version(model, "2.0"), "is in format 2.0; this Eosin reads format 1."),
        (lambda model: _drop(model, "threshold"), "does not fit its schema at threshold"),
    ],
)
def test_a_model_folder_that_is_damaged_or_foreign(command, model, tiny_run, spoil, said):
    spoil(model)
    image = next((tiny_run / "samples").glob("*.jpg"))
    result = command("predict", model, image)
    assert result.status == 1
    assert said in result.complaint


def _remove(model, *endings):
    for ending in endings:
        (model / f"model.{ending}").unlink()


def _version(model, version):
    info = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**info, "format_version": version}))


def _drop(model, key):
    info = json.loads((model / "model.json").read_text())
    info.pop(key)
    (model / "model.json").write_text(json.dumps(info))


def test_a_newer_minor_version_is_read(command, model, tiny_run):
    _version(model, "1.9")
    assert command("predict", model, tiny_run / "samples").status == 0


def test_predictions_are_the_run_s_own(command, tiny_run, tmp_path):
    result = command("predict", tiny_run, tiny_run / "samples", "-o", tmp_path / "preds.csv")
    assert result.status == 0
    assert "research use only" in result.err.lower()
    table = pd.read_csv(tmp_path / "preds.csv")
    assert list(table) == [
        "path", "prob_benign", "prob_malignant", "predicted", "decision", "abstained", "gate",
    ]  # fmt: skip
    threshold = json.loads((tiny_run / "model" / "model.json").read_text())["threshold"]["value"]
    decided = np.where(table["prob_malignant"] >= threshold, "malignant", "benign")
    assert list(table["decision"]) == list(decided)
    for wrong in (tmp_path, tmp_path / "preds.xlsx"):
        result = command("predict", tiny_run, tiny_run / "samples", "-o", wrong)
        assert result.status == 2
        assert tells(result.complaint, "-o needs", ".csv", ".parquet", ".json", ".jsonl")


def test_a_reader_that_leaves_is_no_error(process, tiny_run):
    code = (
        "import subprocess, sys\n"
        "line = [sys.executable, '-m', 'eosin', 'predict', sys.argv[1], *[sys.argv[2]] * 400]\n"
        "eosin = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "print(eosin.stdout.readline().decode().strip())\n"
        "eosin.stdout.close()\n"
        "print(eosin.stderr.read().decode(), eosin.wait())\n"
    )
    result = process(code, tiny_run, tiny_run / "samples" / "example-00.jpg")
    assert result.status == 0, result.err
    first, *rest = result.out.splitlines()
    assert first.startswith("path,prob_benign")
    assert not any("Error" in line or "Traceback" in line for line in rest)
