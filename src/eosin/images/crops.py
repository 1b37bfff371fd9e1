"""Multi-crop evaluation: evenly spaced square crops of a field, and the mean of what they give.

Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012),
section 4.1, average the soft-max over crops. What differs: theirs are at fixed places of the image;
these are as many as cover it.
"""

from __future__ import annotations

import numpy as np

from eosin.artifacts.model import Preprocessing
from eosin.core.types import FloatArray, IntArray


def crop_origins(preprocessing: Preprocessing) -> list[tuple[int, int]]:
    """Return top and left of the fewest evenly spaced crops that cover the input, row by row.

    The first and last touch the edges. A network that takes the input whole has one, at (0, 0).
    """
    crop_px = preprocessing.crop_px
    if crop_px is None:
        return [(0, 0)]
    tops, lefts = (_spread(side, crop_px) for side in preprocessing.input_px)
    return [(top, left) for top in tops for left in lefts]


def _spread(side: int, crop_px: int) -> list[int]:
    n_crops = -(-side // crop_px)
    return [(side - crop_px) * place // max(n_crops - 1, 1) for place in range(n_crops)]


def cut_crops(images: FloatArray, preprocessing: Preprocessing) -> FloatArray:
    """Return the crops of inputs (N, C, H, W): the first of all, the second of all, and so on.

    Shape (K · N, C, S, S); of a network that takes the input whole the inputs themselves.
    """
    side = preprocessing.crop_px
    if side is None:
        return images
    origins = crop_origins(preprocessing)
    return np.concatenate(
        [images[:, :, top : top + side, left : left + side] for top, left in origins]
    )


def average_crops(logits: FloatArray, preprocessing: Preprocessing) -> FloatArray:
    """Return the logarithm (N, classes) of the mean probability of crops, as they were cut.

    Logits have the shape (K · N, classes); those of whole inputs are returned unchanged.
    """
    if preprocessing.crop_px is None:
        return logits
    from scipy.special import log_softmax, logsumexp

    n_crops = len(crop_origins(preprocessing))
    logs = log_softmax(logits, axis=-1).reshape(n_crops, -1, logits.shape[-1])
    mean: FloatArray = logsumexp(logs, axis=0) - np.log(n_crops)
    return mean


def place_crops(maps: FloatArray, preprocessing: Preprocessing) -> FloatArray:
    """Return the map (H, W) of an input from those of its crops (K, S, S).

    Where crops overlap it is their mean.
    """
    side = preprocessing.network_px
    total: FloatArray = np.zeros(preprocessing.input_px, dtype=np.float32)
    count: IntArray = np.zeros(preprocessing.input_px, dtype=np.int64)
    for crop, (top, left) in zip(maps, crop_origins(preprocessing), strict=True):
        place = slice(top, top + side), slice(left, left + side)
        total[place] += crop
        count[place] += 1
    total /= count
    return total
