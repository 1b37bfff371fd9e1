"""Mixup and label smoothing: their losses by hand, and that evaluations know nothing of them."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from eosin.artifacts.predictions import read_history
from eosin.recipe.schema import TrainSection
from eosin.training.mixup import Mixup
from eosin.training.optimisers import mean_loss
from eosin.training.pytorch import TorchLearner

WEIGHTS = torch.tensor([0.5, 2.0, 1.0])


def batch(count=20, n_classes=3):
    random = torch.Generator().manual_seed(0)
    return torch.randn(count, n_classes, generator=random), torch.arange(count) % n_classes


def test_a_mixture_is_a_pure_function_of_seed_and_step():
    first, again = (Mixup.draw(0.4, 32, 3, 5) for _ in range(2))
    assert (first.share, first.partner.tolist()) == (again.share, again.partner.tolist())
    for other in (Mixup.draw(0.4, 32, 3, 6), Mixup.draw(0.4, 32, 4, 5)):
        assert other.share != first.share
        assert other.partner.tolist() != first.partner.tolist()
    assert sorted(first.partner.tolist()) == list(range(32))


def test_shares_follow_the_beta_distribution_folded_at_a_half():
    shares = np.array([Mixup.draw(1.0, 2, 0, number).share for number in range(2000)])
    assert shares.min() >= 0.5
    assert shares.max() < 1.0
    # Of Beta(1, 1): uniform from 0.5 to 1, so that the mean's error is 0.144 / √2000.
    assert shares.mean() == pytest.approx(0.75, abs=5 * 0.144 / 2000**0.5)


def test_inputs_are_mixed_with_the_partner():
    mixup = Mixup(torch.tensor([1, 0]), 0.75)
    found = mixup.mix(torch.tensor([[1.0, 2.0], [5.0, 10.0]]))
    torch.testing.assert_close(found, torch.tensor([[2.0, 4.0], [4.0, 8.0]]))


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_the_loss_is_that_of_both_classes_each_with_its_weight(loss):
    logits, targets = batch()
    section = TrainSection(loss=loss)
    mixup = Mixup.draw(1.0, len(targets), 0, 0)
    found = mixup.mean_loss(lambda rows: mean_loss(logits, targets[rows], WEIGHTS, section))
    log_p = logits.log_softmax(dim=1)
    gamma, total = 2.0 if loss == "focal" else 0.0, 0.0
    pairs = ((targets, mixup.share), (targets[mixup.partner], 1 - mixup.share))
    for row in range(len(targets)):
        for classes, share in pairs:
            log_q = log_p[row, classes[row]]
            factor = (1 - log_q.exp()) ** gamma
            total = total - share * WEIGHTS[classes[row]] * factor * log_q
    torch.testing.assert_close(found, total / WEIGHTS[targets].sum())


def test_without_weights_it_is_the_cross_entropy_of_mixed_labels():
    logits, targets = batch()
    mixup = Mixup.draw(0.5, len(targets), 1, 2)
    ones, section = torch.ones(3), TrainSection()
    found = mixup.mean_loss(lambda rows: mean_loss(logits, targets[rows], ones, section))
    labels = functional.one_hot(targets, 3).float()
    mixed = mixup.share * labels + (1 - mixup.share) * labels[mixup.partner]
    torch.testing.assert_close(found, functional.cross_entropy(logits, mixed))


def test_a_step_sees_mixed_images_and_counts_the_class_of_the_larger_share(
    train_tiny, make_network, monkeypatch
):
    section = TrainSection(batch_size=8, mixup=1.0)
    inputs, seen = train_tiny.inputs("none"), []
    network = make_network()
    network.register_forward_pre_hook(lambda _module, given: seen.append(given[0].clone()))
    learner = TorchLearner(network, section, inputs)
    learner.begin_epoch(0)
    rows = list(range(8))
    logits, targets, _ = learner.step(learner.read(rows, 0), 11)
    assert targets.tolist() == inputs.train.targets[rows].tolist()
    assert logits.shape == (8, 2)
    mixup = Mixup.draw(1.0, 8, inputs.seed, 11)
    images = torch.from_numpy(inputs.train.images[rows]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(seen[0], mixup.mix(images))


def test_label_smoothing_by_hand():
    logits, targets = batch()
    ones = torch.ones(3)
    found = mean_loss(logits, targets, ones, TrainSection(), label_smoothing=0.1)
    log_p = logits.log_softmax(dim=1)
    own = -log_p[torch.arange(20), targets].mean()
    torch.testing.assert_close(found, 0.9 * own - 0.1 * log_p.mean())


@pytest.mark.parametrize("changed", [{"mixup": 0.4}, {"label_smoothing": 0.2}])
def test_validation_is_neither_mixed_nor_smoothed(train_tiny, changed):
    # A rate at which no weight moves: only the training loss tells.
    section = {"epochs": 1, "lr": 1e-30}
    before, after = (
        read_history(train_tiny(name, **section, **more)[1].history)
        for name, more in (("plain", {}), ("changed", changed))
    )
    assert before["loss"][0] != after["loss"][0]
    if "mixup" not in changed:  # batch-norm's statistics are those of mixed images
        assert before["val_loss"][0] == after["val_loss"][0]
