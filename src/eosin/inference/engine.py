"""Networks of the NumPy engine behind a model folder that has no ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, logsumexp

from eosin.artifacts.model import ModelInfo
from eosin.artifacts.weights import from_twin, read_arrays
from eosin.core.errors import ArtifactError
from eosin.core.types import FloatArray
from eosin.engine import Network, light_cnn
from eosin.inference.rescaling import Rescale

#: From images (B, C, H, W) to logits (B, K).
Run = Callable[[FloatArray], FloatArray]
#: What the engine builds: P3's network.
ENGINE = {"light_cnn": light_cnn}
_MEMBER = "members.{}."
_RESCALE = "rescales.{}."


def architecture_of(info: ModelInfo) -> str:
    """Return the registered name of a network, of an ensemble's members."""
    return str(info.arguments.get("architecture", info.architecture))


class EngineNetwork:
    """``model.safetensors`` in the NumPy engine: ``images`` (N, C, H, W) → logits (N, K).

    Args:
        path: The weights, of one network or of an ensemble.
        info: What ``model.json`` says.

    Attributes:
        engine: Its name.

    Raises:
        ArtifactError: The weights are absent, damaged or another network's.
    """

    engine = "NumPy engine"

    def __init__(self, path: Path, info: ModelInfo) -> None:
        arrays = read_arrays(path)
        try:
            if info.architecture == "ensemble":
                self._run = _join_members(arrays, info)
            else:
                self._run = _runner(_build(arrays, info))
        except ArtifactError as error:
            raise ArtifactError(f"{path} does not fit the network: {error.message}") from error
        except KeyError as error:
            raise ArtifactError(f"{path} does not fit the network: it has no {error}") from error

    def run(self, images: FloatArray) -> FloatArray:
        """Return the logits (N, K) of prepared images (N, C, H, W)."""
        return self._run(images)


def _build(arrays: Mapping[str, npt.NDArray[np.generic]], info: ModelInfo) -> Network:
    told: dict[str, Any] = dict(info.arguments)
    for key in ("architecture", "members"):
        told.pop(key, None)
    told.setdefault("input_px", info.preprocessing.input_px[0])
    network = ENGINE[architecture_of(info)](
        num_classes=len(info.class_names), in_channels=len(info.preprocessing.channels), **told
    )
    network.load_state(from_twin(arrays))
    return network


def _runner(network: Network) -> Run:
    # The engine keeps channels last.
    return lambda images: network.forward(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))


def _join_members(arrays: Mapping[str, npt.NDArray[np.generic]], info: ModelInfo) -> Run:
    """Return the logarithm of the mean probability, as the ONNX file of an ensemble does."""
    temperatures = arrays["temperatures"].tolist()
    members: list[Run] = []
    for number in range(len(temperatures)):
        weights = _part(arrays, _MEMBER.format(number))
        scale = _part(arrays, _RESCALE.format(number))
        members.append(_rescaled(_runner(_build(weights, info)), scale))

    def run(images: FloatArray) -> FloatArray:
        judged = [
            log_softmax(member(images) / temperature, axis=-1)
            for member, temperature in zip(members, temperatures, strict=True)
        ]
        mean: FloatArray = logsumexp(judged, axis=0) - np.log(len(judged))
        return mean

    return run


def _part(
    arrays: Mapping[str, npt.NDArray[np.generic]], prefix: str
) -> dict[str, npt.NDArray[np.generic]]:
    return {n.removeprefix(prefix): value for n, value in arrays.items() if n.startswith(prefix)}


def _rescaled(run: Run, scale: Mapping[str, npt.NDArray[np.generic]]) -> Run:
    if not scale:
        return run
    names = ("factor", "offset", "low", "high")
    rescale = Rescale(scale["order"].tolist(), *(scale[name].ravel().tolist() for name in names))
    return lambda images: run(rescale(images))
