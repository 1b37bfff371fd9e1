"""NumPy engine for a model folder without an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from eosin.artifacts.model import ModelInfo, Preprocessing
from eosin.artifacts.weights import from_twin, read_arrays
from eosin.core.errors import ArtifactError, RecipeError
from eosin.core.types import FloatArray, IntArray
from eosin.engine import ARCHITECTURES, Network
from eosin.images.crops import average_crops, cut_crops

#: From images (B, C, H, W) to logits (B, K).
Run = Callable[[FloatArray], FloatArray]
_ARGUMENTS = ("activation", "hidden_activation")
_MEMBER = "members.{}."
_RESCALE = "rescales.{}."


def architecture_of(info: ModelInfo) -> str:
    """Return the registered name of a network, or of an ensemble's members."""
    return str(info.arguments.get("architecture", info.architecture))


class EngineNetwork:
    """``model.safetensors`` in the NumPy engine: ``images`` (N, C, H, W) → logits (N, K).

    Args:
        path: The weights, of one network or of an ensemble.
        info: Content of ``model.json``.

    Raises:
        ArtifactError: The weights are absent, damaged or another network's.
    """

    engine = "NumPy engine"

    def __init__(self, path: Path, info: ModelInfo) -> None:
        # Its layers keep the shapes of their inputs.
        self._one_at_a_time = Lock()
        arrays = read_arrays(path)
        try:
            _check_finite(arrays)
            if info.architecture == "ensemble":
                self._run = _join_members(arrays, info)
            else:
                self._run = _runner(build_engine(arrays, info), info.preprocessing)
        except ArtifactError as error:
            raise ArtifactError(f"{path} does not fit the network: {error.message}") from error
        except KeyError as error:
            raise ArtifactError(f"{path} does not fit the network: it has no {error}") from error

    def run(self, images: FloatArray) -> FloatArray:
        """Return the logits (N, K) of prepared images (N, C, H, W)."""
        # Overflow is detected in the logits.
        with self._one_at_a_time, np.errstate(all="ignore"):
            return self._run(images)


def _check_finite(arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    for name, values in arrays.items():
        # An ensemble's values may be left unclipped.
        is_bound = name.startswith("rescales.") and name.endswith((".low", ".high"))
        if values.dtype.kind not in "fi":
            raise ArtifactError(f"{name!r} contains {values.dtype}, not numbers")
        if (np.isnan(values) if is_bound else ~np.isfinite(values)).any():
            raise ArtifactError(f"{name!r} contains a number that is not finite")


def build_engine(arrays: Mapping[str, npt.NDArray[np.generic]], info: ModelInfo) -> Network:
    """Build the network of a model in the engine, with its weights.

    Raises:
        ArtifactError: They do not fit it.
    """
    height, width = info.preprocessing.input_px
    side = info.preprocessing.network_px
    is_square = height == width or info.preprocessing.crop_px is not None
    if not is_square or info.arguments.get("input_px", side) != side:
        raise ArtifactError(
            f"it takes square images, of {info.arguments.get('input_px', side)!r} pixels in its "
            f"arguments and {height} × {width} in its preprocessing"
        )
    shown = {key: info.arguments[key] for key in _ARGUMENTS if key in info.arguments}
    try:
        network = ARCHITECTURES[architecture_of(info)](
            num_classes=len(info.class_names),
            in_channels=len(info.preprocessing.channels),
            input_px=side,
            **shown,
        )
    except RecipeError as error:  # its arguments come from a recipe where it is trained
        raise ArtifactError(error.message) from error
    network.load_state(from_twin(arrays))
    return network


def _runner(network: Network, preprocessing: Preprocessing) -> Run:
    def run(images: FloatArray) -> FloatArray:
        crops = cut_crops(images, preprocessing)
        # The engine keeps channels last.
        logits = network.forward(np.ascontiguousarray(crops.transpose(0, 2, 3, 1)))
        return average_crops(logits, preprocessing)

    return run


def _join_members(arrays: Mapping[str, npt.NDArray[np.generic]], info: ModelInfo) -> Run:
    """Return the logarithm of the mean probability, as the ONNX file of an ensemble does."""
    temperatures = arrays["temperatures"].ravel().tolist()
    if not temperatures or min(temperatures) <= 0:
        raise ArtifactError("its temperatures must be above 0, one per member")
    count = info.arguments.get("members")
    if count != (len(count) if isinstance(count, list) else len(temperatures)):
        raise ArtifactError(
            f"it has {len(temperatures)} members, but its arguments state {count!r}"
        )
    members: list[Run] = []
    for number in range(len(temperatures)):
        weights = _part(arrays, _MEMBER.format(number))
        scale = _part(arrays, _RESCALE.format(number))
        run_one = _runner(build_engine(weights, info), info.preprocessing)
        members.append(_rescaled(run_one, scale))

    def run(images: FloatArray) -> FloatArray:
        from scipy.special import log_softmax, logsumexp

        evaluated = [
            log_softmax(member(images) / temperature, axis=-1)
            for member, temperature in zip(members, temperatures, strict=True)
        ]
        mean: FloatArray = logsumexp(evaluated, axis=0) - np.log(len(evaluated))
        return mean

    return run


def _part(
    arrays: Mapping[str, npt.NDArray[np.generic]], prefix: str
) -> dict[str, npt.NDArray[np.generic]]:
    return {n.removeprefix(prefix): value for n, value in arrays.items() if n.startswith(prefix)}


def _rescaled(run: Run, scale: Mapping[str, npt.NDArray[np.generic]]) -> Run:
    if not scale:
        return run
    order = [int(place) for place in scale["order"].ravel().tolist()]
    values = {name: scale[name].ravel().tolist() for name in ("factor", "offset", "low", "high")}
    if sorted(order) != list(range(len(order))) or {*map(len, values.values())} != {len(order)}:
        raise ArtifactError("its rescaling must have one entry per channel")
    rescale = Rescale(order, *values.values())
    return lambda images: run(rescale(images))


class Rescale:
    """Conversion of an ensemble's input to a member's own normalisation.

    The ensemble's images are prepared once. Each member gets the values that its own means,
    deviations, order of channels and windows of counts would have given. Where windows of
    fluorescence channels differ, this is exact up to the ensemble's step of 1/255, as its window is
    the widest.

    Args:
        order: For each channel of the member, its position in the ensemble's input.
        factor: A number a channel.
        offset: A number a channel, added after that.
        low: Lower limit of the result, a number a channel; may be infinite.
        high: Upper limit, likewise.

    Attributes:
        tensors: All five by name; ``order`` int64, (C,), the others float32, (C, 1, 1).
    """

    def __init__(
        self,
        order: Sequence[int],
        factor: Sequence[float],
        offset: Sequence[float],
        low: Sequence[float],
        high: Sequence[float],
    ) -> None:
        self.tensors: dict[str, IntArray | FloatArray] = {"order": np.array(order, np.int64)}
        for name, values in (("factor", factor), ("offset", offset), ("low", low), ("high", high)):
            self.tensors[name] = np.array(values, np.float32)[:, None, None]

    def __call__(self, images: FloatArray) -> FloatArray:
        """Return the member's input from ``images``, both of shape (B, C, H, W)."""
        factor, offset, low, high = (self.tensors[n] for n in ("factor", "offset", "low", "high"))
        moved = images[:, self.tensors["order"]] * factor + offset
        clipped: FloatArray = np.clip(moved, low, high)
        return clipped
