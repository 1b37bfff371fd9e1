"""The model of a run with folds: the mean of its members' calibrated probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.metrics import Threshold
from eosin.artifacts.model import ModelInfo, Planes, Preprocessing, Window
from eosin.core.types import Samples
from eosin.datasets.splits import Fold
from eosin.inference.classifier import Classifier
from eosin.networks import build_network
from eosin.networks.ensemble import Ensemble, Rescale
from eosin.pipeline.fitting import Session
from eosin.pipeline.modelling import Origin, write_info, write_network
from eosin.training.checkpoints import load_weights


def write_ensemble(session: Session, folds: Sequence[Fold], run: RunFolder) -> Session:
    """Make ``RUN/model``.

    Args:
        session: Recipe, images, device.
        folds: All finished.
        run: The run folder that holds them.

    Returns:
        The session with images windowed as the ensemble reads them.
    """
    recipe, samples = session.recipe, folds[0].samples
    places = [ModelFolder(run.fold(fold.repeat, fold.fold).model) for fold in folds]
    infos = [Classifier(place.root).info for place in places]
    preprocessing = join_preprocessing([info.preprocessing for info in infos])
    members = []
    for place, info in zip(places, infos, strict=True):
        network = build_network(
            recipe.model.name,
            num_classes=len(samples.class_names),
            input_px=preprocessing.input_px[0],
            in_channels=len(preprocessing.channels),
            arguments=recipe.model.arguments,
        )
        load_weights(place.weights, network)
        members.append(_with_own_window(network, info, preprocessing))
    origin = Origin(
        architecture="ensemble",
        arguments={
            "architecture": recipe.model.name,
            "members": len(members),
            "input_px": preprocessing.input_px[0],
            **recipe.model.arguments,
        },
        samples=samples,
        preprocessing=preprocessing,
        facts=session.prepared.facts,
        fingerprint=session.prepared.fingerprint,
        # All members began alike.
        chain=infos[0].transfer_chain,
    )
    session = replace(session, bank=session.bank.windowed(preprocessing))
    ensemble = Ensemble(members, [info.temperature for info in infos]).eval()
    folder = ModelFolder(run.model)
    draft = write_network(ensemble, folder, origin, session.bank.of(_some(samples)))
    # The members' temperatures are inside the ensemble.
    threshold = _mean_threshold([info.threshold for info in infos])
    write_info(folder, draft, temperature=1.0, threshold=threshold)
    return session


def join_preprocessing(parts: Sequence[Preprocessing]) -> Preprocessing:
    """Return one preprocessing for all members: the widest window of counts of each channel."""
    first = parts[0].planes
    windows = [part.planes.window for part in parts if part.planes and part.planes.window]
    if first is None or not windows:
        return parts[0]
    window = Window(
        low=tuple(min(values) for values in zip(*(w.low for w in windows), strict=True)),
        high=tuple(max(values) for values in zip(*(w.high for w in windows), strict=True)),
        percentiles=windows[0].percentiles,
    )
    planes: Planes = first.model_copy(update={"window": window})
    return parts[0].model_copy(update={"planes": planes})


def _with_own_window(network: nn.Module, info: ModelInfo, joined: Preprocessing) -> nn.Module:
    """Let a member see what its own window of counts would have shown it."""
    own = info.preprocessing
    if own.planes is None or own.planes.window is None:
        return network
    if joined.planes is None or joined.planes.window is None:
        raise AssertionError("members with windows are joined with one")
    shared, wanted = joined.planes.window, own.planes.window
    low, high = np.array(shared.low), np.array(shared.high)
    own_low, own_high = np.array(wanted.low), np.array(wanted.high)
    mean, std = np.array(own.mean), np.array(own.std)
    # From the shared share of its window, 0…1, to the member's: own = start + share * stretch.
    width = np.maximum(own_high - own_low, 1.0)
    stretch, start = np.maximum(high - low, 1.0) / width, (low - own_low) / width
    rescale = Rescale(
        factor=stretch.tolist(),
        offset=((start + mean * stretch - mean) / std).tolist(),
        low=((0.0 - mean) / std).tolist(),
        high=((1.0 - mean) / std).tolist(),
    )
    return nn.Sequential(rescale, network)


def _mean_threshold(thresholds: Sequence[Threshold]) -> Threshold:
    """Average the members' thresholds, as the ensemble averages their probabilities.

    A threshold chosen on the pooled out-of-fold predictions of single members does not carry over:
    a mean of probabilities is spread differently, and once called every image positive.
    """
    values = [threshold.value for threshold in thresholds if threshold.value is not None]
    if not values:
        return thresholds[0]
    return Threshold(
        value=float(np.mean(values)),
        source="mean of the folds' thresholds, each chosen on its inner validation part",
        target_recall=thresholds[0].target_recall,
    )


def _some(samples: Samples) -> Samples:
    return samples.where(np.arange(len(samples)) % max(1, len(samples) // 64) == 0)
