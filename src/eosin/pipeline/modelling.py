"""What ``model.json`` says: origin, calibration, threshold, headline metrics."""

from __future__ import annotations

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.metrics import Abstention, SplitMetrics, Threshold
from eosin.artifacts.model import RESEARCH_USE_ONLY, ModelInfo
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.files import sha256_file
from eosin.pipeline.origins import Origin
from eosin.pipeline.scale import network_mpp

_SIMULATED = " Trained on simulated images: it knows nothing of tissue."
#: The headline metrics that ``model.json`` repeats.
SUMMARY = ("auc", "accuracy", "balanced_accuracy", "recall", "specificity")


def draft_info(
    folder: ModelFolder, origin: Origin, *, params: int, macs: int, parity: dict[str, float]
) -> ModelInfo:
    """Return a draft of ``model.json``, not calibrated.

    Args:
        folder: Whose weights are written.
        origin: Where the model comes from.
        params: Learnable weights.
        macs: Multiply-accumulates an image.
        parity: How far the exported network is from the trained one.
    """
    return ModelInfo(
        architecture=origin.architecture,
        arguments=origin.arguments,
        class_names=origin.samples.class_names,
        positive=origin.samples.positive,
        preprocessing=origin.preprocessing,
        mpp=network_mpp(origin.samples, origin.preprocessing),
        modality=origin.facts["modality"],
        threshold=Threshold(value=None, source="none chosen yet", target_recall=None),
        temperature=1.0,
        test_time=origin.test_time,
        transfer_chain=origin.chain,
        data_fingerprint=origin.fingerprint,
        data_licence=origin.facts["licence"],
        simulated=origin.facts["simulated"],
        parity=parity,
        params=params,
        macs=macs,
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
