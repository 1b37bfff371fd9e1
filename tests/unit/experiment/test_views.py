"""Averages over test-time views, of one model and of several."""

import shutil

import numpy as np
import pytest

from eosin.artifacts.integrity import write_model
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document, write_document
from eosin.ensembling.pooling import write_mean
from eosin.exporting.onnx import MAX_PROBABILITY_GAP
from eosin.inference.classifier import Classifier


@pytest.fixture
def make_member(tiny_run, tmp_path):
    """A function from a name and a temperature to a model that averages eight views."""

    def make(name, temperature):
        model = ModelFolder(shutil.copytree(RunFolder(tiny_run).model, tmp_path / name))
        info = read_document(model.info, ModelInfo)
        changed = {"temperature": temperature, "test_time": "dihedral"}
        write_document(model.info, info.model_copy(update=changed))
        return model

    return make


@pytest.mark.parametrize(
    ("temperatures", "result"),
    [((1.0, 1.0), "max_probability_gap"), ((1.0, 3.0), "max_member_gap")],
)
def test_an_ensemble_averages_views_as_its_members_do(
    make_member, tiny_run, tmp_path, temperatures, result
):
    places = [make_member(str(n), value) for n, value in enumerate(temperatures)]
    draft = read_document(places[0].info, ModelInfo)
    arguments = {"architecture": draft.architecture, "members": len(places)}
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    whole = ModelFolder(tmp_path / "whole")
    whole.root.mkdir()
    mean = draft.model_copy(update={"arguments": arguments})
    info, gap = write_mean(whole, places, mean, lambda _: images)
    assert not whole.info.exists()  # not a model's before its profile is there, too
    write_model(whole, info)
    assert info.test_time == "dihedral"
    assert info.parity == {result: gap, "n_images": 5}
    # Where members are calibrated after their views are averaged, one graph cannot follow.
    assert (gap <= MAX_PROBABILITY_GAP) == (result == "max_probability_gap")
    bare = [
        Classifier(place.root, info=draft.model_copy(update={"test_time": "none"}))
        for place in places
    ]
    seen = [np.rot90(s, k, axes=(1, 2)) for s in (images, images[:, :, ::-1]) for k in range(4)]
    by_hand = np.mean(
        [
            np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
            for one, temperature in zip(bare, temperatures, strict=True)
            for scaled in (one.logits(view) / temperature for view in seen)
        ],
        axis=0,
    )
    ensemble = Classifier(whole.root)
    got = ensemble.probabilities(ensemble.logits(images))
    np.testing.assert_allclose(got, by_hand, rtol=0, atol=1e-5)  # single precision
