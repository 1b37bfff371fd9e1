"""The cost of a network decides how it is explained at the end of a training."""

import pytest

from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.experiment.explaining import check_method, explain_run, plan_maps


@pytest.fixture
def folder(tiny_run):
    return ModelFolder(tiny_run / "model")


@pytest.fixture
def info(folder):
    return read_document(folder.info, ModelInfo).model_copy(update={"explanation": None})


def test_a_heavier_network_has_coarser_then_fewer_then_no_maps(folder, info):
    found = []
    for macs in (None, 10**6, 2 * 10**8, 4 * 10**8, 10**12):
        heavy = info.model_copy(update={"macs": macs})
        plan = plan_maps(folder, heavy)
        found.append((plan.n_each, plan.open_method(folder, heavy).n_masks))
    fine, coarse = found[0][1], found[-1][1]
    assert coarse < fine / 3
    assert found == [(4, fine), (4, fine), (4, coarse), (2, coarse), (0, coarse)]


def test_views_count(folder, info):
    heavy = info.model_copy(update={"macs": 2 * 10**8})
    assert plan_maps(folder, heavy.model_copy(update={"test_time": "dihedral"})).n_each == 0


def test_what_takes_too_long_gives_a_reason(folder, info):
    heavy = info.model_copy(update={"macs": 10**12})
    test = check_method(folder, heavy, plan_maps(folder, heavy)).randomisation
    assert test.passes is None
    assert "long" in test.similarity.reason


def test_a_model_without_test_images_gives_a_reason(folder, info):
    bare = info.model_copy(update={"selftest": None})
    test = check_method(folder, bare, plan_maps(folder, bare)).randomisation
    assert "test images" in test.similarity.reason


def test_a_training_survives_a_model_that_cannot_be_explained(info, tmp_path, caplog):
    assert explain_run(RunFolder(tmp_path), info, None, None) == info
    assert "not explained" in caplog.text
