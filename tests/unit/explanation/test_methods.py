"""Methods are opened by name, for models with views at test time and for ensembles of runs, too."""

import shutil

import numpy as np
import pytest

import eosin
from eosin.artifacts.layout import ModelFolder
from eosin.core.errors import UnknownNameError, UsageError
from eosin.explanation.methods import METHODS, open_explainer
from eosin.inference.classifier import Classifier

PX = 64


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (PX, PX, 3)).astype(np.uint8)


def open_model(run, **changes):
    folder = ModelFolder(run / "model")
    plain = Classifier(folder.root)
    return folder, Classifier(folder.root, info=plain.info.model_copy(update=changes))


@pytest.mark.parametrize("kind", ["grouped", "folds"])
def test_with_views_at_test_time_a_mirrored_image_has_the_mirrored_map(kind, run_of, image):
    explainer = open_explainer(*open_model(run_of(kind), test_time="dihedral"), "gradcam")
    assert explainer.method == "gradcam"
    found, mirrored = (explainer.explain(one, 1).map for one in (image, image[:, ::-1].copy()))
    np.testing.assert_allclose(mirrored, found[:, ::-1], rtol=1e-3, atol=1e-4)
    assert len(explainer.members) == (3 if kind == "folds" else 0)


def test_an_ensemble_of_runs_shares_by_run_and_names_the_runs(run_of, image, tmp_path):
    """The folds of a run share its part of the mean."""
    for name in ("grouped", "folds"):
        shutil.copytree(run_of(name), tmp_path / name)
    runs = [tmp_path / "grouped", tmp_path / "folds"]
    eosin.ensemble(runs, output=tmp_path / "both")
    explainer = open_explainer(*open_model(tmp_path / "both"), "gradcam")
    found = explainer.explain(image, 1)
    assert len(explainer.members) == 4
    assert explainer.members[0] == "grouped"
    assert all(name.startswith("folds") for name in explainer.members[1:])
    expected = [
        open_explainer(*open_model(run), "gradcam").explain(image, 1).map for run in runs[1:]
    ]
    alone = found.parts["members"][0]
    np.testing.assert_allclose(found.map, (alone + expected[0]) / 2, rtol=1e-3, atol=1e-4)


def test_what_a_method_does_not_take_is_refused(run_of):
    model = open_model(run_of("grouped"))
    with pytest.raises(UnknownNameError):
        open_explainer(*model, "saliency")
    for method in set(METHODS) - {"rise"}:
        with pytest.raises(UsageError, match="rise"):
            open_explainer(*model, method, n_masks=5)
