"""Cuts between what is trained and what is left as it is."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from eosin.core.errors import RecipeError
from eosin.networks import NETWORKS, build_network
from eosin.networks.freezing import find_cut, freeze, frozen_modules, hold_still


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)  # 6 weights
        self.norm = nn.BatchNorm1d(2)  # 4
        self.last = nn.Linear(2, 2)  # 6


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(2, 2)
        self.blocks = nn.Sequential(Block(), nn.Dropout(0.5), Block())
        self.head = nn.Linear(2, 2)


STAGES = {"stem": "stem", "block1": "blocks.0", "block2": "blocks.2", "head": "head"}
ALL = 6 + 16 + 16 + 6


@pytest.mark.parametrize(
    ("choice", "trained"),
    [
        ("none", ALL),
        ("backbone", 6),
        ("before:stem", ALL),
        ("before:block1", ALL - 6),
        ("before:block2", 16 + 6),
        ("before:head", 6),
        ("before:blocks.2.norm", 4 + 6 + 6),  # inside a block, as P5
        ("before:blocks.0.last", 6 + 16 + 6),
    ],
)
def test_weights_behind_the_cut_are_trained(choice, trained):
    network = Network()
    assert freeze(network, find_cut(network, STAGES, choice)) == trained
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == trained


def test_weights_that_a_parent_of_the_cut_holds_itself_are_frozen():
    network = Network()
    network.token = nn.Parameter(torch.zeros(3))
    assert freeze(network, "blocks.0") == ALL - 6
    assert not network.token.requires_grad
    assert freeze(network, None) == ALL + 3


@pytest.mark.parametrize("choice", ["backbone", "before:blocks.2.norm"])
def test_no_cut_freezes_what_no_training_has_included(choice):
    network, untrained = Network(), ("blocks.0.first.bias", "blocks.0.norm.weight")
    cut = find_cut(network, STAGES, choice)
    assert freeze(network, cut, untrained) == freeze(Network(), cut) + 2 + 2
    trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert set(untrained) <= trained
    assert "blocks.0.first.weight" not in trained
    assert freeze(network, cut) == freeze(Network(), cut)  # once it has been included


def test_another_cut_takes_the_place_of_the_first():
    network = Network()
    freeze(network, "head")
    assert freeze(network, "blocks.2") == 22
    assert freeze(network, None) == ALL


@pytest.mark.parametrize("choice", ["blocks.2", "before:", "before:block3", "all", ""])
def test_what_is_no_part_is_refused_with_the_names_that_are(choice):
    with pytest.raises(RecipeError, match=r"'transfer\.freeze'.*before:block2|Known: "):
        find_cut(Network(), STAGES, choice)


def test_the_frozen_part_rests_and_the_trained_one_does_not():
    network = Network().train()
    hold_still(network, "blocks.2.norm")
    resting = [name for name, module in network.named_modules() if name and not module.training]
    assert resting == [
        "stem",
        *["blocks.0", "blocks.0.first", "blocks.0.norm", "blocks.0.last"],
        *["blocks.1", "blocks.2.first"],
    ]


def test_frozen_batch_norm_keeps_its_statistics():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    hold_still(network, "1")
    network(torch.rand(8, 2) + 5)
    assert not network[0].running_mean.any()
    assert network[2].running_mean.any()


def test_new_batch_norm_before_the_cut_learns_its_statistics():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.BatchNorm1d(2), nn.Linear(2, 2))
    new = [f"2.{name}" for name in network[2].state_dict() if name != "num_batches_tracked"]
    freeze(network, "3", new)
    network.train()
    hold_still(network, "3", new)
    network(torch.rand(8, 2) + 5)
    assert not network[0].running_mean.any()
    assert not network[1].training
    assert network[2].running_mean.any()
    assert network[2].weight.requires_grad


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_stages_of_a_network_lie_in_the_order_of_its_definition(name):
    spec = NETWORKS.get(name)
    network = build_network(name, num_classes=2, input_px=spec.input_px, arguments={})
    assert list(spec.stages)[-1] == "head"
    trained = [
        freeze(network, find_cut(network, spec.stages, f"before:{stage}")) for stage in spec.stages
    ]
    assert trained[0] == sum(weight.numel() for weight in network.parameters())
    assert all(more > less for more, less in pairwise(trained))
    assert not frozen_modules(network, spec.stages[next(iter(spec.stages))])
