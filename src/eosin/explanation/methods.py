"""Methods of explanation by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TypeAlias

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.core.errors import MissingPartError, UnknownNameError, UsageError, close_matches
from eosin.engine import ARCHITECTURES
from eosin.explanation.cam import Cam
from eosin.explanation.evidence import Explainer, refuse, why_none
from eosin.explanation.gradients import EngineGradCam
from eosin.explanation.occlusion import RISE_MASKS, Occlusion, Predict, Rise
from eosin.explanation.views import Views
from eosin.inference.classifier import Classifier

#: Function that opens a method for a model folder, whose files have been verified.
OpenMethod: TypeAlias = Callable[[ModelFolder, ModelInfo], Explainer]

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
    if n_masks is not None and method != "rise":
        raise UsageError("masks are those of rise", hint="Add --method rise")
    if n_masks is not None and n_masks < 1:
        raise UsageError(f"rise needs 1 mask or more, got {n_masks}")
    info = classifier.info
    if method is None:
        return open_default(folder, info, classifier)
    _check_places(info)
    if method == "cam":
        return _open_map(Cam, folder, info)
    if method == "gradcam":
        is_engine_s = info.architecture in ARCHITECTURES
        return _open_map(EngineGradCam if is_engine_s else _open_gradcam, folder, info)
    if method == "integrated_gradients":
        return _open_integrated(folder, info)
    predict, input_px = calibrated(classifier), info.preprocessing.input_px
    if method == "rise":
        return Rise(predict, input_px, n_masks=n_masks or RISE_MASKS)
    return Occlusion(predict, input_px)


def open_default(
    folder: ModelFolder, info: ModelInfo, classifier: Classifier | None = None
) -> Explainer:
    """Open CAM where the network allows it, else occlusion.

    Args:
        folder: The model folder.
        info: Its ``model.json``, which need not be written yet.
        classifier: The model that was opened from it, if it was.

    Raises:
        UsageError: The model takes no single images; see :func:`why_none`.
        ArtifactError: Its network does not load.
    """
    _check_places(info)
    try:
        return _open_map(Cam, folder, info)
    except UsageError:
        predict = calibrated(classifier or Classifier(folder.root, info=info))
        return Occlusion(predict, info.preprocessing.input_px)


def open_coarse(folder: ModelFolder, info: ModelInfo) -> Explainer:
    """Open the default method; occlusion with windows side by side, a quarter of the passes."""
    found = open_default(folder, info)
    if not isinstance(found, Occlusion):
        return found
    return Occlusion(found.predict, info.preprocessing.input_px, stride_px=found.window_px)


def _check_places(info: ModelInfo) -> None:
    reason = why_none(info)
    if reason:
        raise UsageError(reason)


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


def calibrated(classifier: Classifier) -> Predict:
    """Return the function from images, uint8 (N, H, W, C), to calibrated logits (N, K)."""
    return lambda images: classifier.logits(images) / classifier.info.temperature
