"""The loss for teachers' probabilities, by hand, and whose probabilities a batch is given."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from eosin.recipe.schema import TrainSection
from eosin.training.balance import arrange
from eosin.training.data import ImagePart
from eosin.training.mixup import Mixup
from eosin.training.optimisers import mean_loss, teacher_loss
from eosin.training.pytorch import TorchLearner


def batch(count=12, n_classes=3):
    random = torch.Generator().manual_seed(0)
    logits, other = torch.randn(2, count, n_classes, generator=random)
    return logits, (2 * other).softmax(dim=1)


def test_it_is_the_mean_divergence_weighted_by_image():
    logits, soft = batch()
    weights = torch.linspace(0.5, 2.0, 12)
    q = logits.softmax(dim=1)
    each = (soft * (soft / q).log()).sum(dim=1)
    wanted = (weights * each).sum() / weights.sum()
    torch.testing.assert_close(teacher_loss(logits, soft, weights), wanted)
    assert teacher_loss(soft.log(), soft, weights) == pytest.approx(0.0, abs=1e-6)


def test_a_certain_teacher_is_a_label():
    logits, _ = batch()
    targets = torch.arange(12) % 3
    certain = functional.one_hot(targets, 3).float()
    found = teacher_loss(logits, certain, torch.ones(12))
    torch.testing.assert_close(found, functional.cross_entropy(logits, targets))


@pytest.mark.parametrize("section", [{}, {"mixup": 0.5}, {"class_weights": "balanced"}])
def test_a_step_minimises_both_in_their_shares(train_tiny, make_network, section):
    soft = np.random.default_rng(0).dirichlet([1, 1], 33).astype(np.float32)
    inputs = train_tiny.inputs("none")
    plain = inputs.train
    inputs = train_tiny.inputs("none", train=ImagePart(plain.images, plain.targets, soft))
    section = TrainSection(batch_size=8, teacher_weight=0.7, **section)
    learner = TorchLearner(make_network(), section, inputs)
    learner.begin_epoch(0)
    rows = [5, 0, 32, 7, 11, 3, 34, 20]  # 34: row 1 once more
    logits, targets, loss = learner.step(learner.read(rows, 0), 4)
    logits, targets = torch.from_numpy(logits), torch.from_numpy(targets)
    weights = torch.tensor(inputs.class_weights(section), dtype=torch.float32)
    given = torch.from_numpy(soft[[5, 0, 32, 7, 11, 3, 1, 20]])

    def both(order):
        hard = mean_loss(logits, targets[order], weights, section)
        return 0.3 * hard + 0.7 * teacher_loss(logits, given[order], weights[targets[order]])

    if section.mixup:
        mixup = Mixup.draw(0.5, 8, inputs.seed, 4)
        wanted = mixup.share * both(range(8)) + (1 - mixup.share) * both(mixup.partner)
    else:
        wanted = both(range(8))
    assert loss == pytest.approx(wanted.item(), rel=1e-5)


def test_copies_and_repetitions_keep_their_image_s_probabilities(train_tiny):
    inputs = train_tiny.inputs("p1")
    soft = np.random.default_rng(0).dirichlet([1, 1], 33).astype(np.float32)
    part = ImagePart(inputs.train.images, inputs.train.targets, soft)
    inputs = train_tiny.inputs("p1", train=part.at(np.arange(20)))
    found = arrange(inputs, TrainSection(balance="oversample"), 3).train
    assert len(found) >= 60
    np.testing.assert_array_equal(found.soft[:60], soft[:20].repeat(3, axis=0))
    np.testing.assert_array_equal(part.at(np.array([4, 4, 0])).soft, soft[[4, 4, 0]])
