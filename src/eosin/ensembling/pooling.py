"""Model of an ensemble: the mean of its members' calibrated probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec as find_module
from typing import Any

import numpy as np

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.metrics import Threshold
from eosin.artifacts.model import ModelInfo, Planes, Preprocessing, Window
from eosin.artifacts.versioned import read_document
from eosin.artifacts.weights import Arrays, read_arrays, write_arrays
from eosin.core.errors import ArtifactError, MissingPartError, TrainingError
from eosin.core.files import sha256_file
from eosin.core.types import ImageSource, Samples
from eosin.engine import ARCHITECTURES
from eosin.evaluation.thresholds import join_thresholds
from eosin.images.preprocess import channel_affine
from eosin.images.staining import join_references
from eosin.inference.classifier import MAX_PROBABILITY_GAP, Classifier
from eosin.inference.engine import Rescale, architecture_of
from eosin.inference.selftest import make_selftest

#: Difference of a probability above which a model that resizes twice causes a warning.
NOTABLE_GAP = 0.01
#: Source of the temperature of a mean.
OWN_TEMPERATURES = "each member's own validation subset, before averaging"
#: Real images on which a model is compared with its members.
COMPARED_IMAGES = 64


def write_mean(
    folder: ModelFolder,
    places: Sequence[ModelFolder],
    draft: ModelInfo,
    images: Callable[[Preprocessing], ImageSource],
) -> tuple[ModelInfo, float]:
    """Write weights and network of a model folder whose probabilities are the mean of others'.

    Args:
        folder: Output folder; it contains no model until ``model.json`` is written.
        places: Model folders of the members.
        draft: Contents of ``model.json`` that do not follow from the members.
        images: The same real images as read with a preprocessing.

    Returns:
        Contents of ``model.json``; the largest difference of a probability from the mean of the
        members' own.

    Raises:
        TrainingError: The probabilities differ although all members read images in the same way.
        ArtifactError: A member has no ONNX file.
    """
    # Of an earlier training: until the new model is complete the folder holds none.
    folder.info.unlink(missing_ok=True)
    infos = [read_document(place.info, ModelInfo) for place in places]
    joined = join_preprocessing([info.preprocessing for info in infos])
    rescales = [find_rescale(info.preprocessing, joined) for info in infos]
    _save_members(folder, places, infos, rescales)
    _merge(folder, places, infos, rescales)
    draft = draft.model_copy(
        update={
            "architecture": "ensemble",
            "preprocessing": joined,
            # Of a member's images, which may be smaller; that of the ensemble is fitted apart.
            "gate": None,
            # The members' own are inside the graph.
            "temperature": 1.0,
            "temperature_source": OWN_TEMPERATURES,
            "params": sum(info.params for info in infos),
            "trainable": _sum_known([info.trainable for info in infos]),
            "macs": _sum_known([info.macs for info in infos]),
            "weights_sha256": sha256_file(folder.weights),
            "metrics": {},
        }
    )
    ensemble, seen = Classifier(folder.root, info=draft), images(joined)
    gap = _measure_gap(ensemble, places, images)
    exact = all(_reads_alike(info.preprocessing, joined) for info in infos) and not any(
        # The graph calibrates each view; a member calibrates the mean of its views.
        info.test_time != "none" and info.temperature != 1.0
        for info in infos
    )
    if exact and not gap <= MAX_PROBABILITY_GAP:
        raise TrainingError(
            f"the ensemble differs from the mean of its members by {gap:.2g} in probability "
            f"(at most {MAX_PROBABILITY_GAP:g} is allowed)"
        )
    key = "max_probability_gap" if exact else "max_member_gap"
    parity = {key: gap, "n_images": len(seen)}
    selftest = make_selftest(ensemble, seen)
    return draft.model_copy(update={"parity": parity, "selftest": selftest}), gap


def check_merging(places: Sequence[ModelFolder]) -> None:
    """Check, before anything is written, that the members' ONNX files can be merged here.

    Raises:
        MissingPartError: The package that merges them is not installed.
    """
    if all(place.onnx.exists() for place in places) and find_module("onnx") is None:
        raise MissingPartError(
            "merging models needs onnx, which is not installed", hint="pip install 'eosin[train]'"
        )


def _merge(
    folder: ModelFolder,
    places: Sequence[ModelFolder],
    infos: Sequence[ModelInfo],
    rescales: Sequence[Rescale | None],
) -> None:
    """Merge the members' ONNX files into one; networks of the engine do without."""
    absent = [place for place in places if not place.onnx.exists()]
    sizes = {info.preprocessing.input_px for info in infos}
    names = {architecture_of(info) for info in infos}
    if absent and len(sizes) == len(names) == 1 and names <= ARCHITECTURES.keys():
        folder.onnx.unlink(missing_ok=True)
        return
    if absent:
        raise ArtifactError(
            f"{absent[0].onnx} does not exist", hint="Train that model where PyTorch is installed"
        )
    from eosin.exporting.merging import Member, merge_onnx  # needs the package `onnx`

    joined = join_preprocessing([info.preprocessing for info in infos])
    members = [
        Member(place.onnx, info.preprocessing.input_px, info.temperature, rescale)
        for place, info, rescale in zip(places, infos, rescales, strict=True)
    ]
    merge_onnx(members, folder.onnx, joined.input_px, len(joined.channels))


