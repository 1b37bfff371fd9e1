"""Freezing of a network's weights.

The order of definition is the order from input to output: a cut at a module freezes all that is
defined before it. That holds for every network of the registry, and a cut may be inside a block, as
P5's is.

*Untrained* tensors are those that neither the initial weights' source contains nor an earlier
training has included, such as the gates of a squeeze-and-excitation beside ImageNet's weights. No
cut freezes them: what is random would stay random.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from torch import nn

from eosin.core.errors import RecipeError, close_matches
from eosin.networks.branches import Branches, named_paths
from eosin.networks.registry import count_params

#: Values of ``transfer.freeze`` besides the names of stages and the paths of modules.
NOTHING = "none"
BACKBONE = "backbone"


def find_cut(network: nn.Module, stages: Mapping[str, str], freeze: str) -> str | None:
    """Return the path of the first module that is trained; None where nothing is frozen.

    Args:
        network: The network.
        stages: Of its :class:`~eosin.networks.registry.NetworkSpec`.
        freeze: ``none``; ``backbone``: all but the head; ``before:NAME``: all before a stage, or
            before the module of that path.

    Raises:
        RecipeError: There is no such stage or module.
    """
    if freeze == NOTHING:
        return None
    if freeze == BACKBONE:
        return stages["head"]
    name = freeze.removeprefix("before:")
    paths = [path for path, _ in named_paths(network) if path]
    if name == freeze or (name not in stages and name not in paths):
        known = [NOTHING, BACKBONE, *(f"before:{stage}" for stage in stages)]
        raise RecipeError(
            f"'transfer.freeze': {freeze!r} names no part of this network",
            hint=close_matches(freeze, known),
        )
    return stages.get(name, name)


def frozen_modules(network: nn.Module, cut: str | None) -> list[nn.Module]:
    """Return the modules wholly defined before the cut, each once, without their parents."""
    return [] if cut is None else list(_modules_before(network, cut.split(".")))


def _modules_before(node: nn.Module, steps: list[str]) -> Iterator[nn.Module]:
    if isinstance(node, Branches):
        for branch in node:
            yield from _modules_before(branch, steps)
        return
    for name, child in node.named_children() if steps else ():
        if name == steps[0]:
            yield from _modules_before(child, steps[1:])
            return
        yield child


def freeze(network: nn.Module, cut: str | None, untrained: Collection[str] = ()) -> int:
    """Freeze the weights before the cut, unfreeze all others and return the number of these.

    Args:
        network: The network.
        cut: Path of the first module that is trained; None freezes nothing.
        untrained: Tensors that stay trainable wherever they are.
    """
    frozen = weights_before(network, cut).difference(untrained)
    for name, weight in network.named_parameters():
        weight.requires_grad_(name not in frozen)
    return count_params(network, trained_only=True)


def weights_before(network: nn.Module, cut: str | None) -> set[str]:
    """Return the names of the weights that are defined before the cut."""
    before = {id(weight) for weight in _own_weights_before(network, cut)}
    for module in frozen_modules(network, cut):
        before.update(id(weight) for weight in module.parameters())
    return {name for name, weight in network.named_parameters() if id(weight) in before}


def _own_weights_before(network: nn.Module, cut: str | None) -> list[nn.Parameter]:
    """Return the weights of the cut's parents themselves, such as a transformer's tokens."""
    if cut is None:
        return []
    steps = cut.split(".")
    above = {".".join(steps[:depth]) for depth in range(len(steps))}
    parents = [module for path, module in named_paths(network) if path in above]
    return [weight for parent in parents for weight in parent.parameters(recurse=False)]


def hold_still(network: nn.Module, cut: str | None, untrained: Collection[str] = ()) -> None:
    """Put the frozen part into evaluation mode, which fixes batch-norm statistics and dropout.

    A layer with untrained tensors stays in training mode: new batch-norm learns its statistics.
    To be called after every ``network.train()``.
    """
    for module in frozen_modules(network, cut):
        module.eval()
    for name in untrained:
        # Itself alone: what is inside it may be frozen.
        network.get_submodule(name.rpartition(".")[0]).training = True
