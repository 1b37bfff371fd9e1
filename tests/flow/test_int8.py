"""``export --int8``: an 8-bit network that is calibrated, evaluated and recorded."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.facts import tells
from tests.tiny_runs import relist

import eosin
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.commands import export_int8
from eosin.core.errors import ArtifactError
from eosin.inference.classifier import Classifier


@pytest.fixture(scope="module", autouse=True)
def any_loss():
    """Allow any loss: the tiny runs nearly guess, and one pair of images is worth more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_int8, "MAX_AUC_LOSS", 1.0)
        yield


@pytest.fixture(scope="module")
def exported(run_of, tmp_path_factory):
    """Return the export of a run with 8 bits; copy it to change it."""
    folder = tmp_path_factory.mktemp("int8") / "exported"
    return eosin.export(run_of("grouped"), to="onnx", int8=True, output=folder)


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported.folder, tmp_path / "exported")


def read_images(run, part):
    """Return the paths and labels of a part of a run."""
    frame = pd.read_csv(run / "manifest.csv", dtype=str)
    frame = frame[frame["split"] == part]
    return [str((run / path).resolve()) for path in frame["path"]], frame["label"].to_numpy()


def test_the_record_is_what_both_networks_say_on_validation(exported, run_of):
    run, int8 = run_of("grouped"), exported.int8
    images, labels = read_images(run, "val")
    tables = [eosin.load(model).predict(images).table for model in (run, exported.folder)]
    scores = [table["prob_malignant"].to_numpy() for table in tables]
    areas = [roc_auc_score(labels == "malignant", one) for one in scores]
    assert int8.auc.float32.value == pytest.approx(areas[0], abs=1e-9)
    assert int8.auc.int8.value == pytest.approx(areas[1], abs=1e-9)
    assert int8.auc.difference.value == pytest.approx(areas[1] - areas[0], abs=1e-9)
    assert int8.auc.difference.low <= int8.auc.difference.value <= int8.auc.difference.high
    gaps = np.abs(scores[0] - scores[1])
    assert int8.max_probability_gap == pytest.approx(gaps.max(), abs=1e-6) != 0
    assert int8.mean_probability_gap == pytest.approx(gaps.mean(), abs=1e-6)
    others = tables[0]["decision"] != tables[1]["decision"]
    assert int8.n_other_decisions == others.sum()
    assert int8.n_images == len(images)
    assert int8.calibration.n_images == len(read_images(run, "train")[0]) <= 256
    assert int8.calibration.n_patients < int8.calibration.n_images
    folder = ModelFolder(exported.folder)
    assert int8.n_bytes == folder.int8.stat().st_size < int8.n_bytes_float32


def test_the_8_bit_network_predicts_and_says_so(command, exported, run_of, tmp_path):
    images, _ = read_images(run_of("grouped"), "test")
    output = tmp_path / "predictions.csv"
    result = command("predict", exported.folder, *images[:3], "-o", output)
    assert result.status == 0, result.err
    assert "INT8" in result.err
    record = json.loads(output.with_suffix(".json").read_text())
    info = read_document(exported.folder / "model.json", ModelInfo)
    assert record["network_sha256"] == info.files["model.int8.onnx"]
    assert tells(record["engine"], "INT8")
    assert record["temperature"] == info.int8.temperature != info.temperature
    assert record["threshold"]["value"] == info.int8.threshold.value
    card = (exported.folder / "card.md").read_text()
    assert tells(card, "model.int8.onnx predicts", "float32", "not evaluated on test")
    assert "INT8" not in (run_of("grouped") / "model" / "card.md").read_text()


def test_the_float32_network_stays_as_it_was(exported, run_of):
    model = run_of("grouped") / "model"
    folder = ModelFolder(exported.folder)
    assert folder.onnx.read_bytes() == ModelFolder(model).onnx.read_bytes()
    before, after = (read_document(one / "model.json", ModelInfo) for one in (model, folder.root))
    assert (after.temperature, after.threshold) == (before.temperature, before.threshold)
    float32 = Classifier(folder.root, network=folder.onnx)
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    assert (float32.logits(images) == Classifier(model).logits(images)).all()


def test_the_self_test_compares_and_times_both(command, copy):
    result = command("predict", copy, "--selftest")
    assert result.status == 0, result.err
    assert tells(result.out, "INT8", "with float32", "times that of INT8")
    found = json.loads(command("predict", copy, "--selftest", "--json").out)
    for agreement in (found["agreement"], found["float32"]):
        assert agreement["max_probability_gap"] <= 1e-6
        assert agreement["seconds_per_image"] > 0

    def change(values):
        first = values["int8"]["probabilities"][0]
        first[:] = first[::-1]

    values = json.loads((copy / "model.json").read_text())
    change(values)
    (copy / "model.json").write_text(json.dumps(values))
    result = command("predict", copy, "--selftest")
    assert result.status == 1
    assert tells(result.complaint, "failed", "INT8")


