"""What an epoch shows: fixed copies, and classes made equally large in three ways."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from eosin.artifacts.model import Embedding
from eosin.augment import POLICIES, augment_bytes
from eosin.core.errors import DataError
from eosin.recipe.schema import TrainSection
from eosin.training.balance import (
    add_synthetic,
    arrange,
    check_neighbours,
    describe_balance,
    oversampled_rows,
)
from eosin.training.batch_norm import choose_images
from eosin.training.data import ImagePart, class_weights, needs_features_only, shown_counts
from eosin.training.features import embed, fit_head
from eosin.training.loader import read_part
from eosin.training.optimisers import mean_loss
from eosin.training.pytorch import TorchLearner, fit
from eosin.training.sampler import BalancedBatches, EpochBatches
from eosin.training.tuning import Tuning

TARGETS = np.array([0] * 13 + [1] * 4 + [2] * 6)
NAMES = ("a", "b", "c")
OVERSAMPLE = TrainSection(balance="oversample")


@pytest.fixture
def inputs(train_tiny):
    """Images of three unequal classes, each image of a grey of its own."""
    images = np.broadcast_to(np.arange(23, dtype=np.uint8)[:, None, None, None], (23, 8, 8, 3))
    noise = np.random.default_rng(0).integers(0, 200, (8, 8, 3), dtype=np.uint8)
    part = ImagePart(images + noise, TARGETS)
    return lambda policy="none": train_tiny.inputs(policy, train=part, n_classes=3, positive=None)


def epoch_rows(batches, epoch):
    return [row for batch in batches.of(epoch) for row in batch]


@given(
    targets=st.lists(st.integers(0, 3), min_size=1, max_size=60).map(np.array),
    seed=st.integers(0, 3),
)
def test_oversampling_repeats_whole_rounds_first(targets, seed):
    rows = oversampled_rows(targets, seed)
    np.testing.assert_array_equal(rows[: len(targets)], np.arange(len(targets)))
    counts = np.bincount(targets[rows])
    assert set(counts[counts > 0]) == {np.bincount(targets).max()}
    times = np.bincount(rows)
    for target in np.unique(targets):
        assert np.ptp(times[targets == target]) <= 1
    np.testing.assert_array_equal(rows, oversampled_rows(targets, seed))


def test_a_repetition_is_augmented_otherwise_and_is_no_copy_in_memory(inputs):
    shown = arrange(inputs("p3"), OVERSAMPLE, None)
    assert len(shown.train) == 3 * 13
    assert shown.policy == POLICIES.get("p3")
    assert shown.train.images.images is inputs().train.images
    again = 23  # the first row after those that there are
    row = shown.train.images.rows[again]
    drawn = shown.policy.draw(7, 0, [row, again]).affine
    assert not np.allclose(drawn[0], drawn[1])


def test_the_sampler_draws_each_class_alike_often_and_each_image_of_it():
    rows = np.concatenate(
        [np.array(epoch_rows(BalancedBatches(TARGETS, 5, 1), epoch)) for epoch in range(300)]
    )
    assert len(rows) == 300 * len(TARGETS)
    counts = np.bincount(TARGETS[rows % len(TARGETS)])
    np.testing.assert_allclose(counts / len(rows), 1 / 3, atol=0.02)
    times = np.bincount(rows % len(TARGETS))
    for target, size in enumerate(np.bincount(TARGETS)):
        np.testing.assert_allclose(times[target == TARGETS], len(rows) / 3 / size, rtol=0.25)


def test_the_sampler_follows_seed_and_epoch_alone():
    whole = BalancedBatches(TARGETS, 5, 1)
    first = epoch_rows(whole, 2)
    assert first != epoch_rows(whole, 3)
    assert first != epoch_rows(BalancedBatches(TARGETS, 5, 2), 2)
    assert epoch_rows(BalancedBatches(TARGETS, 5, 1), 2) == first


def test_what_the_sampler_draws_twice_has_an_index_of_its_own_each_time():
    images = np.arange(len(TARGETS), dtype=np.uint8)[:, None, None, None]
    part = ImagePart(images, TARGETS)
    batches = (read_part(part, rows) for rows in BalancedBatches(TARGETS, 5, 1).of(0))
    seen = [tuple(int(x) for x in row) for batch in batches for row in zip(*batch, strict=True)]
    index = [i for _, _, i in seen]
    assert len(set(index)) == len(TARGETS)
    assert max(index) >= len(TARGETS), "some image came twice"
    assert all(image == i % len(TARGETS) and target == TARGETS[image] for image, target, i in seen)


@pytest.mark.parametrize("balance", ["sampler", "oversample"])
def test_a_balanced_training_resumed_ends_where_a_straight_one_does(
    train_tiny, same_weights, stop_at, make_network, balance
):
    part = train_tiny.inputs("none").train
    uneven = ImagePart(part.images, (np.arange(33) % 4 == 0).astype(np.int64))
    section = {"balance": balance, "epochs": 2, "batch_size": 7, "checkpoint_minutes": 0}
    arranged = arrange(
        train_tiny.inputs("dihedral", train=uneven), TrainSection(balance=balance), None
    )
    changed = {"train": arranged.train, "plain": arranged.plain}

    def train(name, network=None):
        return train_tiny(name, network=network, policy="dihedral", changed=changed, **section)[0]

    straight = train("straight")
    # In the midst of an epoch: of five steps the sampler's, of seven the other's.
    with stop_at(TorchLearner.step, 7), pytest.raises(KeyboardInterrupt):
        train("cut")
    assert same_weights(straight, train("cut", make_network(99)))


def test_a_training_draws_by_the_recipe_s_sampler_and_weighs_by_what_it_shows(train_tiny, on_entry):
    part = train_tiny.inputs("none").train
    uneven = ImagePart(part.images, (np.arange(33) % 4 == 0).astype(np.int64))
    rows, weights = [], []
    section = {"balance": "sampler", "class_weights": "balanced", "epochs": 1, "batch_size": 8}
    with (
        on_entry(TorchLearner.step, lambda given: rows.extend(given["batch"][2].tolist())),
        on_entry(mean_loss, lambda given: weights.append(given["weights"].tolist())),
    ):
        train_tiny("a", policy="none", changed={"train": uneven}, **section)
    assert rows == epoch_rows(BalancedBatches(uneven.targets, 8, 7), 0)
    assert weights[0] == [1, 1]


def test_fixed_copies_follow_each_other_and_are_the_same_in_every_epoch(inputs):
    given_ = inputs("p3")
    shown = arrange(given_, TrainSection(), 3)
    assert len(shown.train) == 3 * 23
    assert shown.policy.changes_nothing, "what is drawn is in the images already"
    np.testing.assert_array_equal(shown.train.targets, np.repeat(TARGETS, 3))
    rows = np.array([4, 5, 30])
    drawn = given_.policy.draw(given_.seed, 0, rows.tolist())
    wanted = augment_bytes(given_.train.images[rows // 3], drawn)
    np.testing.assert_array_equal(shown.train.images[rows], wanted)
    assert (wanted[0] != wanted[1]).any(), "copies of one image differ"
    np.testing.assert_array_equal(shown.train.images[rows[::-1]], wanted[::-1])
    np.testing.assert_array_equal(shown.train.images[4:6], wanted[:2])
    assert shown.once is given_.train
    assert shown.val is given_.val


def test_copies_come_before_balance(inputs):
    shown = arrange(inputs("p3"), OVERSAMPLE, 2)
    assert np.bincount(shown.train.targets).tolist() == [26, 26, 26]
    assert shown.train.images.rows[:46].tolist() == np.repeat(np.arange(23), 2).tolist()


def test_nothing_to_arrange_changes_nothing(inputs):
    given_ = inputs("p3")
    assert arrange(given_, TrainSection(balance="sampler"), None) is given_


@pytest.mark.parametrize(
    ("balance", "copies", "shown", "synthetic"),
    [
        ("none", None, [13, 4, 6], [0, 0, 0]),
        ("none", 2, [26, 8, 12], [0, 0, 0]),
        ("sampler", None, [23 / 3, 23 / 3, 23 / 3], [0, 0, 0]),
        ("oversample", 2, [26, 26, 26], [0, 0, 0]),
        ("smote", None, [13, 13, 13], [0, 9, 7]),
    ],
)
def test_the_record_tells_what_is_shown_and_weighs_by_it(inputs, balance, copies, shown, synthetic):
    section = TrainSection(balance=balance, class_weights="balanced", loss="focal")
    report = describe_balance(TARGETS, NAMES, section, copies)
    rows = list(report.classes.values())
    assert [one.images for one in rows] == [13, 4, 6]
    assert [one.shown for one in rows] == pytest.approx(shown)
    assert [one.synthetic for one in rows] == synthetic
    weights = sum(shown) / (3 * np.array(shown))
    assert [one.weight for one in rows] == pytest.approx(weights)
    assert (report.method, report.copies, report.focal_gamma) == (balance, copies, 2.0)
    assert not report.is_plain
    assert describe_balance(TARGETS, NAMES, TrainSection(), None).is_plain
    # The training itself comes to the same weights from what it is given.
    counts = np.bincount(arrange(inputs(), section, copies).train.targets, minlength=3)
    trained = class_weights(shown_counts(counts, balance), "balanced")
    np.testing.assert_allclose(trained, weights)


def test_a_class_without_an_image_is_left_out():
    counts = np.array([6, 0, 2])
    assert shown_counts(counts, "sampler").tolist() == [4, 0, 4]
    assert shown_counts(counts, "smote").tolist() == [6, 0, 6]
    rows = epoch_rows(BalancedBatches(np.array([0, 0, 0, 2]), 2, 0), 0)
    assert set(np.array(rows) % 4) <= {0, 1, 2, 3}


def test_synthetic_vectors_lie_between_two_of_their_class():
    random = np.random.default_rng(1)
    vectors = random.normal(size=(23, 5)).astype(np.float32)
    made = add_synthetic(ImagePart(vectors, TARGETS), seed=3)
    assert made.images.dtype == np.float32
    np.testing.assert_array_equal(made.images[:23], vectors)
    assert np.bincount(made.targets).tolist() == [13, 13, 13]
    for vector, target in zip(made.images[23:], made.targets[23:], strict=True):
        own = vectors[target == TARGETS].astype(np.float64)
        gaps = np.linalg.norm(own - vector, axis=1)
        pairs = gaps[:, None] + gaps - np.linalg.norm(own[:, None] - own, axis=2)
        np.fill_diagonal(pairs, np.inf)
        assert pairs.min() < 1e-5, "it lies on the line between two"
    again = add_synthetic(ImagePart(vectors, TARGETS), seed=3)
    np.testing.assert_array_equal(again.images, made.images)
    even = ImagePart(vectors[:12], np.arange(12) % 3)
    assert add_synthetic(even, 0) is even


def test_a_class_of_two_has_one_neighbour_and_a_class_of_one_is_refused():
    targets = np.array([0] * 5 + [1] * 2)
    made = add_synthetic(ImagePart(np.eye(7, dtype=np.float32), targets), 0)
    assert np.bincount(made.targets).tolist() == [5, 5]
    check_neighbours(targets, ("a", "b", "absent"))
    with pytest.raises(DataError, match="the class 'b' has one training image"):
        check_neighbours(targets[:6], ("a", "b"))


@pytest.fixture
def passes(on_entry):
    """How many images went through the backbone, part by part."""
    seen = []
    with on_entry(embed, lambda given: seen.append(len(given["part"]))):
        yield seen


@pytest.fixture
def trained_on(on_entry):
    """The inputs of the head's training."""
    seen = []
    with on_entry(fit, lambda given: seen.append(given["inputs"])):
        yield seen


