"""Integrated gradients, through captum.

Source: Sundararajan et al., "Axiomatic Attribution for Deep Networks" (2017), equation 1.

The path goes from the image's mean colour to the image. What differs: the number that is explained
is the log-odds of the whole model, with its ensemble and its views. The attributions of single
pixels change sign from pixel to pixel, so a place of the map is the sum over the window around it,
one as large as occlusion's; the attributions themselves are kept beside it.
"""

from __future__ import annotations

import numpy as np
import torch

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.core.types import FloatArray, Image
from eosin.explanation.evidence import Evidence
from eosin.explanation.gradcam import log_odds_of
from eosin.explanation.occlusion import default_window
from eosin.networks.loading import Calibrated, load_network
from eosin.runtime.door import import_companion

#: Steps of the integral, by the Gauss-Legendre rule; images whose gradients are computed at once.
STEPS, _BATCH = 100, 4


class IntegratedGradients:
    """Integrated gradients of a model.

    Args:
        folder: The model folder, whose files have been verified.
        info: Its ``model.json``.
        steps: Steps of the integral.

    Raises:
        MissingPartError: captum is not installed.
        ArtifactError: The weights do not fit the network.
    """

    method = "integrated_gradients"
    n_masks = None
    members: tuple[str, ...] = ()

    def __init__(self, folder: ModelFolder, info: ModelInfo, *, steps: int = STEPS) -> None:
        network = Calibrated(load_network(folder.weights, info), info).eval()
        network.requires_grad_(False)
        self._network, self._steps = network, steps
        self._window_px = default_window(info.preprocessing.input_px)
        self._method = import_companion("captum.attr").IntegratedGradients(self._log_odds)
        self.settings = (
            f"{steps} steps from the image's mean colour to the image, by the Gauss-Legendre rule; "
            f"each place is the sum over {self._window_px} × {self._window_px} px around it"
        )

    def _log_odds(self, images: torch.Tensor, target: int) -> torch.Tensor:
        return log_odds_of(self._network(images), target)

    def explain(self, image: Image, target: int) -> Evidence:
        """Return the evidence for the class ``target`` in an image, uint8 (H, W, C).

        Parts: ``attributions``, of each channel (C, H, W), whose sum is the difference of the
        log-odds; ``baseline``, the log-odds of the mean colour. Number: ``completeness_gap``, by
        how much the sum differs from that difference.
        """
        pixels = torch.from_numpy(np.moveaxis(image, -1, 0)[None].astype(np.float32)) / 255
        baseline = pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels).contiguous()
        found = (
            self._method.attribute(
                pixels,
                baselines=baseline,
                additional_forward_args=(target,),
                n_steps=self._steps,
                internal_batch_size=_BATCH,
            )[0]
            .detach()
            .numpy()
        )
        with torch.inference_mode():
            there, here = (float(self._log_odds(x, target)[0]) for x in (baseline, pixels))
        return Evidence(
            self._add_up(found.sum(axis=0)),
            {"attributions": found.astype(np.float32), "baseline": np.asarray(there, np.float32)},
            {"completeness_gap": float(found.sum(dtype=np.float64)) - (here - there)},
        )

    def _add_up(self, per_pixel: FloatArray) -> FloatArray:
        """Return the sum over the window around each pixel; outside the image there is nothing."""
        from scipy.ndimage import uniform_filter

        mean = uniform_filter(per_pixel.astype(np.float64), self._window_px, mode="constant")
        found: FloatArray = (mean * self._window_px**2).astype(np.float32)
        return found
