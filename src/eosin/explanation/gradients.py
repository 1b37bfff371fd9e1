"""Grad-CAM in the NumPy engine, for the engine's networks.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization" (2017), equations 1 and 2.

What differs: negative values are kept, as evidence against the class, and the map is multiplied by
its number of places, so that it is the class activation map where a network has one.
"""

from __future__ import annotations

import numpy as np

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.weights import read_arrays
from eosin.core.types import Image
from eosin.engine import ARCHITECTURES
from eosin.engine.layers import kept
from eosin.explanation.evidence import (
    Evidence,
    describe_crops,
    log_odds_gradient,
    refuse,
    spread_cells,
)
from eosin.images.crops import cut_crops
from eosin.images.preprocess import to_input
from eosin.inference.engine import build_engine


class EngineGradCam:
    """Grad-CAM of the last feature map, before the dense layers.

    Args:
        folder: The model folder, whose files have been verified.
        info: Its ``model.json``.

    Raises:
        UsageError: The model is none of the engine's networks.
    """

    method = "gradcam"
    n_masks = None
    members: tuple[str, ...] = ()

    def __init__(self, folder: ModelFolder, info: ModelInfo) -> None:
        if info.architecture not in ARCHITECTURES:
            raise refuse(f"the NumPy engine does not have {info.architecture}", "Grad-CAM")
        self._info = info
        self._network = build_engine(read_arrays(folder.weights), info)
        layers = list(self._network.layers.items())
        self._cut = next(n for n, (name, _) in enumerate(layers) if name.startswith("flatten"))
        self.settings = (
            f"{describe_crops([info.preprocessing])}the output of {layers[self._cut - 1][0]}, "
            "each map times the mean derivative of the "
            "log-odds with respect to it"
        )

    def explain(self, image: Image, target: int) -> Evidence:
        """Return the evidence for the class ``target`` in an image, uint8 (H, W, C).

        Part: ``cells``, the map before it is enlarged; in multi-crop evaluation those of the crops
        (K, h, w).
        """
        given = self._info.preprocessing
        inputs = cut_crops(to_input(image[None], given), given)
        found = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))  # the engine: channels last
        layers = list(self._network.layers.values())
        for layer in layers[: self._cut]:
            found = layer.forward(found, training=False)
        features, tail = found, layers[self._cut :]
        # Dense layers and activations are the same in training, and keep what backward needs.
        for layer in tail:
            found = layer.forward(found, training=True)
        temperature = self._info.temperature
        slope = log_odds_gradient(found / temperature, target) / temperature
        gradient = slope.astype(features.dtype)
        for layer in reversed(tail):
            gradient = kept(layer.backward(gradient))
        cells = np.einsum("khwc,kc->khw", features, gradient.sum(axis=(1, 2)))
        whole = spread_cells(cells, given, (image.shape[0], image.shape[1]))
        return Evidence(whole, {"cells": cells[0] if len(cells) == 1 else cells})
