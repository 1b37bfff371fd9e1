"""Optimisers and schedules, counted in evaluations, by hand."""

import pytest
import torch
from torch import nn

from eosin.recipe.schema import ScheduleSection, TrainSection
from eosin.training.optimisers import make_optimizer, make_scheduler, step_scheduler
from eosin.training.pytorch import TorchLearner

DOUBLE = 1e-12  # rounding of a few products in double precision


def rates(section, values, *, higher_better=False, evaluations=None):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(
        optimizer,
        ScheduleSection(**section),
        evaluations=evaluations or len(values),
        higher_better=higher_better,
    )
    found = []
    for value in values:
        optimizer.step()
        step_scheduler(scheduler, value)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_a_constant_rate():
    assert rates({}, [1, 2, 3]) == [1.0, 1.0, 1.0]


def test_p3_halves_every_fifth_evaluation():
    found = rates({"name": "step", "factor": 0.5, "every": 5}, [0.0] * 11)
    assert found == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_a_plateau_acts_after_patience_evaluations_without_gain():
    section = {"name": "plateau", "factor": 0.5, "patience": 1, "min_lr": 0.3}
    falling = [5, 4, 4, 4, 3, 3, 3, 3, 3]
    assert rates(section, falling) == [1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3]


def test_a_plateau_of_an_accuracy_wants_more():
    section = {"name": "plateau", "factor": 0.5, "patience": 0}
    assert rates(section, [0.5, 0.6, 0.6], higher_better=True) == [1, 1, 0.5]
    assert rates(section, [0.5, 0.6, 0.6], higher_better=False) == [1, 0.5, 0.25]


def test_a_cosine_ends_at_its_floor_with_the_training():
    found = rates({"name": "cosine", "min_lr": 0.1}, [0.0] * 4)
    assert found[1] == pytest.approx(0.55, abs=DOUBLE)  # half-way
    assert found[3] == pytest.approx(0.1, abs=DOUBLE)


def test_the_recipe_s_optimiser():
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    adam = make_optimizer(network, TrainSection(lr=0.1, betas=(0.6, 0.8), weight_decay=0.2))
    assert type(adam) is torch.optim.Adam
    group = adam.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.1, (0.6, 0.8), 0.2)
    assert [id(p) for p in group["params"]] == [id(network.weight)]  # frozen weights stay out
    assert type(make_optimizer(network, TrainSection(optimizer="adamw"))) is torch.optim.AdamW
    sgd = make_optimizer(network, TrainSection(optimizer="sgd", momentum=0.5))
    assert type(sgd) is torch.optim.SGD
    assert sgd.param_groups[0]["momentum"] == 0.5


def test_a_warm_up_lowers_the_first_steps_and_leaves_the_schedule(train_tiny, make_network):
    inputs, start = train_tiny.inputs("none"), make_network().state_dict()
    moved, rates = {}, {}
    for warmup in (0.0, 1.5):
        schedule = ScheduleSection(name="step", every=2, factor=0.1, warmup=warmup)
        section = TrainSection(
            optimizer="sgd", momentum=0.0, lr=0.1, batch_size=8, epochs=3, schedule=schedule
        )
        learner = TorchLearner(make_network(), section, inputs)
        rates[warmup], number = [], 0
        for epoch in range(3):
            learner.begin_epoch(epoch)
            for first in range(0, 32, 8):
                learner.step(learner.read(list(range(first, first + 8)), epoch), number)
                if number == 0:
                    moved[warmup] = learner.network.state_dict()["5.weight"] - start["5.weight"]
                rates[warmup].append(learner.lr)
                number += 1
            learner.step_schedule(0.0)
    assert rates[0.0] == [0.1] * 8 + [pytest.approx(0.01)] * 4
    # 33 images: an epoch has four batches, so that the warm-up has six steps.
    assert rates[1.5][:6] == pytest.approx([0.1 * step / 6 for step in range(1, 7)])
    assert rates[1.5][6:] == rates[0.0][6:]
    torch.testing.assert_close(moved[1.5] * 6, moved[0.0], rtol=1e-4, atol=1e-7)
