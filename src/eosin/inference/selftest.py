"""Self-test of a model: its test images, run anew and compared with the stored outputs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eosin.artifacts.model import Embedding, ModelInfo
from eosin.artifacts.selftest import MOST_IMAGES, SelfTest, pack
from eosin.core.errors import ArtifactError
from eosin.core.types import FloatArray, ImageSource
from eosin.inference.classifier import Classifier

#: Most characters of packed images: ``model.json`` may have 16 MiB.
_MOST_CHARACTERS = 8 << 20
#: Timed runs; the median counts.
_RUNS = 5


@dataclass(frozen=True)
class Agreement:
    """Agreement of predictions with those that a model was saved with.

    Attributes:
        n_images: Number of test images.
        max_probability_gap: Largest difference of a probability.
        n_other_decisions: Images with another decision.
        seconds_per_image: Time of network and calibration, the median of five runs over all.
    """

    n_images: int
    max_probability_gap: float
    n_other_decisions: int
    seconds_per_image: float


def make_selftest(classifier: Classifier, images: ImageSource) -> SelfTest | None:
    """Return test images, evenly spaced over ``images``, with the classifier's outputs.

    Images that are too large for ``model.json`` are fewer; None where not even one fits.
    """
    count = min(MOST_IMAGES, len(images))
    while count:
        rows = np.linspace(0, len(images) - 1, count).round().astype(np.int64)
        chosen = np.asarray(images[rows])
        packed = pack(chosen)
        if len(packed) <= _MOST_CHARACTERS:
            probabilities = classifier.probabilities(classifier.logits(chosen))
            return SelfTest(
                n_images=count,
                images_base64=packed,
                probabilities=[tuple(row) for row in probabilities.tolist()],
                decisions=tuple(classifier.decide(probabilities)),
            )
        count //= 2
    return None


def unpack_images(info: ModelInfo) -> Any:
    """Return a model's test images as the network takes them, (N, *input_px, C).

    Raises:
        ArtifactError: It has none, or they are damaged.
    """
    preprocessing = info.preprocessing
    dtype = "<f4" if isinstance(preprocessing, Embedding) else "u1"
    shape = (*preprocessing.input_px, len(preprocessing.channels))
    return find_selftest(info).unpack(shape, dtype)


def find_selftest(info: ModelInfo) -> SelfTest:
    """Return the self-test of a model; ArtifactError if it has none."""
    if info.selftest is None:
        raise ArtifactError(
            "the model has no test images: it was written by an earlier version of Eosin, or its "
            "images are too large",
            hint="Train it again with this version",
        )
    if len(info.selftest.probabilities[0]) != len(info.class_names):
        raise ArtifactError("the model's test images are those of another model")
    return info.selftest


def run_selftests(classifiers: Sequence[Classifier]) -> list[Agreement]:
    """Predict the test images of classifiers anew, and compare.

    Each run times one after the other, so that other load on the machine affects all equally.

    Raises:
        ArtifactError: A model has no test images, or they are damaged.
    """
    found, tests = [], []
    for one in classifiers:
        expected, images = find_selftest(one.info), unpack_images(one.info)
        probabilities = one.probabilities(one.logits(images))  # the first run also warms up
        found.append(differences(expected, probabilities, one.decide(probabilities)))
        tests.append((one, images))
    seconds: list[list[float]] = [[] for _ in tests]
    for _ in range(_RUNS):
        for taken, (one, images) in zip(seconds, tests, strict=True):
            start = time.perf_counter()
            one.probabilities(one.logits(images))
            taken.append((time.perf_counter() - start) / len(images))
    return [
        Agreement(len(images), gap, n_other, float(np.median(taken)))
        for (gap, n_other), (_, images), taken in zip(found, tests, seconds, strict=True)
    ]


def differences(
    expected: SelfTest, probabilities: FloatArray, decisions: list[str]
) -> tuple[float, int]:
    """Return the largest difference of a probability, and the number of other decisions."""
    gap = float(np.abs(probabilities - np.array(expected.probabilities)).max())
    others = zip(decisions, expected.decisions, strict=True)
    return gap, sum(one != other for one, other in others)
