"""Layers in a row: prediction, one training step, feature maps, weights on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eosin.core.errors import ArtifactError, RecipeError, TrainingError
from eosin.core.files import atomic_path
from eosin.core.seeding import generator
from eosin.core.types import FloatArray, IntArray
from eosin.engine.layers import Layer, Shape
from eosin.engine.losses import cross_entropy, softmax
from eosin.engine.optimisers import Optimiser


class Network:
    """A network that is a row of layers.

    Args:
        layers: From the image to the logits.
        shape: Of one example, e.g. (224, 224, 3).
        seed: The initial weights and dropout follow from it.
        dtype: float32; float64 for checks.

    Attributes:
        layers: By name: their kind, numbered from 1, such as ``conv2d1``.
        shape: Of one example.
        shapes: What each layer gives for one example, by its name.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        shape: Shape,
        *,
        seed: int = 0,
        dtype: type[np.floating] = np.float32,
    ) -> None:
        self.shape, self.seed, self.dtype = tuple(shape), seed, np.dtype(dtype)
        self.layers: dict[str, Layer] = {}
        self.shapes: dict[str, Shape] = {}
        counted: Counter[str] = Counter()
        for layer in layers:
            kind = type(layer).__name__.lower()
            counted[kind] += 1
            name = f"{kind}{counted[kind]}"
            shape = layer.build(shape, generator(seed, "weights", name), self.dtype)
            self.layers[name], self.shapes[name] = layer, shape

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """What is learnt, as ``layer.name``; the arrays themselves, not copies."""
        return self._named("parameters")

    @property
    def gradients(self) -> dict[str, FloatArray]:
        """The derivative of the last step's loss by each parameter."""
        return self._named("gradients")

    @property
    def state(self) -> dict[str, FloatArray]:
        """All that a copy of the network needs: parameters and buffers."""
        return self.parameters | self._named("buffers")

    def _named(self, kind: str) -> dict[str, FloatArray]:
        return {
            f"{layer}.{name}": value
            for layer, found in self.layers.items()
            for name, value in getattr(found, kind).items()
        }

    def forward(self, inputs: FloatArray, *, training: bool = False) -> FloatArray:
        """Return logits.

        Args:
            inputs: Shape (B, *shape).
            training: Whether batch statistics and dropout apply, and what a backward pass needs
                is kept.

        Returns:
            Shape (B, K).
        """
        for layer in self.layers.values():
            inputs = layer.forward(inputs, training=training)
        return inputs

    def backward(self, gradient: FloatArray) -> None:
        """Fill every layer's gradients, from the loss's derivative by the logits, (B, K)."""
        first = next(iter(self.layers.values()))
        passed: FloatArray | None = gradient
        for layer in reversed(self.layers.values()):
            if passed is not None:
                # Nothing lies before the first layer: its input's derivative is never computed.
                passed = layer.backward(passed, wants_input=layer is not first)

    def step(
        self,
        inputs: FloatArray,
        targets: IntArray,
        optimiser: Optimiser,
        *,
        class_weights: FloatArray | None = None,
        l2: float = 0.0,
    ) -> tuple[float, FloatArray]:
        """Train on one batch.

        Args:
            inputs: Shape (B, *shape).
            targets: Class index of each, (B,).
            optimiser: What moves the parameters.
            class_weights: Weight of each class in the loss, (K,).
            l2: λ of P3's penalty, λ / (2 · B) · Σ w², on convolutions and dense layers.

        Returns:
            The loss before the step, the penalty included; the logits that it was made of.

        Raises:
            TrainingError: The loss is no number; named are the step and the layer.
        """
        number = optimiser.steps + 1
        for name, layer in self.layers.items():
            layer.random = generator(self.seed, "dropout", name, number)
        logits = self.forward(inputs, training=True)
        loss, gradient = cross_entropy(logits, targets, class_weights)
        if l2:
            loss += l2 / (2 * len(inputs)) * self._squares()
        if not np.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {number}: {self._find_fault(inputs)}",
                mend="Lower train.lr, or clip the gradient",
            )
        self.backward(gradient)
        gradients = self.gradients
        if l2:
            for name, value in self._decaying().items():
                gradients[name] += value.dtype.type(l2 / len(inputs)) * value
        optimiser.step(self.parameters, gradients)
        return loss, logits

    def _decaying(self) -> dict[str, FloatArray]:
        return {
            f"{layer}.{name}": found.parameters[name]
            for layer, found in self.layers.items()
            for name in found.decays
        }

    def _squares(self) -> float:
        return sum(float(np.vdot(value, value)) for value in self._decaying().values())

    def _find_fault(self, inputs: FloatArray) -> str:
        """Name the first thing that is no finite number."""
        if not np.isfinite(inputs).all():
            return "an input is not finite"
        for name, layer in self.layers.items():
            for part, value in layer.parameters.items():
                if not np.isfinite(value).all():
                    return f"the {part} of {name} is not finite"
            inputs = layer.forward(inputs, training=True)
            if not np.isfinite(inputs).all():
                return f"what comes out of {name} is not finite"
        return "the penalty on the weights is not finite"

    def predict(self, inputs: FloatArray, *, batch_size: int = 32) -> FloatArray:
        """Return probabilities (N, K) of examples (N, *shape)."""
        if not len(inputs):
            return np.zeros((0, *next(reversed(self.shapes.values()))), self.dtype)
        parts = [
            softmax(self.forward(inputs[start : start + batch_size]))
            for start in range(0, len(inputs), batch_size)
        ]
        return np.concatenate(parts)

    def feature_maps(self, inputs: FloatArray) -> dict[str, FloatArray]:
        """Return what every layer makes of examples (B, *shape), by its name, in evaluation."""
        made = {}
        for name, layer in self.layers.items():
            inputs = layer.forward(inputs, training=False)
            made[name] = inputs
        return made

    def load_state(self, state: Mapping[str, FloatArray]) -> None:
        """Take over parameters and buffers.

        Raises:
            ArtifactError: A name or a shape is not the network's own.
        """
        wanted = self.state
        if wanted.keys() != state.keys():
            odd = sorted(wanted.keys() ^ state.keys())[0]
            what = "is missing" if odd in wanted else "has no place in this network"
            raise ArtifactError(f"weights: {odd!r} {what}")
        for name, value in wanted.items():
            if state[name].shape != value.shape:
                raise ArtifactError(
                    f"weights: {name!r} must have the shape {value.shape}, got {state[name].shape}"
                )
        for name, value in wanted.items():
            value[...] = state[name]

    def save(self, path: Path) -> None:
        """Write the weights as npz: numbers only, no objects."""
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **self.state)

    def load(self, path: Path) -> None:
        """Read weights that :meth:`save` wrote.

        Raises:
            ArtifactError: The file is absent, damaged or another network's.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                state = {name: found[name] for name in found.files}
        except (OSError, ValueError, EOFError) as error:
            raise ArtifactError(f"{path} cannot be read as weights: {error}") from error
        self.load_state(state)

    def count_params(self) -> int:
        """Return how many numbers are learnt."""
        return sum(value.size for value in self.parameters.values())


def check_examples(inputs: FloatArray, targets: IntArray, shape: Shape) -> None:
    """Refuse examples that a network does not take.

    Raises:
        RecipeError: Saying what was wanted and what came.
    """
    if inputs.shape[1:] != shape or len(inputs) != len(targets) or not len(inputs):
        raise RecipeError(
            f"examples must have the shape (N, {', '.join(map(str, shape))}) and one target each, "
            f"got {inputs.shape} and {len(targets)} targets"
        )
