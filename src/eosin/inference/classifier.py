"""Classifier of a model folder: network, calibration, threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eosin.artifacts.integrity import verify_files
from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import check_fit, read_document
from eosin.core.errors import ArtifactError
from eosin.core.progress import progress_bar
from eosin.core.types import BoolArray, FloatArray, ImageSource, IntArray
from eosin.engine import ARCHITECTURES
from eosin.images.preprocess import to_input
from eosin.inference.engine import EngineNetwork, architecture_of
from eosin.inference.gate import Refused, find_refused, measures_of
from eosin.inference.onnx import COPY_AGAIN, OnnxNetwork
from eosin.metrics.calibration import softmax
from eosin.metrics.conformal import abstains, prediction_sets

#: Largest difference of a probability that an exported network may have, on real images.
MAX_PROBABILITY_GAP = 1e-4
#: Images at a time: their features fit into a processor's cache.
_BATCH = 8


class Classifier:
    """A trained network in ONNX Runtime or the NumPy engine.

    Args:
        folder: A model folder.
        threads: Threads of ONNX Runtime; its own choice by default.
        network: The file in the folder that predicts, as ``info`` is calibrated; by default the
            8-bit one, with its own calibration, or the only one.
        info: Replaces the folder's ``model.json``, for a model that is not calibrated yet.

    Raises:
        ArtifactError: The folder is not a model folder, a file in it differs from ``model.json``'s
            checksum, or its network does not load or has another shape.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int | None = None,
        network: Path | None = None,
        info: ModelInfo | None = None,
    ) -> None:
        paths = ModelFolder(Path(folder))
        if info is None and not paths.info.exists():
            lack = f"is not a model folder: it has no {paths.info.name}"
            raise ArtifactError(
                f"{folder} {lack if paths.root.exists() else 'does not exist'}",
                hint=f"Name its folder: {paths.root.parent}"
                if paths.root.is_file() and ModelFolder(paths.root.parent).info.exists()
                else "Name RUN/model, or train a model: eosin train RECIPE",
            )
        if info is None:
            info = _read_info(paths)
            verify_files(paths, info)
        if network is None and info.int8 is not None:
            info, network = _calibrated_in_8_bits(paths.info, info), paths.int8
        self.info = info
        self._folder = paths.root
        #: The network's file.
        self.network_path = network or _find_network(paths, info)
        self._network = _open_network(self.network_path, info, threads)
        _check_gate(paths, info)
        kind = " (INT8)" if self.network_path == paths.int8 else ""
        self.engine = f"{self._network.engine}{kind}"

    def logits(self, images: ImageSource) -> FloatArray:
        """Run the network on resized images.

        Args:
            images: uint8, shape (N, *input_px, C); RGB, or the chosen channels.

        Returns:
            Float64, shape (N, K), finite. Raw; with test-time views, the logarithm of the mean of
            the views' probabilities.

        Raises:
            ArtifactError: The network fails, or its output is not finite.
        """
        parts: list[FloatArray] = [np.empty((0, len(self.info.class_names)))]
        inputs: FloatArray | None = None
        with progress_bar("Predicting") as advance:
            for start in range(0, len(images), _BATCH):
                batch = images[start : start + _BATCH]
                # The first batch's memory, which is faster than new memory, serves all.
                memory = None if inputs is None else inputs[: len(batch)]
                filled = to_input(batch, self.info.preprocessing, memory)
                inputs = filled if inputs is None else inputs
                parts.append(self._run_views(filled))
                self._check_finite(parts[-1])
                advance(min(start + _BATCH, len(images)), len(images))
        return np.concatenate(parts).astype(np.float64)

    def _run_views(self, inputs: FloatArray) -> FloatArray:
        if self.info.test_time == "none":
            return self._network.run(inputs)
        from scipy.special import log_softmax, logsumexp

        evaluated = [self._network.run(view).astype(np.float64) for view in _views(inputs)]
        mean: FloatArray = logsumexp(log_softmax(evaluated, axis=-1), axis=0) - np.log(
            len(evaluated)
        )
        return mean

    def _check_finite(self, logits: FloatArray) -> None:
        n_odd = int((~np.isfinite(logits)).any(axis=1).sum())
        if n_odd:
            raise ArtifactError(
                f"the network of {self._folder} gives numbers that are not finite for {n_odd} "
                f"of {len(logits)} images: it, or its preprocessing, is damaged",
                hint=COPY_AGAIN,
            )

    def probabilities(self, logits: FloatArray) -> FloatArray:
        """Calibrate logits (N, K) into probabilities (N, K) with the model's temperature."""
        return softmax(logits, self.info.temperature)

    def decide(self, probabilities: FloatArray) -> list[str]:
        """Return a class name for each row of calibrated probabilities (N, K).

        It is chosen at the stored threshold, or by arg-max if the model has none.
        """
        names = self.info.class_names
        return [names[index] for index in decide(probabilities, self.info)]

    def refuse(self, images: ImageSource) -> Refused | None:
        """Return the gate's reason for each resized image, empty if it passes, shape (N,).

        ``None`` if the model has no gate.
        """
        gate = self.info.gate
        return None if gate is None else find_refused(gate, images, self.info.preprocessing)

    def abstains(self, probabilities: FloatArray) -> BoolArray:
        """Return the rows of probabilities (N, K) on which the model abstains, shape (N,).

        The probabilities are calibrated. Without a rule it never abstains.
        """
        sets = conformal_sets(probabilities, self.info)
        if sets is None:
            return np.zeros(len(probabilities), dtype=bool)
        return abstains(sets, decide(probabilities, self.info))


