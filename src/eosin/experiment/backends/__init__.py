"""Training backends: PyTorch and the NumPy engine, each a module of this package."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec as find_module
from typing import Any, Protocol

from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo, TransferStage
from eosin.core.networks import NetworkSpec
from eosin.core.types import ImageSource
from eosin.experiment.model_info import Origin, Start
from eosin.recipe.schema import ModelSection, Recipe, TrainSection
from eosin.runtime.device_settings import DeviceSettings
from eosin.runtime.door import missing_train_extra
from eosin.training.data import FitInputs, Probe


@dataclass(frozen=True)
class Measured:
    """Size and speed of a network in training.

    Attributes:
        params: Learnable weights.
        macs: Multiply-accumulates of one image.
        probe: Timing of a few training steps.
    """

    params: int
    macs: int
    probe: Probe


class Backend(Protocol):
    """Interface of a training backend."""

    def find_spec(self, name: str) -> NetworkSpec:
        """Look up a network.

        Raises:
            EosinError: There is none of this name.
        """

    def check(self, recipe: Recipe) -> None:
        """Refuse, before any data is read, settings that this backend does not support.

        Raises:
            RecipeError: Names the key.
        """

    def place(self, section: TrainSection) -> DeviceSettings:
        """Choose device and precision.

        Raises:
            RecipeError: The requested device is absent.
        """

    def train(
        self, recipe: Recipe, start: Start, inputs: FitInputs, run: RunFolder
    ) -> tuple[Any, list[TransferStage]]:
        """Train on one split; only history and checkpoints are written.

        Returns:
            The network in the state of its best evaluation; its backbone's transfer chain.
        """

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

    def measure(self, recipe: Recipe, inputs: FitInputs) -> Measured:
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
