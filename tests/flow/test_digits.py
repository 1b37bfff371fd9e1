"""P3's network for MNIST, from the recipe to a prediction, on both backends."""

import gzip

import numpy as np
import pytest

import eosin
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import read_history
from eosin.artifacts.versioned import read_document
from eosin.inference.engine import EngineNetwork
from eosin.inference.onnx import OnnxNetwork

EACH = {"train": 12, "t10k": 4}


def write_idx(path, values):
    head = bytes((0, 0, 8, values.ndim)) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.write_bytes(gzip.compress(head + values.tobytes()))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Files as MNIST's: of each of ten classes a bright bar at a place of its own, and noise."""
    root, random = tmp_path_factory.mktemp("mnist"), np.random.default_rng(0)
    for part, count in EACH.items():
        labels = np.tile(np.arange(10, dtype=np.uint8), count)
        images = random.integers(0, 60, (len(labels), 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 + 2 * label : 5 + 2 * label] += 180
        write_idx(root / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(root / f"{part}-labels-idx1-ubyte.gz", labels)
    return root


@pytest.mark.parametrize(
    ("backend", "optimizer"), [("numpy", "adam"), ("numpy", "sgd"), ("pytorch", "adam")]
)
def test_the_recipe_trains_on_grey_digits(repository, digits, tmp_path, backend, optimizer):
    result = eosin.train(
        repository / "recipes" / "p3-mnist.toml",
        overrides=[
            *(f"data.{key}" for key in (f"root={digits}", "split.val=0.25")),
            *(f"model.{key}" for key in (f"backend={backend}", "input_px=28")),
            *(f"train.{key}" for key in (f"optimizer={optimizer}", "epochs=6", "batch_size=8")),
            "train.evaluations_per_epoch=2",
            "evaluate.resamples=100",
        ],
        output=tmp_path / "run",
        allow_leak=True,  # bars of a class are copies of each other
    )
    run = RunFolder(result.run)
    folder = ModelFolder(run.model)
    info = read_document(folder.info, ModelInfo)
    assert info.preprocessing.channels == ("grey",)
    # 8 kernels of 3 × 3 at 13 × 13 places, 8 of 3 × 3 × 8 at 6 × 6, 288 × 10.
    assert (info.params, info.macs) == (3554, 72 * 13**2 + 576 * 6**2 + 2880)
    history = read_history(run.history)
    assert len(history) == 12
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    if optimizer == "adam":
        assert result.metrics["test"].image["accuracy"].value > 0.8
    images = np.random.default_rng(0).random((5, 1, 28, 28), dtype=np.float32)
    found, expected = EngineNetwork(folder.weights, info), OnnxNetwork(folder.onnx)
    np.testing.assert_allclose(found.run(images), expected.run(images), atol=1e-4)
