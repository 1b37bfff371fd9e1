"""From a decoded image to the network's input, the same for training and prediction."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image as PillowImage

from eosin.artifacts.model import Preprocessing
from eosin.core.errors import ImageError
from eosin.core.types import FloatArray, Image

Style = Literal["unit", "centred", "caffe"]
_RGB = ("R", "G", "B")
# Keras' `imagenet_utils.preprocess_input(mode="caffe")`: BGR means of ImageNet, no scaling.
_CAFFE_MEAN = (103.939, 116.779, 123.68)


def make_preprocessing(style: Style, input_px: int) -> Preprocessing:
    """Build the preprocessing of a named style.

    Args:
        style: ``unit`` (values / 255), ``centred`` (to −1…1) or ``caffe`` (BGR minus ImageNet's
            means, as Keras' VGG16 and as P3 prepares the light CNN's input).
        input_px: Height and width of the network's input.
    """
    size = (input_px, input_px)
    if style == "caffe":
        return Preprocessing(
            input_px=size, channels=("B", "G", "R"), scale=1.0, mean=_CAFFE_MEAN, std=(1.0,) * 3
        )
    half = 0.5 if style == "centred" else 0.0
    spread = 0.5 if style == "centred" else 1.0
    return Preprocessing(
        input_px=size, channels=_RGB, scale=1 / 255, mean=(half,) * 3, std=(spread,) * 3
    )


def resize_image(image: Image, preprocessing: Preprocessing) -> Image:
    """Bring a decoded image to the network's size.

    Args:
        image: uint8, shape (H, W, 3).
        preprocessing: Size and rule.

    Returns:
        uint8, shape (*input_px, 3).

    Raises:
        ImageError: The rule is ``none`` and the size differs.
    """
    height, width = preprocessing.input_px
    if image.shape[:2] == (height, width):
        return image
    if preprocessing.resize == "none":
        raise ImageError(
            f"the model takes {height} × {width} pixels, got {image.shape[0]} × {image.shape[1]}"
        )
    picture = PillowImage.fromarray(image)
    return np.asarray(picture.resize((width, height), PillowImage.Resampling.BILINEAR))


def channel_affine(preprocessing: Preprocessing) -> tuple[list[int], FloatArray, FloatArray]:
    """Reduce scale, mean and deviation to one product and one sum a channel.

    Returns:
        The RGB index of every input channel; factor and offset, float32, shape (C,): the input is
        ``value * factor + offset`` for 8-bit values.
    """
    order = [_RGB.index(channel) for channel in preprocessing.channels]
    std = np.asarray(preprocessing.std, dtype=np.float64)
    factor = preprocessing.scale / std
    offset = -np.asarray(preprocessing.mean, dtype=np.float64) / std
    return order, factor.astype(np.float32), offset.astype(np.float32)


def to_input(images: Image, preprocessing: Preprocessing) -> FloatArray:
    """Turn resized images into the network's input.

    Args:
        images: uint8, shape (N, H, W, 3), RGB.
        preprocessing: Channels, scale, mean, deviation.

    Returns:
        float32, shape (N, C, H, W).
    """
    order, factor, offset = channel_affine(preprocessing)
    planes = np.moveaxis(images[..., order], -1, 1).astype(np.float32)
    planes *= factor[:, None, None]
    planes += offset[:, None, None]
    return np.ascontiguousarray(planes)
