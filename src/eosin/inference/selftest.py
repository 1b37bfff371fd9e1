"""Self-test of a model: its test images, run anew and compared with the stored outputs."""

from __future__ import annotations

import time
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
_RUNS = 3


@dataclass(frozen=True)
class Agreement:
    """Agreement of predictions with those that a model was saved with.

    Attributes:
        n_images: Number of test images.
        max_probability_gap: Largest difference of a probability.
        n_other_decisions: Images with another decision.
        seconds_per_image: Time of network and calibration, the median of three runs over all.
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


def run_selftest(classifier: Classifier) -> Agreement:
    """Predict the test images anew, and compare.

    Raises:
        ArtifactError: The model has no test images, or they are damaged.
    """
    expected, images = find_selftest(classifier.info), unpack_images(classifier.info)
    seconds = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        found = classifier.probabilities(classifier.logits(images))
        seconds.append(time.perf_counter() - start)
    gap, n_other = differences(expected, found, classifier.decide(found))
    return Agreement(len(images), gap, n_other, float(np.median(seconds)) / len(images))


def differences(
    expected: SelfTest, probabilities: FloatArray, decisions: list[str]
) -> tuple[float, int]:
    """Return the largest difference of a probability, and the number of other decisions."""
    gap = float(np.abs(probabilities - np.array(expected.probabilities)).max())
    others = zip(decisions, expected.decisions, strict=True)
    return gap, sum(one != other for one, other in others)
