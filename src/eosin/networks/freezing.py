"""Which weights a training leaves as they are.

The order of definition stands for the order from input to output: a cut at a module freezes all
that is defined before it. That holds for every network of the registry, and lets a cut fall inside
a block, as P5's does.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from eosin.core.errors import RecipeError, close_matches

#: What ``transfer.freeze`` may be beside the name of a stage and the path of a module.
NOTHING = "none"
BACKBONE = "backbone"


def find_cut(network: nn.Module, stages: Mapping[str, str], freeze: str) -> str | None:
    """Return the path of the first module that is trained.

    Args:
        network: The network.
        stages: Of its :class:`~eosin.networks.registry.NetworkSpec`.
        freeze: ``none``; ``backbone``: all but the head; ``before:NAME``: all that comes before
            a stage, or before the module of that path.

    Returns:
        The path; ``None`` where nothing is frozen.

    Raises:
        RecipeError: There is no such stage or module.
    """
    if freeze == NOTHING:
        return None
    if freeze == BACKBONE:
        return stages["head"]
    name = freeze.removeprefix("before:")
    paths = [path for path, _ in network.named_modules() if path]
    if name == freeze or (name not in stages and name not in paths):
        known = [NOTHING, BACKBONE, *(f"before:{stage}" for stage in stages)]
        raise RecipeError(
            f"'transfer.freeze': {freeze!r} names no part of this network",
            mend=close_matches(freeze, known),
        )
    return stages.get(name, name)


def frozen_modules(network: nn.Module, cut: str | None) -> list[nn.Module]:
    """Return the modules wholly defined before the cut, each once, without their parents.

    Args:
        network: The network.
        cut: Path of the first module that is trained; ``None`` freezes nothing.
    """
    if cut is None:
        return []
    frozen: list[nn.Module] = []
    node, steps = network, cut.split(".")
    for step in steps:
        for name, child in node.named_children():
            if name == step:
                node = child
                break
            frozen.append(child)
    return frozen


def freeze(network: nn.Module, cut: str | None) -> int:
    """Let gradients flow behind the cut only; undoes an earlier cut.

    Args:
        network: The network.
        cut: Path of the first module that is trained; ``None`` freezes nothing.

    Returns:
        The number of weights that are trained.
    """
    network.requires_grad_(True)
    for module in frozen_modules(network, cut):
        module.requires_grad_(False)
    for weight in _own_weights_before(network, cut):
        weight.requires_grad_(False)
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def _own_weights_before(network: nn.Module, cut: str | None) -> list[nn.Parameter]:
    """Return the weights that the cut's parents hold themselves, as a transformer its tokens."""
    if cut is None:
        return []
    steps = cut.split(".")
    parents = [network.get_submodule(".".join(steps[:depth])) for depth in range(len(steps))]
    return [weight for parent in parents for weight in parent.parameters(recurse=False)]


def hold_still(network: nn.Module, cut: str | None) -> None:
    """Put the frozen part into evaluation mode, so that its batch-norm keeps its statistics.

    Its dropout rests too. To be called after every ``network.train()``.
    """
    for module in frozen_modules(network, cut):
        module.eval()
