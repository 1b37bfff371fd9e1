"""Preprocessing: from a file to the network's input, the same for training and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from eosin.artifacts.model import Embedding, Planes, Preprocessing, Window
from eosin.core.errors import ImageError
from eosin.core.text import quantity
from eosin.core.types import BoolArray, FloatArray, Image, InputStyle, Pixels, ResizeRule
from eosin.images.decode import decode_image, drop_alpha, item_to_rgb
from eosin.images.planes import decode_channels
from eosin.stain import Normalised, Source, normaliser_of

_RGB = ("R", "G", "B")
# Keras' `imagenet_utils.preprocess_input(mode="caffe")`: BGR means of ImageNet, no scaling.
_CAFFE_MEAN = (103.939, 116.779, 123.68)
# Mean and standard deviation of each of R, G, B over ImageNet's images / 255, as torchvision's and
# timm's weights expect them.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: Mean and standard deviation, the same for each channel.
_CENTRE_AND_SPREAD = {"unit": (0.0, 1.0), "centred": (0.5, 0.5), "imagenet": (0.449, 0.226)}
_TWICE = "_twice"

#: Display colours of channels: the usual dyes are blue for DNA, red, green; then distinguishable
#: ones.
_COLOURS = (
    (64, 96, 255),
    (255, 64, 48),
    (48, 224, 64),
    (255, 208, 0),
    (255, 0, 208),
    (0, 224, 224),
)


def make_preprocessing(
    style: InputStyle,
    input_px: int,
    *,
    resize: ResizeRule = "stretch",
    channels: Sequence[str] = _RGB,
    planes: Planes | None = None,
) -> Preprocessing:
    """Build the preprocessing of a named style, for inputs of ``input_px`` × ``input_px``.

    Styles are ``unit`` (values / 255), ``centred`` (to −1…1), ``imagenet`` (/ 255, then ImageNet's
    mean and standard deviation; for fluorescence the average of its three channels), and ``caffe``
    (BGR minus ImageNet's means, as Keras' VGG16 and as P3 prepares the light CNN's input;
    brightfield only, otherwise a ValueError). ``imagenet_twice`` divides by 255 a second time, as
    Keras' EfficientNetV2-B0 does with values that were divided before (P5): it begins with
    ``Rescaling(1 / 255)`` and ImageNet's normalisation, so that the input is almost constant.

    ``resize`` is as in :class:`~eosin.artifacts.model.Preprocessing`; ``planes`` are the positions
    of the channels in a fluorescence file; None for brightfield.
    """
    size = (input_px, input_px)
    if style == "caffe":
        if planes is not None:
            raise ValueError("these means are those of blue, green and red")
        return Preprocessing(
            input_px=size,
            channels=("B", "G", "R"),
            resize=resize,
            scale=1.0,
            mean=_CAFFE_MEAN,
            std=(1.0,) * 3,
        )
    once = style.removesuffix(_TWICE)
    mean, std = ((value,) * len(channels) for value in _CENTRE_AND_SPREAD[once])
    if once == "imagenet" and planes is None:
        mean, std = _IMAGENET
    return Preprocessing(
        input_px=size,
        channels=tuple(channels),
        planes=planes,
        resize=resize,
        scale=1 / 255 if style == once else 1 / 255**2,
        mean=mean,
        std=std,
    )


def decode_for(path: Path, index: int | None, preprocessing: Preprocessing) -> Pixels:
    """Decode the network's channels of a file, or of the image ``index`` of a container.

    Returns uint8 RGB, shape (H, W, 3); for fluorescence the chosen channels as stored, uint8 or
    uint16, shape (H, W, C). Raises ImageError if it cannot be read, or has other channels or
    another depth than is needed.
    """
    if preprocessing.planes is None:
        return decode_image(path, index)
    found, names = decode_channels(path, index)
    return _choose_channels(path, found, names, preprocessing, preprocessing.planes)


def _choose_channels(
    path: Path, found: Pixels, names: Sequence[str], preprocessing: Preprocessing, planes: Planes
) -> Pixels:
    """Return the network's channels of a decoded fluorescence image (H, W, C)."""
    bits = 8 * found.dtype.itemsize
    if (found.shape[2], bits) != (planes.n_stored, planes.bits):
        raise ImageError(
            f"{path} has {quantity(found.shape[2], 'channel')} of {bits} bits; "
            f"{quantity(planes.n_stored, 'channel')} of {planes.bits} bits are needed "
            f"(the network sees {', '.join(preprocessing.channels)})"
        )
    places = _places_by_name(path, names, preprocessing.channels) or planes.chosen
    return np.ascontiguousarray(found[..., list(places)])


def _places_by_name(
    path: Path, stored: Sequence[str], wanted: Sequence[str]
) -> tuple[int, ...] | None:
    """Return the positions of the wanted channels in a file that names its own.

    None if the file names none of them: then only their order is known. Raises ImageError if it
    names only some.
    """
    place_of = {name.casefold(): place for place, name in enumerate(stored)}
    places = [place_of.get(name.casefold()) for name in wanted]
    known = tuple(place for place in places if place is not None)
    if known and len(known) < len(wanted):
        raise ImageError(
            f"{path} names its channels {', '.join(stored)}; the network sees {', '.join(wanted)}"
        )
    return known or None


