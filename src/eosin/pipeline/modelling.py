"""From a trained network to a model folder: weights, ONNX, calibration, threshold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.metrics import Abstention, SplitMetrics, Threshold
from eosin.artifacts.model import RESEARCH_USE_ONLY, ModelInfo, Preprocessing, TransferStage
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.files import sha256_file
from eosin.core.types import ImageSource, Samples
from eosin.exporting.onnx import check_parity, write_onnx
from eosin.inference.preprocess import to_input
from eosin.networks import count_params
from eosin.networks.registry import count_macs
from eosin.pipeline.scale import network_mpp
from eosin.training.checkpoints import save_weights

#: Real images that the parity check looks at.
_PARITY_IMAGES = 64
_SIMULATED = " Trained on simulated images: it knows nothing of tissue."
#: The headline metrics that ``model.json`` repeats.
SUMMARY = ("auc", "accuracy", "balanced_accuracy", "recall", "specificity")


@dataclass(frozen=True)
class Origin:
    """Where a model comes from; the part of ``model.json`` that the weights don't tell.

    Attributes:
        architecture: Registered name, or ``ensemble``.
        arguments: Its arguments.
        samples: Labels and positive class.
        preprocessing: From a decoded image to the input.
        facts: What the data set says of itself.
        fingerprint: Of the training data.
        chain: The trainings that the backbone had behind it.
        test_time: Views of an image that its judgement is averaged over.
    """

    architecture: str
    arguments: dict[str, Any]
    samples: Samples
    preprocessing: Preprocessing
    facts: dict[str, Any]
    fingerprint: str
    chain: list[TransferStage] = field(default_factory=list)
    test_time: Literal["none", "dihedral"] = "none"


def write_network(
    network: nn.Module, folder: ModelFolder, origin: Origin, images: ImageSource
) -> ModelInfo:
    """Write weights and ONNX; the folder becomes a model's when :func:`write_info` follows.

    Args:
        network: On the CPU, in evaluation mode.
        folder: Where to.
        origin: Everything else that ``model.json`` says.
        images: Real images for the parity check, uint8, shape (N, H, W, C).

    Returns:
        A draft of ``model.json``, not calibrated.

    Raises:
        TrainingError: The ONNX file does not say what the network says.
    """
    # Of a training begun anew: until the new one is written the folder is no model's.
    folder.info.unlink(missing_ok=True)
    save_weights(folder.weights, network)
    preprocessing = origin.preprocessing
    write_onnx(network, folder.onnx, preprocessing.input_px, len(preprocessing.channels))
    checked = to_input(images[:_PARITY_IMAGES], preprocessing)
    gap = check_parity(network, folder.onnx, checked)
    return ModelInfo(
        architecture=origin.architecture,
        arguments=origin.arguments,
        class_names=origin.samples.class_names,
        positive=origin.samples.positive,
        preprocessing=preprocessing,
        mpp=network_mpp(origin.samples, preprocessing),
        modality=origin.facts["modality"],
        threshold=Threshold(value=None, source="none chosen yet", target_recall=None),
        temperature=1.0,
        test_time=origin.test_time,
        transfer_chain=origin.chain,
        data_fingerprint=origin.fingerprint,
        data_licence=origin.facts["licence"],
        simulated=origin.facts["simulated"],
        parity={"max_probability_gap": gap, "n_images": len(checked)},
        params=count_params(network),
        macs=count_macs(network, preprocessing.input_px[0], len(preprocessing.channels)),
        weights_sha256=sha256_file(folder.weights),
        licence="the user's to choose; the training data's licence applies as well",
        intended_use=RESEARCH_USE_ONLY + (_SIMULATED if origin.facts["simulated"] else ""),
    )


def write_info(
    folder: ModelFolder,
    draft: ModelInfo,
    *,
    temperature: float,
    temperature_source: str,
    threshold: Threshold,
    abstention: Abstention | None,
) -> None:
    """Write ``model.json`` with the temperature, the threshold and the abstention locked."""
    changed = {
        "temperature": temperature,
        "temperature_source": temperature_source,
        "threshold": threshold,
        "abstention": abstention,
    }
    write_document(folder.info, draft.model_copy(update=changed))


def summarise_model(folder: ModelFolder, splits: dict[str, SplitMetrics]) -> None:
    """Note the headline metrics of each judged split in ``model.json``."""
    info = read_document(folder.info, ModelInfo)
    metrics = {name: {key: split.image[key] for key in SUMMARY} for name, split in splits.items()}
    write_document(folder.info, info.model_copy(update={"metrics": metrics}))
