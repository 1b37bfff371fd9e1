"""``export``: a file for other programs that says what the model says."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from tests.facts import tells

import eosin
from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.commands.export import check_outputs
from eosin.core.errors import ArtifactError
from eosin.exporting.groovy import write_script
from eosin.inference.classifier import Classifier
from eosin.inference.selftest import unpack_images
from eosin.recipe import recipe_from_dict


def run_alone(path, images):
    """Run a self-contained file as a program without Eosin would."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images})
    return found, session.get_modelmeta().custom_metadata_map


def photos(folder, n=3):
    return [np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.png"))[:n]]


def probabilities(model, images):
    table = eosin.load(model).predict(images).table
    return table[[name for name in table if name.startswith("prob_")]].to_numpy()


def test_one_file_from_pixels_to_probabilities(command, tiny_run, tiny_phantom, tmp_path):
    folder = tmp_path / "exported"
    result = command("export", tiny_run, "--to", "onnx", "-o", folder)
    assert result.status == 0, result.err
    assert tells(result.out, folder / "classifier.onnx", "8 images", "enlarged")
    images = photos(tiny_phantom)
    found, facts = run_alone(folder / "classifier.onnx", np.stack(images))
    assert found.dtype == np.float32
    assert found == pytest.approx(probabilities(tiny_run, images), abs=1e-5)
    info = read_document(folder / "model.json", ModelInfo)
    assert json.loads(facts["class_names"]) == list(info.class_names)
    assert json.loads(facts["threshold"]) == info.threshold.value
    assert (facts["positive"], facts["intended_use"]) == (info.positive, info.intended_use)
    assert json.loads(facts["mpp"]) == info.mpp
    # The folder is a model folder as before, with its network unchanged.
    assert (
        ModelFolder(folder).onnx.read_bytes() == ModelFolder(tiny_run / "model").onnx.read_bytes()
    )
    assert command("predict", folder, "--selftest").status == 0
    (folder / "classifier.onnx").write_bytes(b"another")
    assert "classifier.onnx" in command("predict", folder, "--selftest").complaint


def test_the_file_resizes_as_eosin_reads(tiny_run, tiny_phantom, tmp_path):
    result = eosin.export(tiny_run, to="onnx", output=tmp_path / "exported")
    for size in ((90, 70), (64, 64), (33, 141), (20, 20)):
        images = [
            np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
            for image in photos(tiny_phantom)
        ]
        found, _ = run_alone(result.file, np.stack(images))
        assert found == pytest.approx(probabilities(tiny_run, images), abs=1e-2)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"resize": "centre_crop", "preprocessing": "caffe"}},
        {"model": {"resize": "none"}, "augment": {"test_time": "dihedral"}},
        {"augment": {"test_time": "dihedral"}},
    ],
    ids=["cropped, BGR", "not resized, eight views", "resized, eight views"],
)
def test_other_ways_of_reading(changes, tiny_values, tiny_phantom, tiny_run, tmp_path):
    values = tiny_values(tiny_phantom)
    for section, settings in changes.items():
        values[section] = {**values.get(section, {}), **settings}
    values["train"]["epochs"] = 1
    run = eosin.train(recipe_from_dict(values), output=tmp_path / "run").run
    result = eosin.export(run, to="onnx", output=tmp_path / "exported")
    images = photos(tiny_phantom)
    if values["model"].get("resize") != "none":
        images = [np.asarray(Image.fromarray(image).resize((99, 71))) for image in images]
    found, _ = run_alone(result.file, np.stack(images))
    assert found == pytest.approx(probabilities(run, images), abs=1e-2)
    assert "probability_gap" in repr(result)