def _check_gate(paths: ModelFolder, info: ModelInfo) -> None:
    """Raise ArtifactError if the gate is of other measures than those of the model's images."""
    if info.gate is None or info.gate.distance is None:
        return
    if tuple(info.gate.measures) != measures_of(info.preprocessing):
        raise ArtifactError(
            f"{paths.info}: its gate has other measures than this version of Eosin", hint=COPY_AGAIN
        )


def _read_info(paths: ModelFolder) -> ModelInfo:
    try:
        return read_document(paths.info, ModelInfo)
    except ArtifactError as error:
        # The checksums are in this file: no other check finds that it is damaged.
        raise ArtifactError(error.message, hint=error.hint or COPY_AGAIN) from error


def _calibrated_in_8_bits(path: Path, info: ModelInfo) -> ModelInfo:
    """Return the content of ``model.json`` with the calibration of the 8-bit network."""
    int8 = info.int8
    if int8 is None:
        return info
    expected = {"probabilities": int8.probabilities, "decisions": int8.decisions}
    changes = {
        **{name: getattr(int8, name) for name in ("temperature", "temperature_source")},
        **{name: getattr(int8, name) for name in ("threshold", "abstention")},
        "selftest": None if info.selftest is None else {**dict(info.selftest), **expected},
    }
    return check_fit(path, ModelInfo, {**dict(info), **changes})


def _find_network(paths: ModelFolder, info: ModelInfo) -> Path:
    """Return the ONNX file; without one, the weights of a network that the NumPy engine runs."""
    if not paths.onnx.exists() and architecture_of(info) in ARCHITECTURES:
        return paths.weights
    return paths.onnx


def _open_network(path: Path, info: ModelInfo, threads: int | None) -> OnnxNetwork | EngineNetwork:
    if path.suffix == ".safetensors":
        return EngineNetwork(path, info)
    network = OnnxNetwork(path, threads=threads)
    network.check_shape(info)
    return network


def decide(probabilities: FloatArray, info: ModelInfo) -> IntArray:
    """Return the predicted class index of every row, shape (N,); see :meth:`Classifier.decide`."""
    names = list(info.class_names)
    if info.threshold.value is None or info.positive is None or len(names) != 2:
        return np.asarray(np.argmax(probabilities, axis=1), dtype=np.int64)
    positive = names.index(info.positive)
    is_positive = probabilities[:, positive] >= info.threshold.value
    return np.where(is_positive, positive, 1 - positive)


def conformal_sets(probabilities: FloatArray, info: ModelInfo) -> BoolArray | None:
    """Return the classes in each row's conformal set, (N, K); None without a rule."""
    if info.abstention is None or info.abstention.quantiles is None:
        return None
    return prediction_sets(
        probabilities, [info.abstention.quantiles[name] for name in info.class_names]
    )


def n_views(info: ModelInfo) -> int:
    """Return the number of views of an image that a model averages."""
    if info.test_time == "none":
        return 1
    height, width = info.preprocessing.input_px
    return 8 if height == width else 4


def _views(inputs: FloatArray) -> list[FloatArray]:
    """Return all mirrored and rotated views of inputs (N, C, H, W) that have their shape."""
    height, width = inputs.shape[2:]
    turns = range(0, 4, 1 if height == width else 2)
    return [
        np.ascontiguousarray(np.rot90(seen, turn, axes=(2, 3)))
        for seen in (inputs, inputs[..., ::-1])
        for turn in turns
    ]