@pytest.mark.parametrize(
    ("policy", "balance", "copies", "n_embedded", "n_shown"),
    [
        ("p3", "none", 3, 69, 69),
        ("p3", "oversample", 2, 78, 78),  # each repetition is a picture of its own
        ("none", "oversample", None, 23, 39),
        ("none", "smote", None, 23, 39),
    ],
)
def test_behind_a_frozen_backbone_each_picture_is_looked_at_once(
    inputs, train_tiny, passes, trained_on, policy, balance, copies, n_embedded, n_shown
):
    section = TrainSection(balance=balance, epochs=2, batch_size=8, batch_norm="recalibrated")
    frozen = replace(inputs(policy), tuning=Tuning({"head": "1"}, freeze="backbone"))
    assert needs_features_only(arrange(frozen, section, copies))
    shown = arrange(frozen, section, copies)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    fit_head(network, section, shown, train_tiny.folder("a"))
    assert passes == [n_embedded, 12], "validation images are never repeated"
    (given_,) = trained_on
    assert len(given_.train) == n_shown
    assert len(given_.once) == n_embedded
    val = frozen.val.images.transpose(0, 3, 1, 2).reshape(12, -1) / np.float32(255)
    np.testing.assert_allclose(given_.val.images, val, atol=1e-6)
    if copies is not None:
        first = shown.train.images[:1].transpose(0, 3, 1, 2).reshape(-1) / np.float32(255)
        np.testing.assert_allclose(given_.train.images[:1][0], first, atol=1e-6)


def test_batch_norm_is_recalibrated_on_the_training_images_as_they_are(train_tiny, on_entry):
    seen = []
    given_ = train_tiny.inputs("p3")
    shown = arrange(given_, OVERSAMPLE, 2)
    changed = {"train": shown.train, "plain": shown.plain}
    with on_entry(choose_images, lambda given: seen.append(given["part"])):
        train_tiny("a", policy="none", changed=changed, epochs=1, batch_norm="recalibrated")
    assert seen == [given_.train]


def test_epochs_of_what_is_repeated_are_whole(inputs):
    shown = arrange(inputs(), OVERSAMPLE, None)
    assert sorted(epoch_rows(EpochBatches(len(shown.train), 8, 0), 1)) == list(range(39))


def test_a_table_of_features_may_be_balanced_too(inputs):
    table = Embedding(channels=("a", "b"), table="t.npz", table_sha256="0")
    vectors = ImagePart(np.zeros((23, 1, 1, 2), dtype=np.float32), TARGETS)
    shown = arrange(replace(inputs(), train=vectors, preprocessing=table), OVERSAMPLE, None)
    assert needs_features_only(shown)
    assert shown.train.images.shape == (39, 1, 1, 2)
