"""Command ``export``: a model folder with a file for other programs, after a parity check."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from eosin.artifacts.int8 import Int8
from eosin.artifacts.integrity import write_model
from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import Embedding, ModelInfo
from eosin.commands.export_int8 import add_int8, format_int8
from eosin.commands.load import find_model
from eosin.core.display import Shown
from eosin.core.errors import ArtifactError, UnknownNameError, UsageError
from eosin.core.files import check_output, explain_os_errors
from eosin.core.types import Image
from eosin.experiment.environment import default_output
from eosin.images.preprocess import read_array
from eosin.inference.classifier import MAX_PROBABILITY_GAP, Classifier
from eosin.inference.selftest import find_selftest, unpack_images
from eosin.reporting import write_card
from eosin.runs.finished import FinishedRun
from eosin.runtime.door import missing_train_extra

KINDS = ("onnx", "torchscript", "wsinfer")
#: Largest difference of a probability where the file resizes an image itself.
MAX_RESIZE_GAP = 1e-2
#: µm per pixel of an input, as in ``model.json``.
_MAX_MPP = 1e4


@dataclass(frozen=True, repr=False)
class ExportResult(Shown):
    """Result of ``export``.

    Attributes:
        folder: The new model folder.
        file: The exported file in it.
        parity: ``n_images``, ``probability_gap`` and, with enlarged images that the file resizes
            itself, ``resized_probability_gap``: largest differences of a probability.
        int8: The 8-bit network against the float32 one; None without.
    """

    folder: Path
    file: Path
    parity: dict[str, float]
    int8: Int8 | None = None

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        lost = {"auc_difference": self.int8.auc.difference.value} if self.int8 else {}
        return {"file": self.file, **self.parity, **lost}


def export(
    run_or_model: Path | str,
    *,
    to: str,
    mpp: float | None = None,
    int8: bool = False,
    output: Path | str | None = None,
) -> ExportResult:
    """Export a model for other programs.

    The exported file is compared with the model on the model's test images, in probabilities and
    labels, before anything is kept.

    Args:
        run_or_model: Run folder or model folder.
        to: ``onnx``: one file from 8-bit RGB images to calibrated probabilities; ``torchscript``;
            ``wsinfer``: a folder for QuPath's WSInfer extension and for WSInfer.
        mpp: µm per pixel at the network's input, of a model that does not know it.
        int8: Whether the network gets weights and activations of 8 bits, calibrated on images of
            the run; the float32 network stays beside it. With ``onnx`` alone.
        output: New or empty folder; ``runs/export-<UTC time>`` by default.

    Raises:
        ArtifactError: The model cannot be exported so, the exported file's outputs differ, or the
            8-bit network loses too much AUC on validation images.
        UnknownNameError: ``to`` is none of the kinds.
        UsageError: The scale is needed and unknown, or given and known; 8 bits are asked for
            another kind, or of a folder without images.
        MissingPartError: The training extra is not installed.
        OutputError: The folder is not empty, or cannot be written.
    """
    if to not in KINDS:
        raise UnknownNameError(f"unknown format {to!r}", hint=f"Choose one: {', '.join(KINDS)}")
    if int8 and to != "onnx":
        raise UsageError(f"8 bits are for ONNX files alone, not for {to}")
    target = Path(output or default_output("export"))
    check_output(target)
    for package in ("onnx", "torch"):
        if find_module(package) is None:
            raise missing_train_extra(package)
    classifier = Classifier(find_model(Path(run_or_model)))
    source = ModelFolder(find_model(Path(run_or_model)))
    check_images(source, classifier.info)
    if classifier.info.int8 is not None:
        raise ArtifactError(
            f"{run_or_model} is an export with 8-bit weights",
            hint="Export the run that it was made from",
        )
    info = with_scale(classifier.info, mpp, is_needed=to == "wsinfer")
    with _new_folder(target) as place:
        folder = ModelFolder(place)
        if to == "wsinfer":
            file, parity = _export_wsinfer(source, place, classifier, info)
        else:
            copy_model(source, folder)
            if int8:
                run = FinishedRun(Path(run_or_model))
                info = add_int8(run, folder, info)
                write_card(run.root, {"info": info}, folder)
                classifier = Classifier(place, info=info)
            write = _export_onnx if to == "onnx" else _export_torchscript
            file, parity = write(folder, classifier, info)
            write_model(folder, info)
    return ExportResult(target, target / file.name, parity, info.int8)


def with_scale(info: ModelInfo, mpp: float | None, *, is_needed: bool) -> ModelInfo:
    """Return a model's description with a scale that it lacked.

    Raises:
        UsageError: The scale is needed and unknown, given and known, or no positive number.
    """
    if mpp is not None and not 0 < mpp <= _MAX_MPP:
        raise UsageError(f"{mpp} µm per pixel is no scale: a number above 0 is needed")
    if mpp is not None and info.mpp is not None:
        raise UsageError(f"the model's scale is known: {info.mpp:g} µm per pixel")
    if mpp is None and info.mpp is None and is_needed:
        raise UsageError(
            "the model does not know its scale, which WSInfer needs",
            hint="Give the µm per pixel at the network's input: --mpp X",
        )
    return info if mpp is None else info.model_copy(update={"mpp": mpp})


def format_result(result: ExportResult) -> list[str]:
    """Return the terminal output."""
    parity = result.parity
    lines = [f"wrote {result.file}", *(format_int8(result.int8) if result.int8 else ())]
    lines.append(
        f"largest difference of a probability from the model {parity['probability_gap']:.2g} on "
        f"{parity['n_images']} images, no other label"
    )
    if "resized_probability_gap" in parity:
        gap = parity["resized_probability_gap"]
        lines.append(f"of enlarged images, which the file resizes itself: {gap:.2g}")
    return lines


def check_images(source: ModelFolder, info: ModelInfo) -> None:
    """Check that a model reads single RGB images without stain normalisation.

    Raises:
        ArtifactError: It does not, or has no ONNX file or test images.
    """
    preprocessing = info.preprocessing
    reason = None
    if isinstance(preprocessing, Embedding):
        reason = "it takes features, not images"
    elif preprocessing.planes is not None:
        reason = "it takes fluorescence channels, not RGB images"
    elif preprocessing.magnifications:
        reason = "it takes magnification stacks, not single images"
    elif preprocessing.stain is not None:
        method = preprocessing.stain.method
        reason = f"it estimates the stain of each image ({method}), which no fixed graph can do"
    if reason is not None:
        raise ArtifactError(f"the model cannot be exported: {reason}")
    if not source.onnx.exists():
        raise ArtifactError(
            f"{source.onnx} does not exist: the model was written without PyTorch",
            hint="Train it again where PyTorch is installed",
        )
    find_selftest(info)


def copy_model(source: ModelFolder, target: ModelFolder) -> None:
    """Copy the files of a model folder but ``model.json``, which is written at the end."""
    for path in source.listed:
        if path.exists():
            with explain_os_errors("write", target.root / path.name):
                shutil.copyfile(path, target.root / path.name)


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Return a folder that becomes ``target`` once it is complete."""
    with explain_os_errors("write into", target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-")
    with temporary as folder:
        place = Path(folder) / target.name
        place.mkdir()
        yield place
        with explain_os_errors("write", target):
            if target.is_dir():
                target.rmdir()
            place.replace(target)


def _export_torchscript(
    folder: ModelFolder, classifier: Classifier, info: ModelInfo
) -> tuple[Path, dict[str, float]]:
    from eosin.exporting.torchscript import write_torchscript

    write_torchscript(folder.weights, folder.torchscript, info)
    return folder.torchscript, _check_torchscript(folder.torchscript, classifier)


def _export_wsinfer(
    source: ModelFolder, place: Path, classifier: Classifier, info: ModelInfo
) -> tuple[Path, dict[str, float]]:
    """Write the files of WSInfer; ArtifactError if the input is not square."""
    from eosin.exporting.torchscript import write_wsinfer

    height, width = info.preprocessing.input_px
    if height != width:
        raise ArtifactError(f"WSInfer takes square images; the model's are {height} × {width}")
    card = source.card_text.read_text(encoding="utf-8") if source.card_text.exists() else ""
    file = write_wsinfer(source.weights, place, info, card)
    return file, _check_torchscript(file, classifier)


def _check_torchscript(file: Path, classifier: Classifier) -> dict[str, float]:
    from eosin.exporting.torchscript import run_torchscript

    images = np.asarray(unpack_images(classifier.info))
    found = run_torchscript(file, images)
    gap = check_outputs(classifier, images, found, MAX_PROBABILITY_GAP)
    return {"n_images": len(images), "probability_gap": gap}


def _export_onnx(
    folder: ModelFolder, classifier: Classifier, info: ModelInfo
) -> tuple[Path, dict[str, float]]:
    """Write the self-contained file, and compare it with the model.

    Raises:
        ArtifactError: Its outputs differ.
    """
    from eosin.exporting.standalone import write_standalone
    from eosin.inference.onnx import OnnxNetwork

    write_standalone(classifier.network_path, folder.standalone, classifier.info)
    network = OnnxNetwork(folder.standalone, output="probabilities")
    images = np.asarray(unpack_images(info))
    parity = check_outputs(classifier, images, network.run(images), MAX_PROBABILITY_GAP)
    found = {"n_images": len(images), "probability_gap": parity}
    if info.preprocessing.resize != "none":
        larger = np.stack([_enlarge(image) for image in images])
        read = np.stack([read_array("image", image, info.preprocessing) for image in larger])
        parity = check_outputs(classifier, read, network.run(larger), MAX_RESIZE_GAP)
        found["resized_probability_gap"] = parity
    return folder.standalone, found


def _enlarge(image: Image) -> Image:
    height, width = image.shape[:2]
    size = (width * 3 // 2 + 1, height * 3 // 2 + 1)
    return np.asarray(PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BICUBIC))


def check_outputs(classifier: Classifier, images: Any, found: Any, largest: float) -> float:
    """Return the largest difference of an exported file's probabilities from the model's.

    Raises:
        ArtifactError: It is above ``largest``, or a label differs.
    """
    from eosin.exporting.parity import compare

    expected = classifier.probabilities(classifier.logits(images))
    parity = compare(expected, np.asarray(found, dtype=np.float64), largest)
    if not parity.holds(largest):
        raise ArtifactError(
            f"the exported file differs from the model by {parity} (at most {largest:g} is "
            "allowed), so nothing was written",
            hint="Report this with the model's architecture",
        )
    return parity.gap