def test_an_ensemble_of_folds(folds_run, tiny_phantom, tmp_path):
    result = eosin.export(folds_run, to="onnx", output=tmp_path / "exported")
    images = photos(tiny_phantom)
    found, _ = run_alone(result.file, np.stack(images))
    assert found == pytest.approx(probabilities(folds_run, images), abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("changes", [{}, {"augment": {"test_time": "dihedral"}}])
def test_torchscript_says_the_same(changes, tiny_values, tiny_phantom, tiny_run, tmp_path):
    values = tiny_values(tiny_phantom, **changes)
    values["model"] |= {"preprocessing": "caffe"}
    values["train"]["epochs"] = 1
    run = eosin.train(recipe_from_dict(values), output=tmp_path / "run").run
    result = eosin.export(run, to="torchscript", output=tmp_path / "exported")
    assert result.parity["n_images"] == 8
    images = np.stack(photos(tiny_phantom, 1))
    network = torch.jit.load(str(result.file))
    logits = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    found = logits.softmax(-1).detach().numpy()
    assert found == pytest.approx(probabilities(run, list(images)), abs=1e-5)
    assert eosin.load(result.folder).selftest().agreement.n_images == 8


def test_ensembles_become_torchscript(folds_run, tiny_run, tiny_values, tiny_phantom, tmp_path):
    values = tiny_values(tiny_phantom)
    values["model"] |= {"input_px": 52, "preprocessing": "caffe"}
    values["train"]["epochs"] = 1
    small = eosin.train(recipe_from_dict(values), output=tmp_path / "small").run
    joined = eosin.ensemble([tiny_run, small], output=tmp_path / "joined").run
    for name, run in (("folds", folds_run), ("chosen", joined)):
        result = eosin.export(run, to="torchscript", output=tmp_path / name)
        assert result.parity["probability_gap"] <= 1e-4


def test_a_folder_for_qupath_and_wsinfer(command, model, tmp_path):
    edit(model, lambda values: values.update(mpp=None))
    folder = tmp_path / "qupath"
    result = command("export", model, "--to", "wsinfer", "-o", folder)
    assert (result.status, folder.exists()) == (2, False)
    assert "--mpp" in result.complaint
    assert command("export", model, "--to", "wsinfer", "--mpp", "-1", "-o", folder).status == 2
    result = command("export", model, "--to", "wsinfer", "--mpp", "0.5", "-o", folder)
    assert result.status == 0, result.err
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "apply_threshold.groovy", "config.json", "torchscript_model.pt"),
        "wsinfer-zoo-registry.json",
    ]
    config = json.loads((folder / "config.json").read_text())
    resize, tensor, normalise = config.pop("transform")
    assert config == {
        "spec_version": "1.0",
        "architecture": "light_cnn",
        "num_classes": 2,
        "class_names": ["benign", "malignant"],
        "patch_size_pixels": 64,
        "spacing_um_px": 0.5,
    }
    assert resize == {"name": "Resize", "arguments": {"size": 64}}
    assert (tensor["name"], normalise["name"]) == ("ToTensor", "Normalize")
    assert json.loads((folder / "wsinfer-zoo-registry.json").read_text()) == {"models": {}}
    assert "Research use only" in (folder / "README.md").read_text()
    script = (folder / "apply_threshold.groovy").read_text()
    threshold = read_document(model / "model.json", ModelInfo).threshold.value
    assert tells(script, "['benign', 'malignant']", "'malignant'", f"{threshold}d", "setPathClass")


def test_a_known_scale_is_kept(command, model, tmp_path):
    edit(model, lambda values: values.update(mpp=0.25))
    result = command("export", model, "--to", "wsinfer", "--mpp", "0.5", "-o", tmp_path / "out")
    assert result.status == 2
    assert "0.25" in result.complaint


def test_names_are_text_in_the_script(tiny_run, tmp_path):
    info = read_document(tiny_run / "model" / "model.json", ModelInfo)
    names = ("it's ${1}", 'a "b" \\ ü')
    none = info.threshold.model_copy(update={"value": None})
    changes = {"class_names": names, "threshold": none, "abstention": None}
    write_script(tmp_path / "script.groovy", info.model_copy(update=changes))
    text = (tmp_path / "script.groovy").read_text()
    assert r"""def names = ['it\'s ${1}', 'a "b" \\ \u00fc']""" in text.splitlines()


def edit(model, change):
    values = json.loads((model / "model.json").read_text())
    change(values)
    (model / "model.json").write_text(json.dumps(values))


def test_models_that_no_fixed_graph_repeats_are_refused(
    command, model, tiny_values, tiny_phantom, tmp_path
):
    values = tiny_values(tiny_phantom, stain={"method": "reinhard"})
    values["train"]["epochs"] = 1
    run = eosin.train(recipe_from_dict(values), output=tmp_path / "run").run
    output = tmp_path / "exported"
    result = command("export", run, "--to", "onnx", "-o", output)
    assert (result.status, output.exists()) == (1, False)
    assert tells(result.complaint, "stain", "reinhard")
    edit(model, lambda values: values.pop("selftest"))
    assert "test images" in command("export", model, "--to", "onnx", "-o", output).complaint
    (model / "model.onnx").unlink()
    edit(model, lambda values: values["files"].pop("model.onnx"))
    assert "PyTorch" in command("export", model, "--to", "onnx", "-o", output).complaint


def test_what_cannot_be_written_is_told(command, model, tmp_path):
    output = tmp_path / "exported"
    result = command("export", model, "--to", "tensorflow", "-o", output)
    assert result.status == 2
    assert tells(result.complaint, "tensorflow", "onnx")
    output.mkdir()
    (output / "mine").touch()
    assert command("export", model, "--to", "onnx", "-o", output).status == 1
    assert [path.name for path in output.iterdir()] == ["mine"]


def test_a_file_with_other_outputs_is_not_kept(model, tmp_path):
    # The gate itself: probabilities within the limit, and labels.
    classifier = Classifier(model)
    images = unpack_images(classifier.info)
    found = classifier.probabilities(classifier.logits(images))
    assert check_outputs(classifier, images, found, 1e-4) <= 1e-6
    for wrong in (found[:, ::-1], found + np.array([1e-3, -1e-3]), found * np.nan):
        with pytest.raises(ArtifactError, match="nothing was written"):
            check_outputs(classifier, images, wrong, 1e-4)
