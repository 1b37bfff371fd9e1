"""Evidence maps, in log-odds of the explained class.

Every method explains one number, the log-odds log(p / (1 - p)) of a class at the model's
temperature, and gives a map in its unit: above 0 a place speaks for the class, below 0 against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np
from PIL import Image as PillowImage

from eosin.artifacts.model import Embedding, ModelInfo, Preprocessing
from eosin.core.errors import UsageError
from eosin.core.text import listing
from eosin.core.types import FloatArray, Image
from eosin.images.crops import crop_origins, place_crops

#: A map is flat if no two of its places differ by more; 0.1 moves a probability of 0.5 to 0.525.
FLAT = 0.1
_OTHER = "Use --method occlusion"


@dataclass(frozen=True)
class Evidence:
    """Evidence map of one image.

    Attributes:
        map: Float32, shape (H, W) of the network's input.
        parts: Further arrays of the method by name, e.g. each member's map.
        numbers: Further numbers of the method by name, for the table.
        places: Rows and columns of the map before it is enlarged; its own without enlarging.
    """

    map: FloatArray
    parts: Mapping[str, FloatArray] = field(default_factory=lambda: MappingProxyType({}))
    numbers: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    places: tuple[int, int] | None = None

    @property
    def is_flat(self) -> bool:
        """Return True if the map points nowhere: no two places differ by more than ``FLAT``."""
        return float(np.ptp(self.map)) <= FLAT


class Explainer(Protocol):
    """Method that explains the predictions of one model.

    Attributes:
        method: Its registered name.
        settings: What it does, in a sentence: number and size of masks, layer.
        n_masks: Number of masked copies of an image that the network sees; None without masks.
        members: Names of an ensemble's networks, in the order of ``Evidence.parts["members"]``;
            empty where there are no maps of members.
    """

    @property
    def method(self) -> str:
        """Registered name."""

    @property
    def settings(self) -> str:
        """Settings in a sentence."""

    @property
    def n_masks(self) -> int | None:
        """Number of masks."""

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members."""

    def explain(self, image: Image, target: int) -> Evidence:
        """Return the evidence for the class ``target`` in an image, uint8 (H, W, C)."""


def why_none(info: ModelInfo) -> str:
    """Return why a model has no evidence maps, empty if it has."""
    if isinstance(info.preprocessing, Embedding):
        return "this model takes features, which have no places to explain"
    if info.preprocessing.magnifications:
        return "a model of magnification stacks cannot be explained: it has no one image"
    return ""


def refuse(reason: str, what: str) -> UsageError:
    """Return the error of a network that has no map of this kind."""
    return UsageError(f"{what} does not explain this model: {reason}", hint=_OTHER)


def average(maps: Sequence[FloatArray], shares: Sequence[float]) -> FloatArray:
    """Return the mean (H, W) of members' maps; shares add up to 1."""
    return np.tensordot(np.asarray(shares, np.float32), np.stack(maps), axes=1)


def log_odds(logits: FloatArray, target: int) -> FloatArray:
    """Return the log-odds (N,) of a class from calibrated logits (N, K)."""
    from scipy.special import logsumexp

    others = np.delete(np.asarray(logits, dtype=np.float64), target, axis=1)
    found: FloatArray = logits[:, target] - logsumexp(others, axis=1)
    return found


def log_odds_gradient(logits: FloatArray, target: int) -> FloatArray:
    """Return the derivative (N, K) of the log-odds with respect to calibrated logits (N, K).

    It is 1 for the class and minus each other class's share of the other classes' probability. With
    two classes the log-odds are the difference of the logits.
    """
    from scipy.special import softmax

    others = np.array(logits, dtype=np.float64)
    others[:, target] = -np.inf
    gradient: FloatArray = -softmax(others, axis=1)
    gradient[:, target] = 1.0
    return gradient


def describe_crops(inputs: Sequence[Preprocessing]) -> str:
    """Return how the maps of crops become one, empty where all networks see their input whole."""
    counts = (len(crop_origins(one)) for one in inputs)
    shown = listing(dict.fromkeys(str(count) for count in counts if count > 1))
    return f"mean over {shown} crops, each in its place, of " if shown else ""


def count_places(cells: FloatArray, preprocessing: Preprocessing) -> tuple[int, int]:
    """Return rows and columns of the map of an input whose crops have the maps (K, h, w)."""
    rows, columns = cells.shape[1:]
    height, width = preprocessing.input_px
    side = preprocessing.crop_px
    return (rows, columns) if side is None else (rows * height // side, columns * width // side)


def spread_cells(
    cells: FloatArray, preprocessing: Preprocessing, size: tuple[int, int]
) -> FloatArray:
    """Interpolate the maps (K, h, w) of a network's K crops to one of height and width ``size``.

    Each crop's map is enlarged in its place; where crops overlap it is their mean. The map of an
    input that is seen whole, (1, h, w), is enlarged as it is.
    """
    if preprocessing.crop_px is None:
        return enlarge(cells[0], size)
    side = (preprocessing.crop_px, preprocessing.crop_px)
    whole = place_crops(np.stack([enlarge(one, side) for one in cells]), preprocessing)
    return whole if whole.shape == size else enlarge(whole, size)


def enlarge(cells: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Interpolate a map (h, w) to height and width of the input, bilinear, float32."""
    small = PillowImage.fromarray(np.ascontiguousarray(cells, dtype=np.float32))
    large = small.resize((size[1], size[0]), PillowImage.Resampling.BILINEAR)
    return np.asarray(large, dtype=np.float32)
