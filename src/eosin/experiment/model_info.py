"""Initial weights of a training, and provenance of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.metrics import Threshold
from eosin.artifacts.model import RESEARCH_USE_ONLY, ModelInfo, Preprocessing, TransferStage
from eosin.core.files import sha256_file
from eosin.core.types import Samples
from eosin.images.spacing import network_mpp

#: Name of the first link of a transfer chain.
SOURCE = "source"
RANDOM = "none"


_SIMULATED = " Trained on simulated images: it knows nothing of tissue."


@dataclass(frozen=True)
class Start:
    """Source of a backbone's initial weights.

    Attributes:
        source: ``none``, ``imagenet``, or a safetensors file.
        stage: The link's name in ``model.json``.
        frozen: Part that its training kept frozen; ``None`` if that was not Eosin's.
    """

    source: str = RANDOM
    stage: str = SOURCE
    frozen: str | None = None


@dataclass(frozen=True)
class Origin:
    """Provenance of a model: the part of ``model.json`` that the weights do not contain.

    Attributes:
        architecture: Registered name, or ``ensemble``.
        arguments: Its arguments.
        samples: Labels and positive class.
        preprocessing: Conversion of a decoded image to the input.
        facts: Metadata of the data set.
        fingerprint: Fingerprint of the training data.
        chain: Transfer chain of the backbone.
        test_time: Test-time augmentation: views whose predictions are averaged.
    """

    architecture: str
    arguments: dict[str, Any]
    samples: Samples
    preprocessing: Preprocessing
    facts: dict[str, Any]
    fingerprint: str
    chain: list[TransferStage] = field(default_factory=list)
    test_time: Literal["none", "dihedral"] = "none"


def draft_info(
    folder: ModelFolder, origin: Origin, *, params: int, macs: int, parity: dict[str, float]
) -> ModelInfo:
    """Return a draft of ``model.json``, not calibrated.

    Args:
        folder: Folder with the weights.
        origin: Provenance of the model.
        params: Learnable weights.
        macs: Multiply-accumulates of one image.
        parity: Differences of the exported from the trained network.
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
