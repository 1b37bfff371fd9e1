"""Seeds, and a training that was cut off: on the CPU the weights are equal to the bit."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.facts import same_history
from torch import nn

from eosin.artifacts.predictions import read_history
from eosin.core.errors import ArtifactError, TrainingError
from eosin.training.pytorch import TorchLearner


class Cut(Exception):  # noqa: N818 -- a power cut is no error
    """The power fails."""


@pytest.fixture
def cut_at():
    """A function from an evaluation to a listener that cuts the training off there."""

    def make(evaluation):
        rows = []

        def listen(row):
            rows.append(row)
            if len(rows) == evaluation:
                raise Cut

        return listen

    return make


def test_the_same_seed_gives_the_same_weights(train_tiny, same_weights):
    first, _ = train_tiny("a")
    torch.rand(5)  # somebody else draws from the process's generator
    second, _ = train_tiny("b")
    assert same_weights(first, second)


class Pause(nn.Module):
    """Lets other threads run."""

    def forward(self, images):
        time.sleep(0.002)
        return images


def test_trainings_beside_each_other_in_a_process_draw_their_own_dropout(
    train_tiny, make_network, same_weights
):
    def work(name):
        return train_tiny(name, network=nn.Sequential(Pause(), networks[name]))[0]

    networks = {name: make_network() for name in ("straight", "a", "b", "c")}
    straight = work("straight")
    with ThreadPoolExecutor(3) as pool:
        assert all(same_weights(straight, other) for other in pool.map(work, "abc"))


def test_another_seed_gives_others(train_tiny, same_weights):
    first, _ = train_tiny("a")
    second, _ = train_tiny("b", changed={"seed": 8})
    assert not same_weights(first, second)


SCHEDULES = {
    "constant": {},
    "step": {"schedule": {"name": "step", "every": 3}},
    "plateau": {"schedule": {"name": "plateau", "patience": 0}},
    "cosine": {"schedule": {"name": "cosine"}},
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(
    ("batch_size", "evaluations", "cut"),
    [
        (8, 1, 3),
        (8, 2, 6),
        (7, 2, 6),  # five steps an epoch: the last one comes after the last evaluation
    ],
)
def test_a_resumed_training_ends_where_a_straight_one_does(
    train_tiny, cut_at, make_network, same_weights, name, batch_size, evaluations, cut
):
    section = {**SCHEDULES[name], "evaluations_per_epoch": evaluations}
    section["batch_size"] = batch_size
    straight, run = train_tiny("straight", **section)
    with pytest.raises(Cut):
        train_tiny("cut", on_row=cut_at(cut), **section)
    resumed, resumed_run = train_tiny("cut", network=make_network(99), **section)
    assert same_weights(straight, resumed)
    assert len(read_history(run.history)) == 4 * evaluations
    assert same_history(run.history, resumed_run.history)
    last, resumed_last = (
        torch.load(folder.last_checkpoint, weights_only=True)["state_dict"]
        for folder in (run, resumed_run)
    )
    assert all(torch.equal(last[key], resumed_last[key]) for key in last)


def test_the_seconds_of_all_processes_add_up(train_tiny, cut_at):
    slow, cut = [], cut_at(3)

    def wait(row):
        slow.append(time.sleep(0.3) if not slow else None)
        cut(row)

    start = time.monotonic()
    with pytest.raises(Cut):
        train_tiny("cut", on_row=wait)
    time.sleep(0.2)
    _, run = train_tiny("cut")
    worked = time.monotonic() - start - 0.2
    seconds = read_history(run.history)["seconds"]
    assert (seconds.diff().iloc[1:] >= 0).all()
    assert seconds[0] + 0.3 <= seconds[1] <= seconds.iloc[-1] <= worked


@pytest.fixture
def cut_before_step(on_entry):
    """Let the power fail before the n-th step: ``with cut_before_step(n): …``."""

    @contextmanager
    def during(countdown):
        left = [countdown]

        def fail(_given):
            left[0] -= 1
            if left[0] == 0:
                raise Cut

        with on_entry(TorchLearner.step, fail):
            yield

    return during


def assert_same_end(straight, resumed):
    """Weights, history, best state and last state are equal; nothing else is left."""
    (_, run), (_, other) = straight, resumed
    names = [sorted(path.name for path in folder.checkpoints.iterdir()) for folder in (run, other)]
    assert names[0] == names[1]
    assert len(names[0]) == 2
    for name in names[0][:1]:
        assert (run.checkpoints / name).read_bytes() == (other.checkpoints / name).read_bytes()
    assert same_history(run.history, other.history)
    first, second = (
        torch.load(folder.last_checkpoint, weights_only=True) for folder in (run, other)
    )
    for key in first["state_dict"]:
        assert torch.equal(first["state_dict"][key], second["state_dict"][key])
    moments = (state["optimizer"]["state"] for state in (first, second))
    for one, two in zip(*(states.values() for states in moments), strict=True):
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert first["progress"]["step"] == second["progress"]["step"]


@pytest.fixture
def go_on(train_tiny, make_network):
    """Resume with weights that only the checkpoint can put right, where there is one."""

    def resume(name, **section):
        there = train_tiny.folder(name).last_checkpoint.exists()
        return train_tiny(name, network=make_network(99) if there else None, **section)

    return resume


LONG = {"epochs": 3, "batch_size": 7, "evaluations_per_epoch": 2, "checkpoint_minutes": 0}


@pytest.mark.parametrize("cut", range(2, 16))
def test_a_training_cut_at_any_step_goes_on_in_mid_epoch(
    train_tiny, go_on, cut_before_step, on_entry, cut
):
    section = {**LONG, **list(SCHEDULES.values())[cut % 4]}
    straight = train_tiny("straight", policy="p3", **section)
    with cut_before_step(cut), pytest.raises(Cut):
        train_tiny("cut", policy="p3", **section)
    taken = []

    def note(given):
        taken.append(given["number"])

    with on_entry(TorchLearner.step, note):
        resumed = go_on("cut", policy="p3", **section)
    assert_same_end(straight, resumed)
    # Nothing was trained twice: 3 epochs of 5 steps, of which cut - 1 were done.
    assert len(taken) == 15 - (cut - 1)
    assert taken[0] == cut - 1


OPTIONS = {
    "ema": {"weight_averaging": "ema"},
    "swa": {"weight_averaging": "swa", "epochs": 6, "monitor": "none"},
    "mixup": {"mixup": 0.4, "label_smoothing": 0.1},
    "warm-up": {"schedule": {"name": "cosine", "warmup": 1.5}},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("cut", [2, 9, 14])
def test_options_of_the_training_go_on_in_mid_epoch(train_tiny, go_on, cut_before_step, name, cut):
    section = {**LONG, **OPTIONS[name]}
    cut += 15 * (section["epochs"] == 6)  # SWA begins late
    straight = train_tiny("straight", **section)
    with cut_before_step(cut), pytest.raises(Cut):
        train_tiny("cut", **section)
    resumed = go_on("cut", **section)
    assert_same_end(straight, resumed)
    first, second = (
        torch.load(run.last_checkpoint, weights_only=True).get("average", {})
        for _, run in (straight, resumed)
    )
    assert first.keys() == second.keys()
    assert bool(first) == ("weight_averaging" in section)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("seed", range(6))
def test_cuts_in_a_row_at_random_with_checkpoints_at_random(
    train_tiny, go_on, cut_before_step, monkeypatch, seed
):
    random = np.random.default_rng(seed)
    section = {**LONG, "patience": 4, "schedule": {"name": "plateau", "patience": 0}, "lr": 0.05}
    section["evaluations_per_epoch"] = int(random.choice([1, 2, 5]))
    straight = train_tiny("straight", **section)
    section["checkpoint_minutes"] = 1
    clock = [0.0]

    def tick():
        clock[0] += 60.0 * (random.random() < 0.4)
        return clock[0]

    monkeypatch.setattr(time, "monotonic", tick)
    for _ in range(4):
        with cut_before_step(int(random.integers(1, 8))), suppress(Cut):
            go_on("cut", **section)
    assert_same_end(straight, go_on("cut", **section))


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("write", range(1, 14))
def test_a_training_cut_while_it_writes(train_tiny, go_on, monkeypatch, write, is_there):
    """Cut before or after each file in turn is in its place: history, best state, checkpoint."""
    section = {**LONG, "epochs": 2, "lr": 0.05}
    straight = train_tiny("straight", **section)
    left, replace = [write], Path.replace

    def cut(path, target):
        left[0] -= 1
        if left[0] or is_there:
            replace(path, target)
        if not left[0]:
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        with pytest.raises(Cut):
            train_tiny("cut", **section)
    assert_same_end(straight, go_on("cut", **section))


def test_the_best_state_that_a_checkpoint_names_outlives_a_better_one(
    train_tiny, cut_at, monkeypatch
):
    """Even where the resumed training cannot repeat what it did, as on some devices."""
    clock, cut = [0.0], cut_at(4)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def on_row(row):
        clock[0] += 600.0 * (row["step"] == 3)  # a checkpoint is due after this one alone
        cut(row)

    section = {"epochs": 1, "evaluations_per_epoch": 4, "lr": 0.05, "monitor": "val_loss"}
    with pytest.raises(Cut):
        train_tiny("cut", on_row=on_row, checkpoint_minutes=10, **section)
    run = train_tiny.folder("cut")
    progress = torch.load(run.last_checkpoint, weights_only=True)["progress"]
    named = run.best_checkpoint(progress["best_step"])
    assert named.exists()


def test_a_checkpoint_is_read_without_unpickling_and_a_damaged_one_is_refused(
    train_tiny, cut_before_step
):
    with cut_before_step(7), pytest.raises(Cut):
        train_tiny("cut", **LONG)
    path = train_tiny.folder("cut").last_checkpoint
    state = torch.load(path, weights_only=True)
    assert state["progress"]["batch"] == 1
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match=r"last.ckpt is damaged") as caught:
        train_tiny("cut", **LONG)
    assert "Remove it" in caught.value.hint


def rewrite(path, change):
    state = torch.load(path, weights_only=True)
    changed = change(state)
    torch.save(state if changed is None else changed, path)


def save_arrays(path, **arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)


def flip(path):
    data = bytearray(path.read_bytes())
    start = data.index(torch.load(path, weights_only=True)["state_dict"]["5.weight"].numpy())
    data[start + 5] ^= 64
    path.write_bytes(data)


DAMAGES = {
    "a flipped bit in a weight": flip,
    "cut in the middle": lambda path: path.write_bytes(
        path.read_bytes()[: len(path.read_bytes()) // 2]
    ),
    "arrays of NumPy": lambda path: save_arrays(path, plain=np.zeros(3)),
    "a list": lambda path: rewrite(path, lambda state: [state]),
    "no weights": lambda path: rewrite(path, lambda state: {"format": state["format"]}),
    "no progress": lambda path: rewrite(path, lambda state: state.pop("progress") and None),
    "an optimiser without weights": lambda path: rewrite(
        path, lambda state: state["optimizer"].update(param_groups=[])
    ),
    "an epoch that is a word": lambda path: rewrite(
        path, lambda state: state["progress"].update(epoch="two")
    ),
    "half a pickle": lambda path: path.write_bytes(b"\x80\x02K"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_every_damage_of_a_checkpoint_is_one_error_with_a_way_out(train_tiny, cut_at, damage):
    with pytest.raises(Cut):
        train_tiny("cut", on_row=cut_at(3))
    path = train_tiny.folder("cut").last_checkpoint
    damage(path)
    with pytest.raises(ArtifactError, match=r"last.ckpt (is damaged|cannot be read)") as caught:
        train_tiny("cut")
    assert "Remove it" in caught.value.hint


def test_best_weights_that_are_gone_are_missed_before_anything_is_trained(train_tiny, cut_at):
    with pytest.raises(Cut):
        train_tiny("cut", on_row=cut_at(3))
    run, rows = train_tiny.folder("cut"), []
    for path in run.checkpoints.glob("best-*"):
        path.unlink()
    with pytest.raises(ArtifactError, match=r"is missing") as caught:
        train_tiny("cut", on_row=rows.append)
    assert rows == []
    assert str(run.last_checkpoint) in caught.value.hint


def test_a_checkpoint_that_needs_more_memory_than_is_free_is_not_called_damaged(
    train_tiny, cut_at, monkeypatch
):
    with pytest.raises(Cut):
        train_tiny("cut", on_row=cut_at(3))

    def fail(*_given, **_named):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(TrainingError, match="memory ran out"):
        train_tiny("cut")


def test_a_checkpoint_of_a_network_that_changed_since_is_refused(train_tiny, cut_at):
    with pytest.raises(Cut):
        train_tiny("cut", on_row=cut_at(2))
    other = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    with pytest.raises(ArtifactError, match=r"last.ckpt was written by another version") as caught:
        train_tiny("cut", network=other)
    assert "remove it" in caught.value.hint


def test_inside_an_epoch_a_checkpoint_is_written_as_often_as_the_recipe_says(
    train_tiny, monkeypatch, on_entry
):
    clock = [0.0]

    def tick():
        clock[0] += 10.0  # seconds a look
        return clock[0]

    monkeypatch.setattr(time, "monotonic", tick)
    written = []  # after how many steps, of which an epoch has 16
    with on_entry(TorchLearner.save, lambda given: written.append(given["progress"]["step"])):
        train_tiny("a", epochs=2, batch_size=2, checkpoint_minutes=0.6)
    assert written == [4, 8, 12, 16, 16 + 4, 16 + 8, 16 + 12, 2 * 16]


def test_augmentation_goes_on_where_it_was(train_tiny, cut_at, same_weights):
    straight, _ = train_tiny("straight", policy="p3")
    with pytest.raises(Cut):
        train_tiny("cut", on_row=cut_at(2), policy="p3")
    resumed, _ = train_tiny("cut", policy="p3")
    assert same_weights(straight, resumed)


def test_a_finished_training_is_not_trained_on(train_tiny, same_weights, make_network):
    finished, run = train_tiny("a")
    rows = []
    again, _ = train_tiny("a", network=make_network(99), on_row=rows.append)
    assert rows == []
    assert same_weights(finished, again)
    assert len(read_history(run.history)) == 4


def test_a_training_that_stopped_early_stays_stopped(train_tiny, same_weights, make_network):
    # A rate of almost nothing: nothing is gained after the first evaluation or two.
    section = {"epochs": 30, "patience": 2, "lr": 1e-12, "evaluations_per_epoch": 2}
    stopped, run = train_tiny("a", **section)
    count = len(read_history(run.history))
    assert count < 60
    rows = []
    again, _ = train_tiny("a", network=make_network(99), on_row=rows.append, **section)
    assert rows == []
    assert same_weights(stopped, again)
    assert len(read_history(run.history)) == count


def test_ctrl_c_is_a_keyboard_interrupt_and_can_be_resumed(train_tiny, same_weights):
    straight, _ = train_tiny("straight")

    def press(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tiny("cut", on_row=press)
    resumed, _ = train_tiny("cut")
    assert same_weights(straight, resumed)
