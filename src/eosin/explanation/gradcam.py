"""Grad-CAM in PyTorch, for every network with a feature map, and ensembles of such networks.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization" (2017), equations 1 and 2.

What differs: negative values are kept, as evidence against the class, and the map is multiplied by
its number of places, so that it is the class activation map where a network has one. An ensemble's
map is the mean of its members', each at its own temperature.
"""

from __future__ import annotations

import numpy as np
import torch

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.core.text import listing, quantity
from eosin.core.types import FloatArray, Image
from eosin.explanation.evidence import Evidence, average, describe_crops, spread_cells
from eosin.explanation.feature_layer import FeatureLayer, find_feature_layer
from eosin.explanation.members import inputs_of_members, name_members, share_of_members
from eosin.images.preprocess import to_input
from eosin.networks.loading import load_network, take_apart


class GradCam:
    """Grad-CAM of the last feature map.

    Args:
        folder: The model folder, whose files have been verified.
        info: Its ``model.json``.

    Raises:
        UsageError: The network, or a member of it, has no feature map.
        ArtifactError: The weights do not fit the network.
    """

    method = "gradcam"
    n_masks = None

    def __init__(self, folder: ModelFolder, info: ModelInfo) -> None:
        self._info = info
        self._leaves = take_apart(load_network(folder.weights, info), info.temperature)
        self.members = name_members(folder, info)
        self._shares, self._inputs = share_of_members(info), inputs_of_members(info)
        channels, input_px = len(info.preprocessing.channels), info.preprocessing.input_px
        probe = torch.zeros(1, channels, *input_px)
        self._layers = []
        for leaf in self._leaves:
            leaf.network.requires_grad_(False)
            own_px = tuple(leaf.prepare(probe).shape[2:])
            self._layers.append(find_feature_layer(leaf.network, channels, (own_px[0], own_px[1])))
        n = len(self._leaves)
        mean = "" if n == 1 else f"mean over {quantity(n, 'member')} of "
        mean += describe_crops(self._inputs)
        # Members of one architecture have the same.
        outputs = listing(dict.fromkeys(map(_describe, self._layers)))
        self.settings = (
            f"{mean}the output of {outputs}, each map times the sum of the log-odds' derivatives "
            "with respect to it"
        )

    def explain(self, image: Image, target: int) -> Evidence:
        """Return the evidence for the class ``target`` in an image, uint8 (H, W, C).

        Parts: ``cells``, the map of a single network before it is enlarged, in multi-crop
        evaluation those of the crops (K, h, w); or ``members``, each member's map (M, H, W).
        """
        inputs = torch.from_numpy(to_input(image[None], self._info.preprocessing))
        maps = [self._map(number, inputs, target) for number in range(len(self._leaves))]
        size = image.shape[0], image.shape[1]
        large = [
            spread_cells(cells, own, size) for cells, own in zip(maps, self._inputs, strict=True)
        ]
        if len(maps) == 1:
            (cells,) = maps
            return Evidence(large[0], {"cells": cells[0] if len(cells) == 1 else cells})
        return Evidence(average(large, self._shares), {"members": np.stack(large)})

    def _map(self, number: int, inputs: torch.Tensor, target: int) -> FloatArray:
        """Return the map of each crop (K, h, w) of a network; an input seen whole is one crop."""
        leaf, layer = self._leaves[number], self._layers[number]
        with torch.enable_grad():
            own = leaf.prepare(inputs).requires_grad_()
            logits, found = layer.run(leaf.network, own)
            # Of independent images, whose derivatives do not mix.
            explained = log_odds_of(logits / leaf.temperature, target).sum()
            (gradient,) = torch.autograd.grad(explained, found)
        features = layer.channels_first(found.detach())
        slope = layer.channels_first(gradient).sum((2, 3))
        cells: FloatArray = torch.einsum("kchw,kc->khw", features, slope).numpy()
        return cells


def _describe(layer: FeatureLayer) -> str:
    _, height, width = layer.shape
    return f"{layer.name} ({height} × {width} places)"


def log_odds_of(logits: torch.Tensor, target: int) -> torch.Tensor:
    """Return the log-odds (B,) of a class from calibrated logits (B, K), to be differentiated."""
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - torch.logsumexp(others, dim=1)
