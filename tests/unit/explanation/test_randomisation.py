"""The randomisation test passes a method that follows the weights, and fails one that does not."""

import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.artifacts.weights import read_arrays
from eosin.explanation.evidence import Evidence
from eosin.explanation.methods import open_coarse, open_default
from eosin.explanation.randomisation import randomisation_test, randomise, similarity
from eosin.exporting.onnx import write_onnx
from eosin.inference.classifier import Classifier
from eosin.inference.graphs import check_graph
from eosin.inference.selftest import unpack_images
from eosin.networks import build_network


@pytest.fixture
def folder(tiny_run):
    return ModelFolder(tiny_run / "model")


@pytest.fixture
def info(folder):
    return read_document(folder.info, ModelInfo)


@pytest.fixture
def images(info):
    return unpack_images(info)[:4]


@dataclass
class Blind:
    """Method that marks dark places, whatever the network."""

    n_masks: int | None = 4
    places: tuple[int, int] | None = None
    sign: float = 1.0

    def explain(self, image, target):
        dark = 255.0 - image.mean(axis=2)
        return Evidence(self.sign * dark.astype(np.float32), places=self.places)


def test_the_default_method_follows_the_weights(folder, info, images):
    found = randomisation_test(folder, info, open_default, images, [0, 1, 0, 1])
    assert found.passes is True
    assert found.n_images == 4
    again = randomisation_test(folder, info, open_default, images, [0, 1, 0, 1])
    assert again == found


@pytest.mark.parametrize("n_masks", [None, 4])
@pytest.mark.parametrize("alternates", [False, True])
def test_a_method_that_ignores_the_weights_fails(folder, info, images, alternates, n_masks):
    # One that only changes the sign of its map, too.
    signs = iter([1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0] if alternates else [1.0] * 7)
    found = randomisation_test(
        folder, info, lambda *_: Blind(n_masks, sign=next(signs)), images, [0, 0, 0, 0]
    )
    assert found.passes is False
    assert found.similarity.value == pytest.approx(1)
    assert found.between_images.value < 0.9


def test_maps_of_few_places_are_not_compared(folder, info, images):
    found = randomisation_test(folder, info, lambda *_: Blind(places=(2, 2)), images, [0, 0, 0, 0])
    assert found.passes is None
    assert "2 × 2" in found.similarity.reason


def test_a_random_network_that_fails_gives_a_reason(folder, info, images, tmp_path):
    shutil.copytree(folder.root, tmp_path / "model")
    broken = ModelFolder(tmp_path / "model")

    def open_once(place, info):
        if place.root != broken.root:
            place.onnx.unlink()
        return open_default(place, info)

    found = randomisation_test(broken, info, open_once, images, [0, 0, 0, 0])
    assert found.passes is None
    assert found.similarity.reason


@pytest.mark.parametrize("has_onnx", [True, False])
def test_weights_are_shuffled_each_in_itself(folder, info, images, tmp_path, has_onnx):
    source = ModelFolder(shutil.copytree(folder.root, tmp_path / "source"))
    if not has_onnx:
        source.onnx.unlink()
    into = ModelFolder(tmp_path / "random")
    into.root.mkdir()
    randomise(source, into, np.random.default_rng(0))
    if has_onnx:
        check_graph(into.onnx)
        assert into.onnx.stat().st_size == source.onnx.stat().st_size
    else:
        before, after = read_arrays(source.weights), read_arrays(into.weights)
        assert before.keys() == after.keys()
        for name, values in before.items():
            np.testing.assert_array_equal(np.sort(after[name], None), np.sort(values, None))
    logits = [Classifier(place.root, info=info).logits(images) for place in (source, into)]
    assert np.isfinite(logits[1]).all()
    assert np.abs(logits[0] - logits[1]).max() > 0.01


def test_windows_side_by_side_take_a_quarter_of_the_passes(folder, info, images):
    fine, coarse = (opening(folder, info) for opening in (open_default, open_coarse))
    assert coarse.n_masks < fine.n_masks / 3
    assert (coarse.explain(images[0], 1).map != 0).any()


def test_similarity_is_a_rank_correlation_without_its_sign():
    one = np.arange(20.0)
    assert similarity(one, one**3) == pytest.approx(1)
    assert similarity(one, -one) == pytest.approx(1)
    assert similarity(one, np.ones(20)) == 0


def test_new_weights_lead_to_the_same_verdict(folder, info, images, tmp_path):
    """As Adebayo et al. draw them, by the initialisation of the network."""
    arguments = {name: value for name, value in info.arguments.items() if name != "input_px"}

    def open_new(place, info):
        if place.root != folder.root:
            seed = len(list(tmp_path.iterdir()))
            (tmp_path / str(seed)).touch()
            network = build_network(
                "light_cnn", num_classes=2, input_px=64, arguments=arguments, seed=seed
            )
            write_onnx(network.eval(), place.onnx, (64, 64))
        return open_default(place, info)

    new = randomisation_test(folder, info, open_new, images, [0, 1, 0, 1])
    assert len(list(tmp_path.iterdir())) == 4
    assert new.passes is True
    shuffled = randomisation_test(folder, info, open_default, images, [0, 1, 0, 1])
    assert new.similarity.value == pytest.approx(shuffled.similarity.value, abs=0.2)
    assert new.between_images == shuffled.between_images
