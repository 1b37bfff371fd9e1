"""Sequential network: prediction, training step, feature maps, weights on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from eosin.core.errors import RecipeError, TrainingError
from eosin.core.seeding import generator
from eosin.core.types import FloatArray, IntArray
from eosin.engine.layers import Layer, Shape
from eosin.engine.losses import cross_entropy, softmax
from eosin.engine.optimisers import Optimiser
from eosin.engine.training import Batches, EarlyStopping, Plan, Row, score
from eosin.engine.weights import check_state, read_weights, write_weights


class Network:
    """A sequential network.

    Args:
        layers: From the image to the logits.
        shape: Of one example, e.g. (224, 224, 3).
        seed: Seed of initial weights and dropout.
        dtype: float32; float64 for checks.

    Attributes:
        layers: By name: their kind, numbered from 1, such as ``conv2d1``.
        shape: Of one example.
        shapes: Output shape of each layer for one example, by its name.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        shape: Shape,
        *,
        seed: int = 0,
        dtype: type[np.floating] = np.float32,
    ) -> None:
        _hold_memory()
        self.shape, self.seed, self.dtype = tuple(shape), seed, np.dtype(dtype)
        self.layers: dict[str, Layer] = {}
        self.shapes: dict[str, Shape] = {}
        counted: Counter[str] = Counter()
        for layer in layers:
            kind = type(layer).__name__.lower()
            counted[kind] += 1
            name = f"{kind}{counted[kind]}"
            shape = layer.build(shape, generator(seed, "weights", name), self.dtype)
            # The derivative by the first layer's input is never needed.
            layer.wants_input = bool(self.layers)
            self.layers[name], self.shapes[name] = layer, shape

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """The learnable parameters, as ``layer.name``; the arrays themselves, not copies."""
        return self._named("parameters")

    @property
    def gradients(self) -> dict[str, FloatArray]:
        """The derivative of the last step's loss by each parameter."""
        return self._named("gradients")

    @property
    def state(self) -> dict[str, FloatArray]:
        """Parameters and buffers, as ``layer.name``."""
        return self.parameters | self._named("buffers")

    def _named(self, kind: str) -> dict[str, FloatArray]:
        return {
            f"{layer}.{name}": value
            for layer, found in self.layers.items()
            for name, value in getattr(found, kind).items()
        }

    def forward(self, inputs: FloatArray, *, training: bool = False) -> FloatArray:
        """Return logits (B, K) of examples (B, *shape).

        With ``training``, use batch statistics and dropout, and keep what a backward pass needs.

        Raises:
            RecipeError: The examples have another shape.
        """
        inputs = self._check(inputs)
        for layer in self.layers.values():
            inputs = layer.forward(inputs, training=training)
        return inputs

    def _check(self, inputs: FloatArray) -> FloatArray:
        if inputs.shape[1:] != self.shape:
            raise RecipeError(f"examples must have the shape {self.shape}, got {inputs.shape[1:]}")
        return np.asarray(inputs, self.dtype)

    def backward(self, gradient: FloatArray) -> None:
        """Compute every layer's gradients from the loss's derivative by the logits, (B, K)."""
        passed: FloatArray | None = gradient
        for layer in reversed(self.layers.values()):
            if passed is not None:
                passed = layer.backward(passed)

    # A loss that is not finite raises one error, without NumPy's warnings before it.
    @np.errstate(over="ignore", invalid="ignore")
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
            optimiser: Updates the parameters.
            class_weights: Weight of each class in the loss, (K,).
            l2: λ of P3's penalty, λ / (2 · B) · Σ w², on convolutions and dense layers.

        Returns:
            The loss before the step, with the penalty; the logits.

        Raises:
            TrainingError: The loss is not finite; the message names the step and the layer.
        """
        number = optimiser.steps + 1
        logits = self.forward(inputs, training=True)
        loss, gradient = cross_entropy(logits, targets, class_weights)
        if l2:
            squares = sum(float(np.vdot(value, value)) for value in self._decaying().values())
            loss += l2 / (2 * len(inputs)) * squares
        if not np.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {number}: {self._find_fault(inputs)}",
                hint="Lower train.lr",
            )
        self.backward(gradient)
        gradients = self.gradients
        if l2:
            for name, value in self._decaying().items():
                gradients[name] += l2 / len(inputs) * value
        optimiser.step(self.parameters, gradients)
        return loss, logits

    def _decaying(self) -> dict[str, FloatArray]:
        return {
            f"{layer}.{name}": found.parameters[name]
            for layer, found in self.layers.items()
            for name in found.decays
        }

    def _find_fault(self, inputs: FloatArray) -> str:
        """Return the name of the first array that is not finite."""
        if not np.isfinite(inputs).all():
            return "an input is not finite"
        for name, layer in self.layers.items():
            for part, value in layer.parameters.items():
                if not np.isfinite(value).all():
                    return f"the {part} of {name} is not finite"
            inputs = layer.forward(inputs, training=True)
            if not np.isfinite(inputs).all():
                return f"the output of {name} is not finite"
        return "the logits or the penalty on the weights are too large"

    def fit(
        self,
        batches: Batches,
        optimiser: Optimiser,
        plan: Plan,
        *,
        evaluate: Callable[[Network], Row],
        on_row: Callable[[Row], None] | None = None,
        on_step: Callable[[FloatArray, IntArray], None] | None = None,
    ) -> list[Row]:
        """Train by a plan and restore the state of the best evaluation.

        Args:
            batches: The batches of an epoch, counted from 0.
            optimiser: Its learning rate is the initial one.
            plan: Epochs, evaluations, schedule, stopping.
            evaluate: Scores on validation images, ``val_…`` each.
            on_row: Called with the row of every evaluation.
            on_step: Called with the logits and targets of every batch.

        Returns:
            One row an evaluation: ``step``, ``epoch``, ``lr``, ``loss`` and ``accuracy`` of the
            training batches since the last one, and the scores of ``evaluate``.
        """
        initial, rows = optimiser.lr, list[Row]()
        stopping, best = EarlyStopping(plan.monitor, plan.patience), self.state
        seen = list[tuple[float, int, int]]()
        for epoch, is_due, inputs, targets in plan.walk(batches):
            loss, logits = self.step(
                inputs, targets, optimiser, class_weights=plan.class_weights, l2=plan.l2
            )
            if on_step is not None:
                on_step(logits, targets)
            seen.append((loss, int((logits.argmax(axis=1) == targets).sum()), len(targets)))
            if not is_due:
                continue
            row = {"step": optimiser.steps, "epoch": epoch, "lr": optimiser.lr, **score(seen)}
            rows.append(row | evaluate(self))
            seen.clear()
            if on_row is not None:
                on_row(rows[-1])
            optimiser.lr = plan.schedule.rate(initial, len(rows))
            if stopping.update(_monitored(rows[-1], plan.monitor)):
                best = {name: array.copy() for name, array in self.state.items()}
            if stopping.is_over:
                break
        self.load_state(best)
        return rows

    def predict(self, inputs: FloatArray, *, batch_size: int = 32) -> FloatArray:
        """Return probabilities (N, K) of examples (N, *shape)."""
        if not len(inputs):
            return np.zeros((0, *next(reversed(self.shapes.values()))), self.dtype)
        starts = range(0, len(inputs), batch_size)
        return np.concatenate([softmax(self.forward(inputs[i : i + batch_size])) for i in starts])

    def feature_maps(self, inputs: FloatArray) -> dict[str, FloatArray]:
        """Return every layer's output for examples (B, *shape), by its name, in evaluation mode."""
        inputs, made = self._check(inputs), {}
        for name, layer in self.layers.items():
            inputs = layer.forward(inputs, training=False)
            made[name] = inputs
        return made

    def load_state(self, state: Mapping[str, FloatArray]) -> None:
        """Load parameters and buffers; raises ``ArtifactError`` at a foreign name or shape."""
        check_state(self.state, state)
        for name, value in self.state.items():
            value[...] = state[name]

    def save(self, path: Path) -> None:
        """Write the weights as npz: numbers only, no objects."""
        write_weights(path, self.state)

    def load(self, path: Path) -> None:
        """Read weights that :meth:`save` wrote.

        Raises:
            ArtifactError: The file is absent, damaged or another network's.
        """
        self.load_state(read_weights(path))

    def count_params(self) -> int:
        """Return the number of learnable parameters."""
        return sum(value.size for value in self.parameters.values())


def evaluate(
    network: Network, inputs: FloatArray, targets: IntArray, *, batch_size: int = 256
) -> Row:
    """Return ``val_loss`` and ``val_accuracy`` on examples (N, *shape), at least one."""
    starts = range(0, len(targets), batch_size)
    logits = np.concatenate([network.forward(inputs[i : i + batch_size]) for i in starts])
    loss, _ = cross_entropy(logits, targets)
    return {"val_loss": loss, "val_accuracy": float((logits.argmax(axis=1) == targets).mean())}


def _hold_memory() -> None:
    """Make glibc keep the freed memory of a step for the next one.

    A step allocates and frees some 100 MB. glibc returns large blocks to the system, which clears
    each page before it lends it again: a twentieth of a step. The size of a large block grows with
    the largest block ever freed, up to 32 MiB, so one is freed here, untouched.
    """
    np.empty(31 * 2**20, np.uint8)


def _monitored(row: Row, monitor: str | None) -> float | None:
    if monitor is None:
        return None
    if monitor not in row:
        raise RecipeError(f"no evaluation has {monitor!r}, only {', '.join(row)}")
    return row[monitor]
