"""Members of an ensemble that is explained: their names and their shares of its mean."""

from __future__ import annotations

from typing import Any

from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo, Preprocessing


def name_members(folder: ModelFolder, info: ModelInfo) -> tuple[str, ...]:
    """Return the name of each single network of an ensemble; empty for a single network.

    A chosen run has its name; the networks of its folds, and of a run's own, are numbered in the
    order of the folds, by repeat and fold where the run folder is there.
    """
    if info.architecture != "ensemble":
        return ()
    names = tuple(name for name, _ in _walk(info.arguments, 1.0, ""))
    folds = [fold.root.name for fold in RunFolder(folder.root.resolve().parent).fold_runs()]
    if not info.members and len(folds) == len(names):
        return tuple(f"fold {name}" for name in folds)
    return names


def share_of_members(info: ModelInfo) -> list[float]:
    """Return each single network's share of the mean; a chosen run's folds divide its own."""
    if info.architecture != "ensemble":
        return [1.0]
    return [share for _, share in _walk(info.arguments, 1.0, "")]


def inputs_of_members(info: ModelInfo) -> list[Preprocessing]:
    """Return the preprocessing of each single network, with its own size of input and of crops."""

    def find(given: Preprocessing, architecture: str, arguments: dict[str, Any]) -> None:
        members = arguments["members"] if architecture == "ensemble" else None
        if members is None:
            found.append(given)
        elif not isinstance(members, list):
            found.extend([given] * members)
        else:
            for member in members:
                size = int(member["input_px"][0]), int(member["input_px"][1])
                own = {"input_px": size, "crop_px": member.get("crop_px")}
                find(given.model_copy(update=own), member["architecture"], member["arguments"])

    found: list[Preprocessing] = []
    find(info.preprocessing, info.architecture, info.arguments)
    return found


def _walk(arguments: dict[str, Any], share: float, prefix: str) -> list[tuple[str, float]]:
    members = arguments["members"]
    if not isinstance(members, list):
        start = f"{prefix}, member" if prefix else "member"
        return [(f"{start} {number}", share / members) for number in range(1, members + 1)]
    found: list[tuple[str, float]] = []
    for member in members:
        own = share / len(members)
        if member["architecture"] == "ensemble":
            found += _walk(member["arguments"], own, member["run"])
        else:
            found.append((member["run"], own))
    return found
