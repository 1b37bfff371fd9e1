"""A training with everything on: evaluated images are not augmented, and seen in eight views."""

import numpy as np

import eosin
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.manifest import read_manifest
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import read_predictions
from eosin.artifacts.run import SamplesIndex
from eosin.artifacts.versioned import read_document
from eosin.exporting.onnx import MAX_PROBABILITY_GAP
from eosin.images.bank import load_bank
from eosin.inference.classifier import Classifier
from eosin.recipe import recipe_from_dict
from eosin.training.pytorch import TorchLearner

SINGLE_PRECISION = 1e-5  # of probabilities


def test_held_out_images_are_judged_as_stored_in_eight_views(
    tiny_values, tiny_phantom, on_entry, tmp_path
):
    augmented = []
    section = {"policy": "default", "test_time": "dihedral"}
    values = tiny_values(tiny_phantom, augment=section)
    values["train"] = {**values["train"], "epochs": 1}
    with on_entry(TorchLearner.step, lambda given: augmented.append(len(given["batch"][0]))):
        run = RunFolder(eosin.train(recipe_from_dict(values), output=tmp_path / "run").run)
    samples = read_manifest(run.manifest)
    assert sum(augmented) == len(samples.part("train"))

    info = read_document(ModelFolder(run.model).info, ModelInfo)
    assert info.test_time == "dihedral"
    assert info.parity["max_probability_gap"] <= MAX_PROBABILITY_GAP
    bare = Classifier(run.model, info=info.model_copy(update={"test_time": "none"}))
    test = samples.part("test")
    bank, _ = load_bank(test, info.preprocessing)
    images = bank.of(test)[:]
    both = (images, images[:, :, ::-1])
    logits = [bare.logits(np.rot90(seen, k, axes=(1, 2))) for seen in both for k in range(4)]
    views = [np.exp(one) / np.exp(one).sum(axis=1, keepdims=True) for one in logits]
    wanted = bare.probabilities(np.log(np.mean(views, axis=0)))
    result = read_predictions(run.predictions)
    result = result[result["split"] == "test"]
    got = result[[f"prob_{name}" for name in info.class_names]].to_numpy(dtype=float)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=SINGLE_PRECISION)
    roles = [one.role for one in read_document(run.samples_index, SamplesIndex).pictures]
    assert roles.count("augmented") == 8
