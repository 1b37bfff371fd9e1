"""Share of the evidence that lies on nuclei, where they are known: on simulated images.

The measure is the energy-based pointing game of Wang et al., "Score-CAM" (2020), section 4.3, with
nuclei in place of bounding boxes.

What differs: the share of the area is beside it, which evidence at random places would have.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from eosin.artifacts.explanation_checks import NucleiShare
from eosin.artifacts.metrics import Metric
from eosin.core.types import BoolArray, FloatArray
from eosin.metrics.intervals import interval


def share_on(evidence: FloatArray, mask: BoolArray) -> float:
    """Return the share of a map's positive evidence inside a mask, both (H, W); NaN without any."""
    positive = np.maximum(evidence, 0)
    total = float(positive.sum())
    return float(positive[mask].sum()) / total if total > 0 else float("nan")


def mean_share(
    shares: Sequence[float], areas: Sequence[float], groups: Sequence[Hashable]
) -> NucleiShare:
    """Return the mean share of the evidence on nuclei, beside that of the area.

    Args:
        shares: Of the evidence for a class, one an image; NaN where there is none.
        areas: Of the area.
        groups: Group of each image.
    """
    share, area = np.array(shares), np.array(areas)
    has_some = np.flatnonzero(~np.isnan(share)).tolist()
    chosen = [groups[row] for row in has_some]
    columns = (share[has_some], area[has_some], (share - area)[has_some])
    found = [_mean(values, chosen) for values in columns]
    return NucleiShare(n_images=len(has_some), share=found[0], area=found[1], difference=found[2])


def _mean(values: FloatArray, groups: Sequence[Hashable]) -> Metric:
    if not len(values):
        return Metric(value=None, reason="no image has evidence for it")
    return Metric.of(interval(values, np.mean, groups))