def field_of_view(sizes: FloatArray, preprocessing: Preprocessing) -> FloatArray:
    """Return height and width in pixels of the part of an image that the network sees.

    ``sizes`` are heights and widths, shape (…, 2): all of the image, or with ``centre_crop`` the
    largest part of the input's aspect ratio. Unknown sizes, NaN, remain so.
    """
    if preprocessing.resize != "centre_crop":
        return sizes
    target = np.array(preprocessing.input_px)
    whole: FloatArray = np.rint(target * (sizes / target).min(axis=-1, keepdims=True))
    return np.maximum(whole, 1.0)


def resize_image(image: Pixels, preprocessing: Preprocessing) -> Pixels:
    """Crop and resize a decoded image (H, W, C), uint8 or uint16, to the network's size.

    Of an odd number of cropped rows or columns, the one more is the last. Raises ImageError if the
    rule is ``none`` and the size differs.
    """
    height, width = preprocessing.input_px
    if preprocessing.resize == "centre_crop":
        size = np.array(image.shape[:2], dtype=np.float64)
        rows, columns = field_of_view(size, preprocessing).astype(int)
        top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
        image = np.ascontiguousarray(image[top : top + rows, left : left + columns])
    if image.shape[:2] == (height, width):
        return image
    if preprocessing.resize == "none":
        raise ImageError(
            f"the model takes {height} × {width} pixels, got {image.shape[0]} × {image.shape[1]}"
        )
    if image.dtype == np.uint8 and image.shape[2] == 3:
        thumbnail = PillowImage.fromarray(image)
        return np.asarray(thumbnail.resize((width, height), PillowImage.Resampling.BILINEAR))
    planes = [_resize_plane(image[..., c], width, height) for c in range(image.shape[2])]
    return np.stack(planes, axis=-1)


def _resize_plane(plane: Pixels, width: int, height: int) -> Pixels:
    """Resize one channel as floats: Pillow has no bilinear filter for 16 bits."""
    thumbnail = PillowImage.fromarray(plane.astype(np.float32))
    resized = np.asarray(thumbnail.resize((width, height), PillowImage.Resampling.BILINEAR))
    top = float(np.iinfo(plane.dtype).max)
    values: Pixels = np.clip(np.rint(resized), 0, top).astype(plane.dtype)
    return values


def to_bytes(images: Pixels, preprocessing: Preprocessing) -> Image:
    """Window the counts of fluorescence channels to 8 bits; brightfield is returned unchanged.

    From uint8 or uint16 to uint8, shape (…, C). Raises ValueError if the window is not fitted yet.
    """
    planes = preprocessing.planes
    if planes is None:
        return np.asarray(images, dtype=np.uint8)
    if planes.window is None:
        raise ValueError("the window of the fluorescence channels is not fitted")
    scaled = np.empty(images.shape, dtype=np.uint8)
    for channel, table in enumerate(_window_tables(planes.window, planes.bits)):
        scaled[..., channel] = table[images[..., channel]]
    return scaled


@lru_cache(maxsize=64)
def _window_tables(window: Window, bits: int) -> list[Image]:
    """Return a lookup table of 2 ** bits values for each channel."""
    counts = np.arange(2**bits, dtype=np.float64)
    tables = []
    for low, high in zip(window.low, window.high, strict=True):
        share = (counts - low) / max(high - low, 1.0)
        tables.append(np.rint(255.0 * np.clip(share, 0.0, 1.0)).astype(np.uint8))
    return tables


def read_image(path: Path, index: int | None, preprocessing: Preprocessing) -> Image:
    """Read one file at the network's size, without stain normalisation: uint8, (*input_px, C).

    Raises ImageError if it cannot be read, or does not fit.
    """
    found = resize_image(decode_for(path, index, preprocessing), preprocessing)
    return to_bytes(found, preprocessing)


def read_array(name: str, image: Pixels, preprocessing: Preprocessing) -> Image:
    """Read an image in memory as :func:`read_image` reads one of a file.

    Args:
        name: For messages.
        image: uint8 or uint16, shape (H, W) or (H, W, C): RGB or grey, of uint8 also with alpha;
            for fluorescence all the channels of a file.
        preprocessing: Of the model.
    """
    image = image.astype(image.dtype.newbyteorder("="), copy=False)  # big-endian TIFF
    if image.ndim not in {2, 3} or image.dtype not in (np.uint8, np.uint16) or not image.size:
        is_float = image.dtype.kind == "f"
        raise ImageError(
            f"{name} is an array of {image.dtype} of shape {image.shape}; uint8 or uint16 of shape "
            "(height, width) or (height, width, channels) is needed",
            hint="Of values from 0 to 1: (255 * image).round().astype('uint8')"
            if is_float
            else None,
        )
    path, planes = Path(name), preprocessing.planes
    if planes is None:
        if image.ndim == 3 and image.shape[0] in {1, 3, 4} and image.shape[2] > 4:
            raise ImageError(
                f"{name} is an array of shape {image.shape}; (height, width, channels) is needed",
                hint="If the channels are first: image.transpose(1, 2, 0)",
            )
        pixels: Pixels = item_to_rgb(path, drop_alpha(image))
    else:
        image = image[..., None] if image.ndim == 2 else image
        pixels = _choose_channels(path, image, (), preprocessing, planes)
    return to_bytes(resize_image(np.ascontiguousarray(pixels), preprocessing), preprocessing)