def test_an_altered_or_foreign_8_bit_file_is_refused(command, copy, run_of, tmp_path):
    network = ModelFolder(copy).int8
    model = shutil.copytree(run_of("grouped") / "model", tmp_path / "model")
    shutil.copyfile(network, ModelFolder(model).int8)
    assert "does not belong" in command("predict", model, "--selftest").complaint
    network.write_bytes(network.read_bytes()[:-1] + b"?")
    assert "model.int8.onnx" in command("predict", copy, "--selftest").complaint
    network.unlink()
    assert "is missing" in command("predict", copy, "--selftest").complaint


def test_a_damaged_record_is_refused(command, copy):
    values = json.loads((copy / "model.json").read_text())
    quantiles = {"another": 0.5, "class": 0.5}
    values["int8"]["abstention"] |= {"quantiles": quantiles}
    (copy / "model.json").write_text(json.dumps(values))
    result = command("predict", copy, "--selftest")
    assert result.status == 1
    assert tells(result.complaint, copy / "model.json", "abstention.quantiles")


def test_a_network_that_loses_too_much_is_refused(command, exported, run_of, monkeypatch, tmp_path):
    loss, output = -exported.int8.auc.difference.value, tmp_path / "exported"
    line = ("export", run_of("grouped"), "--to", "onnx", "--int8", "-o", output)
    monkeypatch.setattr(export_int8, "MAX_AUC_LOSS", loss - 1e-9)
    result = command(*line)
    assert (result.status, output.exists()) == (1, False)
    assert tells(result.complaint, "AUC", "nothing was written")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(export_int8, "MAX_AUC_LOSS", loss + 1e-9)
    assert command(*line).status == 0


def test_a_loss_that_cannot_be_measured_is_refused(command, copy_of, tmp_path):
    run = copy_of("grouped")
    table = pd.read_csv(run / "manifest.csv", dtype=str)
    odd = (table["split"] == "val") & (table["label"] == "malignant")
    table.loc[odd, "split"] = "train"
    table.to_csv(run / "manifest.csv", index=False)
    relist(run)
    result = command("export", run, "--to", "onnx", "--int8", "-o", tmp_path / "exported")
    assert result.status == 1
    assert tells(result.complaint, "cannot be measured", "malignant")


def test_three_classes_and_unknown_patients(copy_of, tmp_path):
    run = copy_of("three classes")
    table = pd.read_csv(run / "manifest.csv", dtype=str).assign(patient="")
    table.to_csv(run / "manifest.csv", index=False)
    relist(run)
    int8 = eosin.export(run, to="onnx", int8=True, output=tmp_path / "exported").int8
    assert 0 < int8.auc.int8.value <= 1
    assert (int8.n_patients, int8.calibration.n_patients) == (None, None)
    assert int8.threshold.value is None


def test_a_fold_has_images_that_judge_it_but_not_all_together(command, folds_run, tmp_path):
    output = tmp_path / "exported"
    result = command("export", folds_run, "--to", "onnx", "--int8", "-o", output)
    assert (result.status, output.exists()) == (2, False)
    fold = RunFolder(folds_run).fold(0, 0).root
    assert tells(result.complaint, "folds", fold)
    result = command("export", fold, "--to", "onnx", "--int8", "-o", output)
    assert result.status == 0, result.err


def test_chosen_runs_keep_their_mean_threshold(run_of, tmp_path):
    joined = eosin.ensemble([run_of("grouped"), run_of("image")], output=tmp_path / "joined").run
    exported = eosin.export(joined, to="onnx", int8=True, output=tmp_path / "exported")
    info = read_document(exported.folder / "model.json", ModelInfo)
    assert info.int8.threshold == info.threshold
    assert info.int8.temperature == info.temperature
    assert eosin.load(exported.folder).selftest().float32 is not None


def test_what_knows_no_images_is_told(command, exported, run_of, tmp_path):
    output = tmp_path / "out"
    model = run_of("grouped") / "model"
    result = command("export", model, "--to", "onnx", "--int8", "-o", output)
    assert (result.status, output.exists()) == (2, False)
    assert tells(result.complaint, "contains no images", run_of("grouped").resolve())
    result = command("export", model, "--to", "torchscript", "--int8", "-o", output)
    assert (result.status, output.exists()) == (2, False)
    with pytest.raises(ArtifactError, match="8-bit"):
        eosin.export(exported.folder, to="onnx", output=output)


def test_maps_of_the_float32_network_are_not_shown_for_it(command, exported, run_of, tmp_path):
    image = read_images(run_of("grouped"), "test")[0][0]
    for method in ("cam", "gradcam", "integrated_gradients"):
        result = command(
            "explain", exported.folder, image, "--method", method, "-o", tmp_path / method
        )
        assert result.status == 2
        assert "occlusion" in result.complaint
