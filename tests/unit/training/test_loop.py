"""Evaluations, early stopping, best state, and failures in one line."""

import signal

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import read_history
from eosin.core.errors import OutputError, TrainingError
from eosin.training.callbacks import EvaluationLog
from eosin.training.checkpoints import load_weights
from eosin.training.data import class_weights
from eosin.training.module import ClassifierModule


def test_a_history_row_an_evaluation(train_tiny):
    _, run = train_tiny("a", epochs=2, evaluations_per_epoch=2)
    history = read_history(run.history)
    # 33 images in batches of 8: four steps an epoch (the last one of nine), two an evaluation.
    assert list(history["step"]) == [2, 4, 6, 8]
    assert list(history["epoch"]) == [0, 0, 1, 1]
    assert history.notna().all(axis=None)


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


class Silent:
    """A module and trainer that only say what an evaluation measured."""

    sanity_checking = False
    global_step = current_epoch = 0
    should_stop = False

    def __init__(self, **scores):
        self.optimizers = [torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)]
        self.network = nn.Linear(1, 1)
        self.scores, self.stepped = scores, []

    def take_scores(self):
        return self.scores

    def step_schedule(self, value):
        self.stepped.append(value)


@pytest.mark.parametrize(("monitor", "worst"), [("val_loss", np.inf), ("val_auc", -np.inf)])
def test_an_undefined_score_is_no_gain_but_leaves_a_state(tmp_path, monitor, worst):
    log = EvaluationLog(RunFolder(tmp_path), monitor, patience=2)
    silent = Silent(**{monitor: None})
    log.on_validation_epoch_end(silent, silent)
    assert (log.stopping.best, log.stopping.waited, silent.should_stop) == (None, 1, False)
    assert RunFolder(tmp_path).best_checkpoint(0).exists()
    assert silent.stepped == [worst]
    log.on_validation_epoch_end(silent, silent)
    assert silent.should_stop


def test_equal_is_no_gain(tmp_path):
    log = EvaluationLog(RunFolder(tmp_path), "val_accuracy", patience=None)
    for value, best, waited in [(0.5, 0.5, 0), (0.5, 0.5, 1), (0.4, 0.5, 2), (0.6, 0.6, 0)]:
        silent = Silent(val_accuracy=value)
        log.on_validation_epoch_end(silent, silent)
        assert (log.stopping.best, log.stopping.waited) == (best, waited)


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
        (RuntimeError("PytorchStreamWriter failed"), OutputError, "could not be written"),
        (RuntimeError("something else"), RuntimeError, "something else"),
    ],
)
def test_failures_of_the_machine_are_explained(train_tiny, error, kind, text):
    def fail(_row):
        raise error

    with pytest.raises(kind, match=text):
        train_tiny("a", on_row=fail)


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


def test_the_schedule_knows_how_many_evaluations_there_are(train_tiny, on_entry):
    tasks = []
    for evaluations in (1, 2, 3):
        with on_entry(ClassifierModule.__init__, lambda given: tasks.append(given["evaluations"])):
            _, run = train_tiny(str(evaluations), epochs=2, evaluations_per_epoch=evaluations)
        assert len(read_history(run.history)) == tasks[-1]