def normalise_stain(
    images: Image, preprocessing: Preprocessing, sources: Sequence[Source] | None = None
) -> Normalised:
    """Normalise the stain of resized images; without a reference they are returned unchanged.

    Images are uint8, shape (N, H, W, 3), of magnification stacks (N, H, W, 3 · M). ``sources`` is
    the stain of each image's slide or patient; by default each image's own. Each unchanged image
    comes with its reason; of a magnification stack those of all its unchanged images.
    """
    if preprocessing.stain is None:
        return Normalised(images, ("",) * len(images))
    n_images, height, width, channels = images.shape
    places = channels // 3
    tiles = images.reshape(n_images, height, width, places, 3).transpose(0, 3, 1, 2, 4)
    tiles = tiles.reshape(-1, height, width, 3)
    changed = tiles.copy()  # of single images the tiles are the caller's own pixels
    there: BoolArray = np.ones(len(tiles), dtype=bool)
    if places > 1:
        there = np.asarray(tiles.any(axis=(1, 2, 3)))
    if sources is not None:
        repeated = [source for source in sources for _ in range(places)]
        sources = [source for source, is_there in zip(repeated, there, strict=True) if is_there]
    done = normaliser_of(preprocessing.stain).apply(tiles[there], sources)
    changed[there] = done.images
    reasons = np.full(len(tiles), "", dtype=object)
    reasons[there] = done.reasons
    together = changed.reshape(n_images, places, height, width, 3).transpose(0, 2, 3, 1, 4)
    shown = (", ".join(dict.fromkeys(filter(None, mine))) for mine in reasons.reshape(-1, places))
    return Normalised(np.ascontiguousarray(together).reshape(images.shape), tuple(shown))


def channel_affine(preprocessing: Preprocessing) -> tuple[list[int], FloatArray, FloatArray]:
    """Reduce scale, mean and deviation to one factor and one offset a channel.

    Returns for every input channel its index in the decoded image; factor and offset, float32,
    shape (C,), or (1,) for all channels alike: the input is ``value * factor + offset``.
    """
    if preprocessing.planes is None and not isinstance(preprocessing, Embedding):
        # Of a magnification stack, three for each of its images.
        order = [
            place - place % 3 + _RGB.index(channel)
            for place, channel in enumerate(preprocessing.channels)
        ]
    else:
        order = list(range(len(preprocessing.channels)))
    std = np.asarray(preprocessing.std, dtype=np.float64)
    factor = preprocessing.scale / std
    offset = -np.asarray(preprocessing.mean, dtype=np.float64) / std
    return order, factor.astype(np.float32), offset.astype(np.float32)


def to_input(
    images: Image, preprocessing: Preprocessing, out: FloatArray | None = None
) -> FloatArray:
    """Convert resized images to the network's input, float32, shape (N, C, H, W).

    Images are uint8, shape (N, H, W, C), RGB or the chosen channels; features are float32, shape
    (N, 1, 1, D). ``out`` is memory of the result's shape to write it to.
    """
    order, factor, offset = channel_affine(preprocessing)
    factor, offset = factor[:, None, None], offset[:, None, None]
    shape = (len(images), len(order), *images.shape[1:3])
    inputs = np.empty(shape, dtype=np.float32) if out is None else out
    if order == list(range(len(order))):
        inputs[...] = np.moveaxis(images, -1, 1)
    else:
        for place, channel in enumerate(order):
            inputs[:, place] = images[..., channel]
    inputs *= factor
    inputs += offset
    return inputs


def to_thumbnail(image: Image, preprocessing: Preprocessing) -> Image:
    """Convert an image for display: RGB as it is, fluorescence channels in their colours.

    The images of a magnification stack lie beside each other, in two rows from four on; one channel
    is grey. From uint8 (H, W, C), as :func:`read_image` returns it, to uint8 (H, W, 3).
    """
    if preprocessing.magnifications:
        return _lay_out(image)
    if preprocessing.planes is None:
        return image
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    colours = np.array(_COLOURS[: image.shape[2]], dtype=np.float32) / 255
    mixed = image[..., : len(colours)].astype(np.float32) @ colours
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _lay_out(stack: Image) -> Image:
    """Tile the images of a magnification stack (H, W, 3 · M); a missing one stays light."""
    images = np.split(stack, stack.shape[2] // 3, axis=2)
    n_columns = len(images) if len(images) < 4 else -(-len(images) // 2)
    height, width, _ = stack.shape
    sheet = np.full((-(-len(images) // n_columns) * height, n_columns * width, 3), 240, np.uint8)
    for place, image in enumerate(images):
        row, column = divmod(place, n_columns)
        if image.any():
            target = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
            target[...] = image
    return sheet
