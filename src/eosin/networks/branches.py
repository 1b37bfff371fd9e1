"""Branches: networks of one architecture side by side, each with weights of its own.

The paths of stages and cuts, and the names of pretrained tensors, leave the number of a branch out:
``backbone.features.0`` stands for ``backbone.0.features.0``, ``backbone.1.features.0`` and so on.
What holds for one branch holds for all.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


class Branches(nn.ModuleList):
    """Networks of one architecture, with unshared weights."""


def plain_names(network: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Return each name of a module or tensor with the same without the number of its branch."""
    prefixes = tuple(
        f"{path}." for path, module in network.named_modules() if isinstance(module, Branches)
    )
    return {name: _without_number(name, prefixes) for name in names}


def _without_number(name: str, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes:
        if name.startswith(prefix):
            rest = name.removeprefix(prefix).partition(".")[2]
            return (prefix + rest).removesuffix(".")
    return name


def named_paths(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return all modules with their paths, without numbers of branches, in the order of definition.

    The modules of all branches at one path follow each other.
    """
    modules = dict(network.named_modules())
    paths = plain_names(network, modules)
    order = {path: place for place, path in enumerate(dict.fromkeys(paths.values()))}
    ordered = sorted(modules, key=lambda name: order[paths[name]])
    return [(paths[name], modules[name]) for name in ordered]
