"""Evaluations, early stopping, best state, and failures in one line."""

import gc
import importlib
import signal
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from tests.facts import same_history

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import read_history
from eosin.core.errors import ArtifactError, OutputError, TrainingError
from eosin.recipe.schema import TrainSection
from eosin.training.checkpoints import load_weights
from eosin.training.data import ImagePart, class_weights
from eosin.training.loop import train
from eosin.training.pytorch import TorchLearner
from eosin.training.sampler import evaluation_steps


def test_a_history_row_an_evaluation(train_tiny):
    _, run = train_tiny("a", epochs=2, evaluations_per_epoch=2)
    history = read_history(run.history)
    # 33 images in batches of 8: four steps an epoch (the last one of nine), two an evaluation.
    assert list(history["step"]) == [2, 4, 6, 8]
    assert list(history["epoch"]) == [0, 0, 1, 1]
    assert (
        history.drop(columns=["precision", "val_precision"], errors="ignore").notna().all(axis=None)
    )


def test_more_evaluations_than_steps_are_one_a_step(train_tiny):
    _, run = train_tiny("a", epochs=1, evaluations_per_epoch=20)
    assert list(read_history(run.history)["step"]) == [1, 2, 3, 4]


@pytest.mark.parametrize("evaluations", [1, 2])
def test_patience_counts_evaluations(train_tiny, evaluations):
    _, run = train_tiny(
        "a", epochs=20, patience=3, evaluations_per_epoch=evaluations, monitor="val_accuracy"
    )
    scores = list(read_history(run.history)["val_accuracy"])
    best = int(np.argmax(scores))  # the first of equals: an equal score is no gain
    assert len(scores) == best + 1 + 3
    assert len(scores) < 20 * evaluations


def test_without_patience_every_epoch_is_trained(train_tiny):
    _, run = train_tiny("a", epochs=6, lr=1e-12)
    assert len(read_history(run.history)) == 6


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy", "val_auc"])
def test_the_best_state_is_given_back(train_tiny, make_network, same_weights, monitor):
    trained, run = train_tiny("a", epochs=6, lr=0.1, monitor=monitor)
    history = read_history(run.history)
    best = history[monitor].min() if monitor == "val_loss" else history[monitor].max()
    kept = make_network(5)
    load_weights(next(run.checkpoints.glob("best-*")), kept)
    assert same_weights(trained, kept)
    assert not trained.training
    short, _ = train_tiny("b", epochs=int(history[monitor].eq(best).idxmax()) + 1, lr=0.1)
    reached = read_history(RunFolder(run.root.parent / "b").history)[monitor].iloc[-1]
    assert reached == best
    if monitor == "val_loss":
        assert same_weights(trained, short)


@pytest.mark.parametrize("monitor", ["val_loss", "val_auc"])
def test_an_undefined_score_is_no_gain_but_leaves_a_state(train_tiny, make_part, monitor):
    """One class alone in validation has no AUC; a loss is always there."""
    part = make_part(1, 12)
    alone = ImagePart(part.images, np.zeros_like(part.targets))
    section = {"monitor": monitor, "patience": 2, "epochs": 9, "lr": 1e-12}
    _, run = train_tiny("a", changed={"val": alone}, **section)
    history = read_history(run.history)
    if monitor == "val_auc":
        assert history["val_auc"].isna().all()
        assert len(history) == 2  # patience alone: nothing was gained
    assert len(list(run.checkpoints.glob("best-*"))) == 1


def test_a_loss_that_is_not_finite_names_its_step(train_tiny, make_network):
    network = make_network()
    with torch.no_grad():
        network[-1].weight[0, 0] = float("nan")
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1, step 1") as caught:
        train_tiny("a", network=network)
    assert "train.lr" in caught.value.hint


