"""Randomisation test: a map must change when the network's weights become random.

Source: Adebayo et al., "Sanity Checks for Saliency Maps" (2018), section 3, model parameter
randomisation test, all layers at once.

What differs: the weights of each tensor are shuffled, not drawn anew, so that every layer keeps
their distribution and the random network's outputs their order of magnitude, and neither PyTorch
nor the network's code is needed.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from eosin.artifacts.explanation_checks import RandomisationTest
from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.metrics import Metric
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.weights import read_arrays, write_arrays
from eosin.core.errors import ArtifactError, EosinError
from eosin.core.files import read_file, write_bytes
from eosin.core.seeding import generator
from eosin.core.types import FloatArray, Image, IntArray
from eosin.explanation.methods import OpenMethod
from eosin.inference.graphs import permute_weights

#: Largest side of the grid on which maps are compared; fewest places of a map that can be.
_GRID, _LEAST_PLACES = 14, 9
#: Random networks; a method of one pass explains half of the images with each, one that masks
#: spreads them over the networks.
_NETWORKS = 6
#: Parts of an ensemble's weights file that are no weights.
_NO_WEIGHTS = ("temperatures", "rescales.")


def randomisation_test(
    folder: ModelFolder,
    info: ModelInfo,
    open_method: OpenMethod,
    images: Image,
    targets: Sequence[int],
) -> RandomisationTest:
    """Compare the maps of a model with those of the same network with shuffled weights.

    Args:
        folder: The model folder, whose files have been verified.
        info: Its ``model.json``.
        open_method: Opens the method.
        images: At least two, uint8 (N, H, W, C).
        targets: The class that is explained of each, (N,).
    """
    explainer = open_method(folder, info)
    trained = [explainer.explain(one, k) for one, k in zip(images, targets, strict=True)]
    rows, columns = trained[0].places or trained[0].map.shape
    grid = min(rows, _GRID), min(columns, _GRID)
    if math.prod(grid) < _LEAST_PLACES:
        lack = f"a map has {rows} × {columns} places: it takes {_LEAST_PLACES} to compare two"
        return RandomisationTest.without_value(len(images), lack)
    cells = [_cells(one.map, grid) for one in trained]
    pairs = [(one, other) for place, one in enumerate(cells) for other in cells[:place]]
    found = []
    try:
        for number, rows in enumerate(
            _spread(len(images), has_masks=explainer.n_masks is not None)
        ):
            some = [targets[row] for row in rows]
            random = _explain_random(folder, info, open_method, number, images[rows], some)
            found += [
                (cells[row], _cells(one, grid)) for row, one in zip(rows, random, strict=True)
            ]
    except EosinError as error:
        reason = f"a network with random weights fails: {error.message}"
        return RandomisationTest.without_value(len(images), reason)
    return RandomisationTest(
        n_images=len(images),
        similarity=Metric(value=_mean_similarity(found)),
        between_images=Metric(value=_mean_similarity(pairs)),
    )


def _mean_similarity(pairs: Iterable[tuple[FloatArray, FloatArray]]) -> float:
    return float(np.mean([similarity(*pair) for pair in pairs]))


def similarity(one: FloatArray, other: FloatArray) -> float:
    """Return Spearman's rank correlation of two maps (N,), without its sign; 0 if one is even.

    Without the sign, as a random network may turn evidence for a class into evidence against it
    and still mark the same places.
    """
    from scipy.stats import rankdata

    # Rounded: the last digits of an even map are noise.
    ranks = [rankdata(values.round(6)) for values in (one, other)]
    if any(np.ptp(found) == 0 for found in ranks):
        return 0.0
    return float(abs(np.corrcoef(*ranks)[0, 1]))


def _cells(found: FloatArray, grid: tuple[int, int]) -> FloatArray:
    """Return the means of a map's cells, flat."""
    starts = [np.arange(n) * side // n for n, side in zip(grid, found.shape, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(found, starts[0], axis=0), starts[1], axis=1)
    sizes = [np.diff([*start, side]) for start, side in zip(starts, found.shape, strict=True)]
    return np.asarray(sums / np.outer(*sizes)).ravel()


def count_maps(n_images: int, *, has_masks: bool) -> int:
    """Return the number of maps that the test takes."""
    return n_images + sum(map(len, _spread(n_images, has_masks=has_masks)))


def _spread(n_images: int, *, has_masks: bool) -> list[IntArray]:
    """Return the images that each random network explains."""
    if has_masks:
        return np.array_split(np.arange(n_images), min(_NETWORKS, n_images))
    half = np.arange(-(-n_images // 2))
    return [(number + half) % n_images for number in range(_NETWORKS)]


def _explain_random(
    folder: ModelFolder,
    info: ModelInfo,
    open_method: OpenMethod,
    number: int,
    images: Image,
    targets: Sequence[int],
) -> list[FloatArray]:
    """Return the map (H, W) of each image by a network with random weights."""
    with tempfile.TemporaryDirectory(prefix="eosin-") as place:
        into = ModelFolder(Path(place))
        randomise(folder, into, generator(number, "randomisation test"))
        explainer = open_method(into, info)
        maps = [explainer.explain(one, k).map for one, k in zip(images, targets, strict=True)]
        del explainer  # closes the file, which Windows cannot remove otherwise
    if not all(np.isfinite(one).all() for one in maps):
        raise ArtifactError("its maps are not finite")
    return maps


def randomise(folder: ModelFolder, into: ModelFolder, random: np.random.Generator) -> None:
    """Write a model's network with shuffled weights into another folder."""
    if folder.onnx.exists():
        write_bytes(into.onnx, permute_weights(read_file(folder.onnx), random), durable=False)
        return
    arrays = read_arrays(folder.weights)
    shuffled = {
        name: values
        if name.startswith(_NO_WEIGHTS)
        else random.permutation(values.ravel()).reshape(values.shape)
        for name, values in arrays.items()
    }
    write_arrays(into.weights, shuffled)
