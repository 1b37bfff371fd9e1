"""What trains a network: PyTorch, or the NumPy engine. Each is a module of this package."""

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
    """What a training's network takes.

    Attributes:
        params: Learnable weights.
        macs: Multiply-accumulates an image.
        probe: Of a few of its steps.
    """

    params: int
    macs: int
    probe: Probe


class Backend(Protocol):
    """What a training needs of what runs it."""

    def find_spec(self, name: str) -> NetworkSpec:
        """Look up a network.

        Raises:
            EosinError: There is none of this name.
        """

    def check(self, recipe: Recipe) -> None:
        """Refuse, before any data is read, what this backend does not do.

        Raises:
            RecipeError: Naming the key.
        """

    def place(self, section: TrainSection) -> DeviceSettings:
        """Choose device and precision.

        Raises:
            RecipeError: The asked device is not there.
        """

    def train(
        self, recipe: Recipe, start: Start, inputs: FitInputs, run: RunFolder
    ) -> tuple[Any, list[TransferStage]]:
        """Train on one split; only history and checkpoints are written.

        Returns:
            The network in the state of its best evaluation; the trainings that its backbone had
            behind it.
        """

    def write(
        self, network: Any, folder: ModelFolder, origin: Origin, images: ImageSource
    ) -> ModelInfo:
        """Write what ``model.json`` does not hold, and return its draft, not calibrated.

        Args:
            network: As :meth:`train` returns it.
            folder: Where to.
            origin: Everything that the weights don't tell.
            images: Real images for the parity check, uint8, shape (N, H, W, C).

        Raises:
            TrainingError: The exported network does not say what the trained one says.
        """

    def measure(self, recipe: Recipe, inputs: FitInputs) -> Measured:
        """Count weights and operations, and time a few steps."""


def find_backend(model: ModelSection) -> Backend:
    """Return the backend that a recipe names.

    Raises:
        MissingPartError: It is PyTorch, which is not installed.
    """
    if model.backend == "numpy":
        from eosin.experiment.backends import engine

        return engine
    if find_module("torch") is None:
        raise missing_train_extra()
    from eosin.experiment.backends import pytorch

    return pytorch