def _sum_known(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _save_members(
    folder: ModelFolder,
    places: Sequence[ModelFolder],
    infos: Sequence[ModelInfo],
    rescales: Sequence[Rescale | None],
) -> None:
    temperatures = np.array([info.temperature for info in infos], np.float32)
    arrays: Arrays = {"temperatures": temperatures}
    for number, (place, rescale) in enumerate(zip(places, rescales, strict=True)):
        own, scale = read_arrays(place.weights), {} if rescale is None else rescale.tensors
        arrays |= {f"members.{number}.{name}": value for name, value in own.items()}
        arrays |= {f"rescales.{number}.{name}": value for name, value in scale.items()}
    write_arrays(folder.weights, arrays)


def _measure_gap(
    ensemble: Classifier,
    places: Sequence[ModelFolder],
    images: Callable[[Preprocessing], ImageSource],
) -> float:
    def predict(classifier: Classifier) -> Any:
        return classifier.probabilities(classifier.logits(images(classifier.info.preprocessing)))

    expected = np.mean([predict(Classifier(place.root)) for place in places], axis=0)
    return float(np.abs(predict(ensemble) - expected).max())


def format_gap(gap: float, n_images: int) -> str:
    """Format the difference between the ensemble's file and the mean of its members."""
    return (
        "The ensemble reads an image once, at its members' largest size, widest window and mean "
        "stain reference, and calibrates before it averages test-time views: "
        f"on {n_images} images a probability differs by up to {gap:.3f} from the mean of the "
        "members' own"
    )


def join_preprocessing(parts: Sequence[Preprocessing]) -> Preprocessing:
    """Return one preprocessing for all members, which read one kind of image.

    It is that of the (first) member with the largest input, with the widest intensity window of
    each channel and the mean of the stain references.
    """
    largest = max(parts, key=lambda part: part.input_px)
    if len({part.crop_px for part in parts}) > 1:
        # Each member's own is in the graph, and in model.json beside its name.
        largest = largest.model_copy(update={"crop_px": None})
    stains = [part.stain for part in parts if part.stain is not None]
    if stains:
        largest = largest.model_copy(update={"stain": join_references(stains)})
    known = [part.training_stain for part in parts if part.training_stain is not None]
    # Runs that were chosen may have been trained on images of other methods, or on raw ones.
    if known:
        alike = len(known) == len(parts) and len({(one.method, one.unit) for one in known}) == 1
        shown = join_references(known) if alike else None
        largest = largest.model_copy(update={"training_stain": shown})
    windows = [part.planes.window for part in parts if part.planes and part.planes.window]
    if largest.planes is None or not windows:
        return largest
    window = Window(
        low=tuple(min(values) for values in zip(*(w.low for w in windows), strict=True)),
        high=tuple(max(values) for values in zip(*(w.high for w in windows), strict=True)),
        percentiles=windows[0].percentiles,
    )
    planes: Planes = largest.planes.model_copy(update={"window": window})
    return largest.model_copy(update={"planes": planes})


def _reads_alike(own: Preprocessing, joined: Preprocessing) -> bool:
    """Return True if both make the same bytes of an image, before they are normalised."""
    shown = (own.input_px, own.planes, own.stain)
    return shown == (joined.input_px, joined.planes, joined.stain)


def find_rescale(own: Preprocessing, joined: Preprocessing) -> Rescale | None:
    """Return the affine map from the ensemble's normalisation to a member's; ``None`` if equal."""
    shared = {"input_px", "crop_px", "stain", "training_stain"}  # not of the network's input
    if own.model_dump(exclude=shared) == joined.model_dump(exclude=shared):
        return None
    places, own_factor, own_offset = channel_affine(own)
    joined_places, factor, offset = channel_affine(joined)
    order = [joined_places.index(place) for place in places]
    # An 8-bit value is (input − offset) / factor of the ensemble; its share of the member's window
    # is start + stretch times that.
    stretch, start = _stretch(own, joined)
    moved = stretch * own_factor / factor[order]
    bounds = np.stack([0.0 * own_factor, 255.0 * own_factor]) + own_offset
    if own.planes == joined.planes:
        bounds = np.stack([np.full(len(order), -np.inf), np.full(len(order), np.inf)])
    return Rescale(
        order=order,
        factor=moved.tolist(),
        offset=(own_offset + 255.0 * start * own_factor - moved * offset[order]).tolist(),
        low=bounds[0].tolist(),
        high=bounds[1].tolist(),
    )


def _stretch(own: Preprocessing, joined: Preprocessing) -> tuple[Any, Any]:
    """Return factor and offset from the shared window, 0…1, to the member's own."""
    shared = joined.planes.window if joined.planes else None
    wanted = own.planes.window if own.planes else None
    if shared is None or wanted is None:
        return 1.0, 0.0
    low, high = np.array(shared.low), np.array(shared.high)
    own_low, own_high = np.array(wanted.low), np.array(wanted.high)
    width = np.maximum(own_high - own_low, 1.0)
    return np.maximum(high - low, 1.0) / width, (low - own_low) / width


def mean_threshold(infos: Sequence[ModelInfo], what: str) -> Threshold:
    """Average the members' thresholds, as the ensemble averages their probabilities.

    A threshold tuned on the members' out-of-fold predictions does not carry over: a mean of
    probabilities has another spread, and once made every image positive.
    """
    thresholds = [info.threshold for info in infos]
    values = [threshold.value for threshold in thresholds if threshold.value is not None]
    if not values:
        return infos[0].threshold
    joined = join_thresholds(thresholds, f"mean of {what}", "members")
    return joined.model_copy(update={"value": float(np.mean(values))})


def some_of(samples: Samples) -> Samples:
    """Return the rows on which a model is compared, evenly spaced over the table."""
    step = max(1, -(-len(samples) // COMPARED_IMAGES))
    return samples.where(np.arange(len(samples)) % step == 0)
