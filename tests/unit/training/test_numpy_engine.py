"""A training in the NumPy engine beside the same one in PyTorch."""

import io
import json
import logging
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.facts import same_history, tells

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import HISTORY_COLUMNS, read_history
from eosin.artifacts.weights import from_twin
from eosin.augment import POLICIES
from eosin.core.errors import ArtifactError, TrainingError
from eosin.engine import light_cnn
from eosin.images.preprocess import make_preprocessing, to_input
from eosin.networks.light_cnn import LightCNN
from eosin.recipe import read_recipe
from eosin.recipe.schema import ScheduleSection, TrainSection
from eosin.training.data import ImagePart
from eosin.training.numpy_engine import EngineLearner, make_schedule, to_channels_last
from eosin.training.numpy_engine import fit as fit_engine
from eosin.training.optimisers import make_scheduler
from eosin.training.pytorch import fit

RECIPES = Path(__file__).parents[3] / "recipes"
PX = 51
#: The layers under the penalty.
KERNELS = ("conv2d1", "conv2d2", "conv2d3", "dense1", "dense2")


def make_part(seed, count):
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 3 // 2  # one of three is of class 1
    images = random.integers(0, 200, (count, PX, PX, 3)) + 40 * targets[:, None, None, None]
    return ImagePart(images.astype(np.uint8), targets)


@pytest.fixture
def inputs(train_tiny):
    parts = {"train": make_part(0, 40), "val": make_part(1, 15)}
    return replace(train_tiny.inputs("p3"), **parts, preprocessing=make_preprocessing("caffe", PX))


def train_both(inputs, folder, **section):
    """Train from the same weights; return both histories."""
    section = TrainSection(**{"batch_size": 16, "lr": 1e-4, "epochs": 3, **section})
    torch.manual_seed(0)
    twin = LightCNN(2, PX)
    network = light_cnn(2, PX)
    network.load_state(from_twin({n: v.numpy() for n, v in twin.state_dict().items()}))
    fit(twin, section, inputs, RunFolder(folder / "torch"))
    fit_engine(network, section, inputs, RunFolder(folder / "numpy"))
    return [read_history(RunFolder(folder / name).history) for name in ("torch", "numpy")]


@pytest.mark.parametrize(
    "section",
    [
        {"l2": 0.1, "class_weights": "balanced", "evaluations_per_epoch": 3},
        {"optimizer": "sgd", "balance": "oversample", "schedule": {"name": "cosine"}},
        {"balance": "sampler", "schedule": {"name": "step", "factor": 0.5, "every": 2}},
    ],
)
def test_the_histories_agree(inputs, tmp_path, section):
    theirs, ours = train_both(inputs, tmp_path, **section)
    assert list(ours.columns) == list(HISTORY_COLUMNS) == list(theirs.columns)
    assert len(ours) == 3 * section.get("evaluations_per_epoch", 1)
    for name in ("step", "epoch", "lr"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6)
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-3)


def test_the_training_loss_includes_the_penalty_and_the_validation_loss_does_not(inputs, tmp_path):
    """P3: cross-entropy + λ / (2 · batch) · Σ w²; by hand, at a rate that leaves the weights."""
    inputs = replace(inputs, policy=POLICIES.get("none"))
    fixed = {"batch_size": 40, "epochs": 1, "lr": 1e-30, "class_weights": "balanced"}
    torch.manual_seed(0)
    initial = light_cnn(2, PX)
    initial.load_state(from_twin({n: v.numpy() for n, v in LightCNN(2, PX).state_dict().items()}))
    weights = [initial.parameters[f"{layer}.weight"] for layer in KERNELS]
    squares = sum(float(np.square(weight).sum()) for weight in weights)
    images = to_channels_last(inputs.train.images, inputs.preprocessing)
    logits = initial.forward(images, training=True).astype(float)
    targets = inputs.train.targets
    true = logits[np.arange(40), targets] - np.log(np.exp(logits).sum(axis=1))
    counted = (40 / (2 * np.bincount(targets)))[targets]
    by_hand = -(counted @ true) / counted.sum() + 0.1 / (2 * 40) * squares
    plain = train_both(inputs, tmp_path / "plain", **fixed)
    for history, without in zip(train_both(inputs, tmp_path, l2=0.1, **fixed), plain, strict=True):
        assert history["loss"].tolist() == pytest.approx([by_hand], rel=1e-4)
        assert history["val_loss"].tolist() == pytest.approx(without["val_loss"].tolist(), rel=1e-6)