def test_a_loss_that_explodes_later_names_that_step(train_tiny):
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) in epoch 1, step [234]"):
        train_tiny("a", lr=1e38, optimizer="sgd")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (RuntimeError("CUDA out of memory. Tried"), TrainingError, "device's memory ran out"),
        (MemoryError(), TrainingError, "memory ran out"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
            TrainingError,
            "memory ran out",
        ),
        (RuntimeError("something else"), RuntimeError, "something else"),
    ],
)
def test_failures_of_the_machine_are_explained(train_tiny, error, kind, text):
    def fail(_row):
        raise error

    with pytest.raises(kind, match=text):
        train_tiny("a", on_row=fail)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no files")
@pytest.mark.parametrize("missing", [1, 500, 5000, 9000])
def test_a_checkpoint_that_cannot_be_written_whole_says_why(train_tiny, missing):
    resource = importlib.import_module("resource")
    _, run = train_tiny("a", epochs=1)
    size = run.last_checkpoint.stat().st_size - missing
    assert size > max(path.stat().st_size for path in run.checkpoints.glob("best-*"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(OutputError) as caught:
            train_tiny("b", epochs=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert "last.ckpt: file too large" in str(caught.value)


def test_after_ctrl_c_the_signal_works_again(train_tiny):
    def press(_row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tiny("a", on_row=press)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_balanced_weights_are_scikit_learn_s():
    targets = np.array([0] * 7 + [1] * 2 + [2] * 5)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    np.testing.assert_array_equal(class_weights(np.bincount(targets), "balanced"), expected)
    np.testing.assert_array_equal(class_weights(np.bincount(targets), "none"), np.ones(3))


@pytest.mark.parametrize("evaluations", [1, 2, 3])
def test_the_schedule_ends_with_the_last_evaluation(train_tiny, evaluations):
    section = {"schedule": {"name": "cosine", "min_lr": 0.0}, "lr": 0.1}
    _, run = train_tiny("a", epochs=2, evaluations_per_epoch=evaluations, **section)
    rates = read_history(run.history)["lr"]
    number = np.arange(len(rates))
    expected = 0.05 * (1 + np.cos(np.pi * number / (2 * evaluations)))
    np.testing.assert_allclose(rates, expected)


@pytest.mark.parametrize(("n_batches", "wanted"), [(55, 20), (40, 20), (7, 3), (3, 20), (1, 1)])
def test_an_epoch_has_as_many_evaluations_as_the_recipe_says(n_batches, wanted):
    found = sorted(evaluation_steps(n_batches, wanted))
    assert len(found) == min(n_batches, wanted)
    assert found[-1] == n_batches
    assert np.ptp(np.diff([0, *found])) <= 1


def test_reading_ahead_changes_nothing(train_tiny, make_network, same_weights):
    straight, run = train_tiny("straight", policy="p3", epochs=2)
    section, ahead = TrainSection(epochs=2, batch_size=8, lr=0.01), train_tiny.folder("ahead")
    network, inputs = make_network(), train_tiny.inputs("p3")
    learner = TorchLearner(network, section, inputs)
    assert not learner.reads_ahead, "on a CPU both would wait for the same cores"
    learner.reads_ahead = True
    train(learner, section, inputs, ahead)
    assert same_weights(straight, network)
    assert same_history(ahead.history, run.history)


def test_what_fails_in_the_thread_that_reads_ahead_ends_the_training(train_tiny, make_network):
    inputs, before = train_tiny.inputs("none"), threading.active_count()

    class Broken:
        shape = inputs.train.images.shape

        def __getitem__(self, rows):
            raise ArtifactError("the images cannot be read")

    broken = replace(inputs, train=ImagePart(Broken(), inputs.train.targets))
    section = TrainSection(epochs=1, batch_size=8)
    learner = TorchLearner(make_network(), section, broken)
    learner.reads_ahead = True
    with pytest.raises(ArtifactError, match="cannot be read"):
        train(learner, section, broken, train_tiny.folder("a"))
    del learner
    gc.collect()
    assert threading.active_count() == before
