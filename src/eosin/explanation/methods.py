"""Methods of explanation by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import Embedding, ModelInfo
from eosin.core.errors import MissingPartError, UnknownNameError, UsageError, close_matches
from eosin.core.types import Image
from eosin.engine import ARCHITECTURES
from eosin.explanation.cam import Cam
from eosin.explanation.evidence import Explainer, refuse
from eosin.explanation.gradients import EngineGradCam
from eosin.explanation.occlusion import RISE_MASKS, Occlusion, Rise
from eosin.explanation.views import Views
from eosin.inference.classifier import Classifier

METHODS = ("cam", "gradcam", "integrated_gradients", "occlusion", "rise")


def open_explainer(
    folder: ModelFolder,
    classifier: Classifier,
    method: str | None = None,
    *,
    n_masks: int | None = None,
) -> Explainer:
    """Open a method for a model; without a name CAM where the network allows it, else occlusion.

    Args:
        folder: The model folder.
        classifier: The model that was opened from it.
        method: One of :data:`METHODS`.
        n_masks: Random masks of RISE; 500 by default.

    Raises:
        UnknownNameError: There is no such method.
        UsageError: The method does not fit the network, or no method does.
        MissingPartError: It needs PyTorch, which is not installed.
        ArtifactError: The weights do not fit the network.
    """
    if method is not None and method not in METHODS:
        hint = close_matches(method, METHODS) or f"One of {', '.join(METHODS)}"
        raise UnknownNameError(f"unknown method {method!r}", hint=hint)
    if n_masks is not None and (method != "rise" or n_masks < 1):
        raise UsageError(f"only rise takes masks, 1 or more; got {n_masks} for {method or 'none'}")
    info = classifier.info
    _check_places(info)
    if method is None:
        try:
            return _open_map(Cam, folder, info)
        except UsageError:
            method = "occlusion"
    if method == "cam":
        return _open_map(Cam, folder, info)
    if method == "gradcam":
        is_engine_s = info.architecture in ARCHITECTURES
        return _open_map(EngineGradCam if is_engine_s else _open_gradcam, folder, info)
    if method == "integrated_gradients":
        return _open_integrated(folder, info)
    predict, input_px = _calibrated(classifier), info.preprocessing.input_px
    if method == "rise":
        return Rise(predict, input_px, n_masks=n_masks or RISE_MASKS)
    return Occlusion(predict, input_px)


def _check_places(info: ModelInfo) -> None:
    if isinstance(info.preprocessing, Embedding):
        raise UsageError("this model takes features, which have no places to explain")
    if info.preprocessing.magnifications:
        raise UsageError("a model of magnification stacks cannot be explained: it has no one image")


def _check_float32(info: ModelInfo) -> None:
    if info.int8 is not None:
        raise refuse("it predicts with 8-bit weights", "a method that reads layers")


def _open_map(
    make: Callable[[ModelFolder, ModelInfo], Explainer], folder: ModelFolder, info: ModelInfo
) -> Explainer:
    """Open a method that explains one view of an image."""
    _check_float32(info)
    single = make(folder, info)
    return single if info.test_time == "none" else Views(single, info.preprocessing.input_px)


def _open_gradcam(folder: ModelFolder, info: ModelInfo) -> Explainer:
    _check_torch("gradcam", "torch")
    from eosin.explanation.gradcam import GradCam

    return GradCam(folder, info)


def _open_integrated(folder: ModelFolder, info: ModelInfo) -> Explainer:
    _check_float32(info)
    _check_torch("integrated_gradients", "torch", "captum")
    from eosin.explanation.integrated_gradients import IntegratedGradients

    return IntegratedGradients(folder, info)


def _check_torch(method: str, *packages: str) -> None:
    if any(find_spec(package) is None for package in packages):
        raise MissingPartError(
            f"{method} needs {' and '.join(packages)}, which the training extra installs",
            hint="pip install 'eosin[train]', or use --method occlusion",
        )


def _calibrated(classifier: Classifier) -> Callable[[Image], Any]:
    return lambda images: classifier.logits(images) / classifier.info.temperature
