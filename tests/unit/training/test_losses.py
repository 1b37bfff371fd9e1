"""The focal loss, by hand, beside cross-entropy and beside torchvision's of two classes."""

import math

import pytest
import torch
from torch.nn import functional

from eosin.recipe.schema import TrainSection
from eosin.runtime.door import import_companion
from eosin.training.optimisers import focal_loss, mean_loss

WEIGHTS = torch.tensor([0.5, 2.0, 1.0])


def batch(n_classes=3, count=20):
    random = torch.Generator().manual_seed(0)
    logits = 3.0 * torch.randn(count, n_classes, generator=random)
    return logits.requires_grad_(), torch.arange(count) % n_classes


def test_two_images_by_hand():
    # p = 3/4 of class 0 with weight 1, p = 1/4 of class 1 with weight 3; γ = 2.
    logits = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])
    found = focal_loss(logits, torch.tensor([0, 1]), torch.tensor([1.0, 3.0]), 2.0)
    wanted = (0.25**2 * math.log(4 / 3) + 3 * 0.75**2 * math.log(4)) / 4
    assert found.item() == pytest.approx(wanted, rel=1e-6)


def test_at_gamma_0_it_is_cross_entropy_with_its_gradient():
    logits, targets = batch()
    focal = focal_loss(logits, targets, WEIGHTS, 0.0)
    cross = functional.cross_entropy(logits, targets, weight=WEIGHTS)
    torch.testing.assert_close(focal, cross)
    first, second = (torch.autograd.grad(loss, logits)[0] for loss in (focal, cross))
    torch.testing.assert_close(first, second)


def test_of_two_classes_it_is_torchvision_s():
    ops = import_companion("torchvision.ops")
    logits, targets = batch(n_classes=2)
    peer = ops.sigmoid_focal_loss(
        logits[:, 1] - logits[:, 0], targets.float(), alpha=-1, gamma=1.5, reduction="mean"
    )
    torch.testing.assert_close(focal_loss(logits, targets, torch.ones(2), 1.5), peer)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_what_is_certain_and_right_has_a_finite_gradient(gamma):
    logits = torch.tensor([[200.0, 0.0], [0.0, 1.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0]), torch.ones(2), gamma).backward()
    assert torch.isfinite(logits.grad).all()


def test_the_recipe_chooses_between_them():
    logits, targets = batch()
    focal = mean_loss(logits, targets, WEIGHTS, TrainSection(loss="focal", focal_gamma=3.0))
    assert focal == focal_loss(logits, targets, WEIGHTS, 3.0)
    assert focal < mean_loss(logits, targets, WEIGHTS, TrainSection())
