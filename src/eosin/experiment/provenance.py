"""Where a training's network begins, and where a model comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from eosin.artifacts.model import Preprocessing, TransferStage
from eosin.core.types import Samples

#: What the first link of a chain is called.
SOURCE = "source"
RANDOM = "none"


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
