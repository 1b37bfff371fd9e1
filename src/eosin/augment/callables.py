"""Augmentation by any function, or by a transform of torchvision or Albumentations.

A function draws from its own generator or from a global one. Both are seeded for each image, and
global ones restored, so that the result is a function of the seed, the epoch and the image.
"""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from eosin.core.errors import TrainingError
from eosin.core.plugins import describe_error
from eosin.core.types import Image, IntArray

#: From an image, uint8 of shape (H, W, C), and a seed to the changed image.
Seeded = Callable[[Image, int], Image]


@dataclass(frozen=True, eq=False)
class Calls:
    """A function to call for each image of a batch.

    Attributes:
        function: As :func:`as_function` returns it.
        seeds: Seed of each image, shape (B,).
    """

    function: Seeded
    seeds: IntArray

    def apply(self, images: Image) -> Image:
        """Return changed images of the same shape, uint8, (B, H, W, C)."""
        changed = np.empty_like(images)
        for row, seed in enumerate(self.seeds):
            changed[row] = self.function(images[row].copy(), int(seed))
        return changed


def as_function(transform: Any, name: str) -> Seeded:
    """Return a transform as a function of an image and a seed; ``name`` is for errors."""
    library = type(transform).__module__.partition(".")[0]
    call = {"albumentations": _albumentations, "torchvision": _torchvision}.get(library, _plain)
    run = call(transform)

    def function(image: Image, seed: int) -> Image:
        try:
            with _seeded(seed):
                changed = np.asarray(run(image, seed))
        except Exception as error:
            raise TrainingError(
                f"the augmentation {name!r} failed: {describe_error(error)}"
            ) from error
        if changed.dtype != np.uint8 or changed.shape != image.shape:
            raise TrainingError(
                f"the augmentation {name!r} must return uint8 of shape {image.shape}, got "
                f"{changed.dtype} of shape {changed.shape}"
            )
        return changed

    return function


def _plain(transform: Any) -> Callable[[Image, int], Any]:
    try:
        parameters = list(inspect.signature(transform).parameters.values())
    except ValueError:  # of a compiled function
        parameters = []
    if sum(one.default is one.empty for one in parameters) > 1:
        return lambda image, seed: transform(image, np.random.default_rng(seed))
    return lambda image, _seed: transform(image)


def _albumentations(transform: Any) -> Callable[[Image, int], Any]:
    def run(image: Image, seed: int) -> Any:
        transform.set_random_seed(seed)
        return transform(image=image)["image"]

    return run


def _torchvision(transform: Any) -> Callable[[Image, int], Any]:
    import torch

    def run(image: Image, _seed: int) -> Any:
        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return transform(planes).numpy().transpose(1, 2, 0)

    return run


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, and restore them at the end."""
    before, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002 -- others draw from it
    with ExitStack() as stack:
        if "torch" in sys.modules:
            import torch

            from eosin.runtime.device import DRAWING

            stack.enter_context(DRAWING)
            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(before)
            np.random.set_state(numbers)  # noqa: NPY002
