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
from eosin.explanation.evidence import Evidence, enlarge, log_odds_gradient, refuse
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
            f"the output of {layers[self._cut - 1][0]}, each map times the mean derivative of the "
            "log-odds with respect to it"
        )

    def explain(self, image: Image, target: int) -> Evidence:
        """Return the evidence for the class ``target`` in an image, uint8 (H, W, C).

        Part: ``cells``, the map before it is enlarged.
        """
        inputs = to_input(image[None], self._info.preprocessing)
        found = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))  # the engine: channels last
        layers = list(self._network.layers.values())
        for layer in layers[: self._cut]:
            found = layer.forward(found, training=False)
        features, tail = found[0], layers[self._cut :]
        # Dense layers and activations are the same in training, and keep what backward needs.
        for layer in tail:
            found = layer.forward(found, training=True)
        temperature = self._info.temperature
        slope = log_odds_gradient(found / temperature, target) / temperature
        gradient = slope.astype(features.dtype)
        for layer in reversed(tail):
            gradient = kept(layer.backward(gradient))
        cells = features @ gradient[0].sum(axis=(0, 1))
        return Evidence(enlarge(cells, image.shape[:2]), {"cells": cells})
