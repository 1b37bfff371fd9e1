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

from eosin.artifacts.integrity import write_model
from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import Embedding, ModelInfo
from eosin.commands.load import find_model
from eosin.core.display import Shown
from eosin.core.errors import ArtifactError, UnknownNameError
from eosin.core.files import check_output, explain_os_errors
from eosin.core.types import Image
from eosin.experiment.environment import default_output
from eosin.images.preprocess import read_array
from eosin.inference.classifier import MAX_PROBABILITY_GAP, Classifier
from eosin.inference.selftest import find_selftest, unpack_images
from eosin.runtime.door import missing_train_extra

KINDS = ("onnx",)
#: Largest difference of a probability where the file resizes an image itself.
MAX_RESIZE_GAP = 1e-2


@dataclass(frozen=True, repr=False)
class ExportResult(Shown):
    """Result of ``export``.

    Attributes:
        folder: The new model folder.
        file: The exported file in it.
        parity: ``n_images``, ``probability_gap`` and, with enlarged images that the file resizes
            itself, ``resized_probability_gap``: largest differences of a probability.
    """

    folder: Path
    file: Path
    parity: dict[str, float]

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        return {"file": self.file, **self.parity}


def export(run_or_model: Path | str, *, to: str, output: Path | str | None = None) -> ExportResult:
    """Export a model for other programs.

    The exported file is compared with the model on the model's test images, in probabilities and
    labels, before anything is kept.

    Args:
        run_or_model: Run folder or model folder.
        to: ``onnx``: one file from 8-bit RGB images to calibrated probabilities.
        output: New or empty folder; ``runs/export-<UTC time>`` by default.

    Raises:
        ArtifactError: The model cannot be exported so, or the exported file's outputs differ.
        UnknownNameError: ``to`` is none of the kinds.
        MissingPartError: The training extra is not installed.
        OutputError: The folder is not empty, or cannot be written.
    """
    if to not in KINDS:
        raise UnknownNameError(f"unknown format {to!r}", hint=f"Choose one: {', '.join(KINDS)}")
    target = Path(output or default_output("export"))
    check_output(target)
    if find_module("onnx") is None:
        raise missing_train_extra("onnx")
    classifier = Classifier(find_model(Path(run_or_model)))
    source = ModelFolder(find_model(Path(run_or_model)))
    check_images(source, classifier.info)
    with _new_folder(target) as place:
        folder = ModelFolder(place)
        copy_model(source, folder)
        parity = _export_onnx(folder, classifier)
        write_model(folder, classifier.info)
    return ExportResult(target, ModelFolder(target).standalone, parity)


def format_result(result: ExportResult) -> list[str]:
    """Return the terminal output."""
    parity = result.parity
    lines = [f"wrote {result.file}"]
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


def _export_onnx(folder: ModelFolder, classifier: Classifier) -> dict[str, float]:
    """Write the self-contained file, and compare it with the model.

    Raises:
        ArtifactError: Its outputs differ.
    """
    from eosin.exporting.standalone import write_standalone
    from eosin.inference.onnx import OnnxNetwork

    info = classifier.info
    write_standalone(folder.onnx, folder.standalone, info)
    network = OnnxNetwork(folder.standalone, output="probabilities")
    images = np.asarray(unpack_images(info))
    parity = check_outputs(classifier, images, network.run(images), MAX_PROBABILITY_GAP)
    found = {"n_images": len(images), "probability_gap": parity}
    if info.preprocessing.resize != "none":
        larger = np.stack([_enlarge(image) for image in images])
        read = np.stack([read_array("image", image, info.preprocessing) for image in larger])
        parity = check_outputs(classifier, read, network.run(larger), MAX_RESIZE_GAP)
        found["resized_probability_gap"] = parity
    return found


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
