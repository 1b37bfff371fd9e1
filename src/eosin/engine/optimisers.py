"""SGD and Adam."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from eosin.core.types import FloatArray


class Optimiser(ABC):
    """Updates parameters in place, step by step; ``state`` has its own arrays by parameter name."""

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.state: dict[str, FloatArray] = {}
        self.steps = 0

    def step(
        self, parameters: Mapping[str, FloatArray], gradients: Mapping[str, FloatArray]
    ) -> None:
        """Update every parameter with its gradient."""
        self.steps += 1
        for name, value in parameters.items():
            self._move(name, value, gradients[name])

    def load_state(
        self, state: Mapping[str, FloatArray], parameters: Mapping[str, FloatArray]
    ) -> None:
        """Restore ``state``; raises ``ValueError`` at an array that belongs to no parameter."""
        for name, array in state.items():
            value = parameters.get(name, parameters.get(name.rpartition(".")[0]))
            if value is None or (array.shape, array.dtype) != (value.shape, value.dtype):
                raise ValueError(f"{name!r} is not a state of an optimiser of this network")
        self.state = dict(state)

    def _remembered(self, name: str, like: FloatArray) -> FloatArray:
        return self.state.setdefault(name, np.zeros_like(like))

    @abstractmethod
    def _move(self, name: str, value: FloatArray, gradient: FloatArray) -> None:
        """Update one parameter in place."""


class SGD(Optimiser):
    """Stochastic gradient descent; momentum is PyTorch's: the learning rate applies to the sum."""

    def __init__(self, lr: float, *, momentum: float = 0.0) -> None:
        super().__init__(lr)
        self.momentum = momentum

    def _move(self, name: str, value: FloatArray, gradient: FloatArray) -> None:
        if self.momentum:
            velocity = self._remembered(name, value)
            velocity *= self.momentum
            velocity += gradient
            gradient = velocity
        value -= self.lr * gradient


class Adam(Optimiser):
    """Adam (Kingma and Ba, ICLR 2015), algorithm 1.

    Args:
        lr: Learning rate.
        betas: Decay rates of the first and second moments.
        epsilon: Added to the root of the second.
    """

    def __init__(
        self, lr: float = 1e-3, *, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8
    ) -> None:
        super().__init__(lr)
        self.betas, self.epsilon = betas, epsilon

    def _move(self, name: str, value: FloatArray, gradient: FloatArray) -> None:
        first, second = (self._remembered(f"{name}.{order}", value) for order in ("m", "v"))
        for moment, beta, seen in zip(
            (first, second), self.betas, (gradient, gradient * gradient), strict=True
        ):
            moment *= beta
            moment += (1 - beta) * seen
        # Correct the bias of moments that start at zero.
        correction = [1 - beta**self.steps for beta in self.betas]
        scale = np.sqrt(second)
        scale /= math.sqrt(correction[1])
        scale += self.epsilon
        value -= self.lr / correction[0] * first / scale