def test_p3_s_recipe_evaluates_schedules_and_stops_at_the_same_steps(inputs, tmp_path):
    """P3's 51 batches per epoch, here of two images, at a rate that changes no decision."""
    recipe = read_recipe(RECIPES / "p3-lightcnn-breakhis200.toml")
    section = recipe.train.model_dump() | {"batch_size": 2, "lr": 1e-12, "patience": 25}
    inputs = replace(inputs, train=make_part(0, 102), policy=POLICIES.get("none"))
    theirs, ours = train_both(inputs, tmp_path, **section)
    best = int(np.argmax(ours["val_accuracy"]))
    assert len(ours) == best + 1 + 25
    assert (ours["epoch"] == 0).sum() == 20
    np.testing.assert_allclose(ours["lr"], [1e-12 * 0.5 ** (n // 5) for n in range(len(ours))])
    for name in ("step", "epoch", "lr", "val_accuracy"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6)


def test_an_epoch_of_too_few_batches_is_told_alike(inputs, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="eosin"):
        for history in train_both(inputs, tmp_path, evaluations_per_epoch=20):
            assert list(history["step"]) == list(range(1, 10)), "one evaluation after each batch"
    theirs, ours = (record.getMessage() for record in caplog.records)
    assert ours == theirs
    assert tells(ours, 20, "3 batches", "3 evaluations")


def test_patience_stops_and_the_best_state_is_kept(inputs, tmp_path):
    run = RunFolder(tmp_path)
    section = TrainSection(batch_size=16, epochs=30, lr=0.05, patience=2, evaluations_per_epoch=2)
    network = fit_engine(light_cnn(2, PX), section, inputs, run)
    losses = read_history(run.history)["val_loss"].tolist()
    assert len(losses) == int(np.argmin(losses)) + 3 < 60
    targets = inputs.val.targets
    seen = to_channels_last(inputs.val.images[:], inputs.preprocessing)
    chosen = network.predict(seen)[np.arange(len(targets)), targets]
    assert -np.log(chosen).mean() == pytest.approx(min(losses), rel=1e-4)


def test_without_a_monitor_the_last_state_is_kept(inputs, tmp_path):
    section = TrainSection(batch_size=16, epochs=3, lr=0.05, monitor="none")
    rows, states = [], []
    network = light_cnn(2, PX)

    def note(row):
        rows.append(row)
        states.append(network.state["conv2d1.weight"].copy())

    fit_engine(network, section, inputs, RunFolder(tmp_path), on_row=note)
    losses = [row["val_loss"] for row in rows]
    assert len(losses) == 3
    assert losses.index(min(losses)) < 2  # of a rate so large the last is not the best
    assert np.array_equal(network.state["conv2d1.weight"], states[-1])


def test_one_seed_makes_one_network(inputs, tmp_path):
    section = TrainSection(batch_size=16, epochs=1)
    a, b = (
        fit_engine(light_cnn(2, PX), section, inputs, RunFolder(tmp_path / name)) for name in "ab"
    )
    assert all(np.array_equal(a.state[name], b.state[name]) for name in a.state)


@pytest.mark.parametrize("name", ["constant", "step", "cosine"])
def test_the_rates_are_pytorch_s(name):
    section = ScheduleSection(name=name, every=3, factor=0.3, min_lr=1e-5)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    theirs = make_scheduler(optimizer, section, evaluations=7, higher_better=False)
    ours = make_schedule(section, 7)
    for done in range(1, 8):
        optimizer.step()
        if theirs is not None:
            theirs.step()
        assert ours.rate(0.1, done) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_channels_last_are_the_same_input():
    images = make_part(0, 2).images
    for style in ("unit", "caffe", "imagenet"):
        preprocessing = make_preprocessing(style, PX)
        expected = to_input(images, preprocessing).transpose(0, 2, 3, 1)
        assert np.array_equal(to_channels_last(images, preprocessing), expected)


def test_the_engine_augments_as_pytorch_does(inputs, tmp_path):
    assert not POLICIES.get("p3").changes_nothing
    theirs, ours = train_both(replace(inputs, policy=POLICIES.get("none")), tmp_path / "plain")
    _, drawn = train_both(inputs, tmp_path / "drawn")
    assert abs(ours["loss"] - drawn["loss"]).max() > 1e-3
    assert abs(ours["loss"] - theirs["loss"]).max() < 1e-3


class Cut(Exception):  # noqa: N818 -- a power cut is no error
    """The power fails."""


@pytest.mark.parametrize("cut", [2, 3, 6])
def test_a_resumed_training_ends_where_a_straight_one_does(inputs, tmp_path, on_entry, cut):
    """Of three steps an epoch; a checkpoint after each."""
    schedule = {"name": "step", "factor": 0.5, "every": 2}
    section = TrainSection(
        batch_size=16, epochs=3, lr=0.01, evaluations_per_epoch=2, schedule=schedule,
        checkpoint_minutes=0, patience=4,
    )  # fmt: skip
    straight = fit_engine(light_cnn(2, PX), section, inputs, RunFolder(tmp_path / "straight"))
    left = [cut]

    def fail(_given):
        left[0] -= 1
        if left[0] == 0:
            raise Cut

    run = RunFolder(tmp_path / "cut")
    with on_entry(EngineLearner.step, fail), pytest.raises(Cut):
        fit_engine(light_cnn(2, PX), section, inputs, run)
    steps = []
    with on_entry(EngineLearner.step, lambda given: steps.append(given["number"])):
        resumed = fit_engine(light_cnn(2, PX, seed=9), section, inputs, run)
    assert steps[0] == cut - 1, "nothing is trained twice"
    assert all(np.array_equal(straight.state[name], resumed.state[name]) for name in straight.state)
    assert same_history(run.history, RunFolder(tmp_path / "straight").history)


def declare(path, shape):
    """Replace a checkpoint's arrays by one whose header declares a shape."""
    header = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("plain.npy", header.getvalue())


def rewrite(path, arrays=None, **plain):
    """Change arrays and plain values of a checkpoint."""
    with np.load(path) as stored:
        found = dict(stored)
    found["plain"] = np.array(json.dumps(json.loads(str(found["plain"])) | plain))
    save_arrays(path, **(found | (arrays or {})))


def save_arrays(path, **arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)


def save_array(path, array):
    with path.open("wb") as file:
        np.save(file, array)


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:500]),
    "one array": lambda path: save_array(path, np.zeros(3)),
    "objects": lambda path: save_arrays(path, plain=np.array([{}], dtype=object)),
    "a huge array": lambda path: declare(path, (10**12,)),
    "a size beyond numbers": lambda path: declare(path, (10**30,)),
    "a list": lambda path: rewrite(path, {"plain": np.array("[1]")}),
    "no steps": lambda path: rewrite(path, {"plain": np.array('{"format": 1}')}),
    "a word for evaluations": lambda path: rewrite(path, evaluations="three"),
    "no progress": lambda path: rewrite(path, progress=None),
    "a foreign moment": lambda path: rewrite(path, {"optimiser/none.m": np.zeros(1, "f4")}),
    "a moment of another shape": lambda path: rewrite(
        path, {"optimiser/conv2d1.weight.m": np.zeros(1, "f4")}
    ),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_refused(inputs, tmp_path, damage):
    run = RunFolder(tmp_path)
    section = TrainSection(batch_size=16, epochs=1)
    fit_engine(light_cnn(2, PX), section, inputs, run)
    damage(run.last_checkpoint)
    with pytest.raises(ArtifactError, match=r"last\.ckpt (is damaged|cannot be read)") as caught:
        fit_engine(light_cnn(2, PX), section, inputs, run)
    assert "Remove it" in caught.value.hint


def test_a_checkpoint_of_another_network_is_refused(inputs, tmp_path):
    run, section = RunFolder(tmp_path), TrainSection(batch_size=16, epochs=1)
    fit_engine(light_cnn(2, PX), section, inputs, run)
    with pytest.raises(ArtifactError, match="another version") as caught:
        fit_engine(light_cnn(3, PX), section, replace(inputs, n_classes=3), run)
    assert "remove it" in caught.value.hint


def test_a_lack_of_memory_while_a_batch_is_read_is_explained(inputs, tmp_path, monkeypatch):
    def fail(*_given):
        raise MemoryError("Unable to allocate 3 GiB")

    monkeypatch.setattr(EngineLearner, "read", fail)
    section = TrainSection(batch_size=16, epochs=1)
    with pytest.raises(TrainingError, match="memory ran out") as caught:
        fit_engine(light_cnn(2, PX), section, inputs, RunFolder(tmp_path))
    assert "train.batch_size" in caught.value.hint
