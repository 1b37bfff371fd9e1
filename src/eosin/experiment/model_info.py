"""Where a training's network begins, and where a model comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.metrics import Threshold
from eosin.artifacts.model import RESEARCH_USE_ONLY, ModelInfo, Preprocessing, TransferStage
from eosin.core.files import sha256_file
from eosin.core.types import Samples
from eosin.images.spacing import network_mpp

#: What the first link of a chain is called.
SOURCE = "source"
RANDOM = "none"


_SIMULATED = " Trained on simulated images: it knows nothing of tissue."


@dataclass(frozen=True)
class Start:
    """Where a backbone comes from.

    Attributes:
        source: ``none``, ``imagenet``, or a safetensors file.
        stage: What the link is called in ``model.json``.
        frozen: What that training left as it was; nothing where it is not one of ours.
    """

    source: str = RANDOM
    stage: str = SOURCE
    frozen: str | None = None


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
