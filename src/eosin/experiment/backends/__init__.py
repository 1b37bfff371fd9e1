"""Training backends: PyTorch and the NumPy engine, each a module of this package.

What each is given and gives back: initial weights, a model's provenance, a draft of its metadata.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import Any, Literal, Protocol

from eosin.artifacts.layers import LayerTable
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.metrics import Threshold
from eosin.artifacts.model import RESEARCH_USE_ONLY, ModelInfo, Preprocessing
from eosin.artifacts.provenance import Teacher, TransferStage
from eosin.artifacts.stain import FITTED_ON, StainReference
from eosin.artifacts.versioned import read_document
from eosin.core.files import sha256_file
from eosin.core.registry import NetworkSpec
from eosin.core.types import DeviceSettings, ImageSource, Samples
from eosin.images.spacing import network_mpp
from eosin.recipe.schema import ModelSection, Recipe, TrainSection
from eosin.runtime.door import missing_train_extra
from eosin.training.data import FitInputs, Probe

#: Name of the first link of a transfer chain.
SOURCE = "source"
RANDOM = "none"

_SIMULATED = " Trained on simulated images: not on real tissue."


@dataclass(frozen=True)
class Start:
    """Source of a backbone's initial weights.

    Attributes:
        source: ``none``, ``imagenet``, or a safetensors file.
        stage: The link's name in ``model.json``.
        frozen: Part that its training kept frozen; ``None`` if that was not Eosin's.
        stain: Stain reference that it was trained under; all trainings of a chain share one.
    """

    source: str = RANDOM
    stage: str = SOURCE
    frozen: str | None = None
    stain: StainReference | None = None


def find_start(source: str, stage: str = SOURCE, frozen: str | None = None) -> Start:
    """Describe a source of initial weights, with the stain reference of its model folder."""
    info = read_source(source)
    given = info.preprocessing if info else None
    stain = (given.stain or given.training_stain) if given else None
    if stain is not None and stain.fitted_on == FITTED_ON:
        stain = stain.model_copy(update={"fitted_on": f"{FITTED_ON} of the chain's first training"})
    return Start(source, stage, frozen, stain)


def read_source(source: str) -> ModelInfo | None:
    """Return ``model.json`` of the model folder that a source is in; ``None`` without one.

    Raises:
        ArtifactError: It is damaged.
    """
    folder = ModelFolder(Path(source).parent)
    if Path(source) != folder.weights or not folder.info.exists():
        return None
    return read_document(folder.info, ModelInfo)


@dataclass(frozen=True)
class InitialWeights:
    """Provenance of a network's initial weights.

    Attributes:
        chain: Transfer chain of its backbone; empty if all are random.
        untrained: The backbone's tensors that neither the source contains nor an earlier training
            has included.
        unfrozen: Those of them that the recipe's cut would freeze.
    """

    chain: list[TransferStage] = field(default_factory=list)
    untrained: tuple[str, ...] = ()
    unfrozen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Provenance of a model: the part of ``model.json`` that the weights do not contain.

    Attributes:
        architecture: Registered name, or ``ensemble``.
        facts: Metadata of the data set.
        frozen: Part that the training kept frozen.
        teachers: Runs that taught it.
        test_time: Test-time augmentation: views whose predictions are averaged.
        mpp: µm per pixel at the network's input as the recipe states it.
    """

    architecture: str
    arguments: dict[str, Any]
    samples: Samples
    preprocessing: Preprocessing
    facts: dict[str, Any]
    fingerprint: str
    initial: InitialWeights = field(default_factory=InitialWeights)
    teachers: tuple[Teacher, ...] = ()
    frozen: str = "none"
    test_time: Literal["none", "dihedral"] = "none"
    mpp: float | None = None


def draft_info(
    folder: ModelFolder,
    origin: Origin,
    *,
    params: int,
    trainable: int,
    macs: int,
    parity: dict[str, float],
) -> ModelInfo:
    """Return a draft of ``model.json``, not calibrated."""
    return ModelInfo(
        architecture=origin.architecture,
        arguments=origin.arguments,
        class_names=origin.samples.class_names,
        positive=origin.samples.positive,
        preprocessing=origin.preprocessing,
        mpp=network_mpp(origin.samples, origin.preprocessing) or origin.mpp,
        modality=origin.facts["modality"],
        threshold=Threshold(value=None, source="none chosen yet", target_recall=None),
        temperature=1.0,
        test_time=origin.test_time,
        transfer_chain=origin.initial.chain,
        teachers=origin.teachers,
        frozen=origin.frozen,
        unfrozen=origin.initial.unfrozen,
        data_fingerprint=origin.fingerprint,
        data_licence=origin.facts["licence"],
        simulated=origin.facts["simulated"],
        parity=parity,
        params=params,
        trainable=trainable,
        macs=macs,
        weights_sha256=sha256_file(folder.weights),
        licence="chosen by the user; the licence of the training data also applies",
        intended_use=RESEARCH_USE_ONLY + (_SIMULATED if origin.facts["simulated"] else ""),
    )


@dataclass(frozen=True)
class Measured:
    """Size and speed of a network in training.

    Attributes:
        is_head_only: True if a head is trained on features that are computed once.
    """

    params: int
    macs: int
    probe: Probe
    is_head_only: bool = False


class Backend(Protocol):
    """Interface of a training backend."""

    def find_spec(self, name: str) -> NetworkSpec:
        """Look up a network; ``EosinError`` if there is none of this name."""

    def check(self, recipe: Recipe) -> None:
        """Refuse settings that this backend does not support: ``RecipeError`` with the key."""

    def place(self, section: TrainSection) -> DeviceSettings:
        """Choose device and precision; ``RecipeError`` if the requested device is absent."""

    def train(
        self, recipe: Recipe, start: Start, inputs: FitInputs, run: RunFolder
    ) -> tuple[Any, InitialWeights]:
        """Train on one split; only history and checkpoints are written.

        Returns:
            The network in the state of its best evaluation; the provenance of its initial weights.
        """

    def list_layers(self, network: Any, preprocessing: Preprocessing) -> LayerTable:
        """List the layers of a network, as :meth:`train` returns it, for an input."""

    def write(
        self, network: Any, folder: ModelFolder, origin: Origin, images: ImageSource
    ) -> ModelInfo:
        """Write the weights and return a draft of ``model.json``, not calibrated.

        Args:
            network: As :meth:`train` returns it.
            folder: Destination.
            origin: Provenance of the model.
            images: Real images for the parity check, uint8, shape (N, H, W, C).

        Raises:
            TrainingError: The exported network's outputs differ from the trained one's.
        """

    def measure(self, recipe: Recipe, start: Start, inputs: FitInputs) -> Measured:
        """Count weights and operations, and time a few training steps."""


def find_backend(model: ModelSection) -> Backend:
    """Return the backend that a recipe names.

    Raises:
        MissingPartError: PyTorch is named but not installed.
    """
    if model.backend == "numpy":
        from eosin.experiment.backends import engine

        return engine
    if find_module("torch") is None:
        raise missing_train_extra()
    from eosin.experiment.backends import pytorch

    return pytorch
