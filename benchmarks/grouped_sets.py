"""Grouped synthetic sets of images, evaluated by two models whose true metrics are known.

What pathology sets look like (:data:`SCENARIOS`): a group (patient) has a random effect of its
own, as large as the spread between its images (intraclass correlation one half). An image's score
is its class's mean plus the group's effect plus its own; it is called positive above the midpoint.
A second model shares part of both effects: it is a little worse, or nearly the same model. The
truth is what 200,000 groups measure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eosin.core.seeding import generator
from eosin.core.types import Estimate, FloatArray, IntArray
from eosin.metrics.catalogue import DISTINCT
from eosin.metrics.intervals import MIN_GROUPS, estimate, estimate_difference, support
from eosin.metrics.measurement import Measurement
from eosin.metrics.predictions import Predictions
from eosin.metrics.summary import Patients

POPULATION = 200_000
IMAGES = 10
RATE, VOTES = "recognition_rate", ("majority_vote_accuracy", "mean_probability_accuracy")
AREA = "mean_probability_auc"


@dataclass(frozen=True)
class Scenario:
    """What is simulated.

    Attributes:
        description: In words.
        distance: Between the classes' mean scores, in deviations of one image's score.
        mixed: Whether groups hold both classes, and unevenly many images.
        shared: Correlation of both models' effects, of a group and of an image.
        other_distance: The second model's distance, as a share of the first's.
    """

    description: str
    distance: float
    mixed: bool = False
    shared: tuple[float, float] = (0.7, 0.5)
    other_distance: float = 0.9

    def draw(self, n_groups: int, random: np.random.Generator) -> tuple[Any, ...]:
        """Return both models' scores, targets and groups of images, (N,) each."""
        if self.mixed:
            # Half of the groups have 7 to 15 images, one in twenty more than 27.
            sizes = np.maximum(1, np.round(IMAGES * random.lognormal(0, 0.6, n_groups)))
            groups = np.repeat(np.arange(n_groups), sizes.astype(int))
            labels = (random.random(len(groups)) < random.beta(1, 2, n_groups)[groups]).astype(int)
        else:
            groups = np.repeat(np.arange(n_groups), IMAGES)
            labels = _draw_classes(n_groups, random)[groups]
        effect, image = random.normal(size=n_groups), random.normal(size=len(groups))
        other, other_image = (
            share * own + np.sqrt(1 - share**2) * random.normal(size=len(own))
            for share, own in zip(self.shared, (effect, image), strict=True)
        )
        mean = (labels - 0.5) * self.distance * np.sqrt(2)
        second = self.other_distance * mean + other[groups] + other_image
        return mean + effect[groups] + image, second, labels, groups


SCENARIOS = {
    "single": Scenario("every patient has one class and ten images", 2.4),
    "mixed": Scenario("patients have images of both classes, 1 to 60 and more", 2.4, mixed=True),
    "rare": Scenario("every patient has one class and ten images, errors are rare", 3.3),
    "alike": Scenario(
        "every patient has one class and ten images, both models are nearly the same",
        2.9,
        shared=(0.98, 0.98),
        other_distance=1.0,
    ),
}


def _draw_classes(n_groups: int, random: np.random.Generator) -> IntArray:
    """Return the class of each group, both equally likely, in enough groups for an interval."""
    while True:
        classes = random.integers(0, 2, n_groups)
        if MIN_GROUPS <= classes.sum() <= n_groups - MIN_GROUPS:
            return classes


def predict(score: FloatArray, targets: IntArray, groups: IntArray) -> Predictions:
    """Return what a model says of images with these scores, (N,)."""
    positive = 1 / (1 + np.exp(-score))
    table = np.stack([1 - positive, positive], axis=1)
    return Predictions(table, targets, (positive > 0.5).astype(int), groups, positive=1)


@dataclass(frozen=True)
class Simulated:
    """One set of images, evaluated by two models.

    Attributes:
        models: What both models say of the images.
        votes: What the first says of the patients, by votes and by mean; empty where a patient
            has two classes or images are drawn one by one, or only some metrics are asked for.
        names: The metrics asked for.
    """

    models: tuple[Predictions, Predictions]
    votes: tuple[Predictions, ...]
    names: tuple[str, ...] = DISTINCT

    @classmethod
    def draw(
        cls,
        scenario: Scenario,
        n_groups: int,
        random: np.random.Generator,
        *,
        naive: bool = False,
        names: tuple[str, ...] = DISTINCT,
    ) -> Simulated:
        """Simulate a set; ``naive`` makes each image a group of its own."""
        first, second, targets, groups = scenario.draw(n_groups, random)
        drawn = np.arange(len(groups)) if naive else groups
        one, other = (predict(score, targets, drawn) for score in (first, second))
        patients = Patients.gather(one, groups)
        has_votes = names == DISTINCT and not (naive or scenario.mixed)
        return cls((one, other), patients.decisions(one) if has_votes else (), names)

    def measurement(self) -> Callable[[FloatArray], dict[str, FloatArray]]:
        """Return a function from weights of groups (R, G) to every metric, (R,) each."""
        one, other = (Measurement(given, self.names, (1,)) for given in self.models)
        by_vote = [Measurement(given, ("accuracy", "auc"), (1,)) for given in self.votes]
        patients = Patients.gather(self.models[0], self.models[0].group_codes)

        def measure(weights: FloatArray) -> dict[str, FloatArray]:
            found = {name: _column(column) for name, column in one(weights).items()}
            found |= {f"other {name}": _column(column) for name, column in other(weights).items()}
            if self.names == DISTINCT:
                found[RATE] = weights @ patients.right / weights.sum(axis=1)
            votes = [given(weights) for given in by_vote]
            found |= {name: given["accuracy"] for name, given in zip(VOTES, votes, strict=False)}
            return found | ({AREA: _column(votes[1]["auc"])} if votes else {})

        return measure

    def estimate(
        self, points: dict[str, FloatArray], samples: dict[str, FloatArray]
    ) -> dict[str, Estimate]:
        """Return each metric with its interval."""
        found, one = {}, self.models[0]
        for name in points:
            if name.startswith("other "):
                continue
            means = {AREA: "auc", RATE: "accuracy"} | dict.fromkeys(VOTES, "accuracy")
            kind = means.get(name, name)
            rests_on = support(one, kind, 1)
            found[name] = estimate(float(points[name][0]), samples[name], kind, rests_on)
        for name in self.names:
            both = (name, f"other {name}")
            values = float(points[both[0]][0]), float(points[both[1]][0])
            drawn = samples[both[0]], samples[both[1]]
            rests_on = support(one, name, 1)
            found[f"{name}_difference"] = estimate_difference(values, drawn, name, rests_on)
        return found


def _column(measured: FloatArray) -> FloatArray:
    return measured if measured.ndim == 1 else measured[:, 1]


def find_truth(
    scenario: Scenario, seed: int, names: tuple[str, ...] = DISTINCT
) -> dict[str, float]:
    """Return the metrics of a population, differences included."""
    random = generator(seed, "coverage", "truth")
    simulated = Simulated.draw(scenario, POPULATION, random, names=names)
    found = simulated.measurement()(np.ones((1, POPULATION)))
    truth = {name: float(value[0]) for name, value in found.items()}
    for name in names:
        truth[f"{name}_difference"] = truth[name] - truth.pop(f"other {name}")
    return truth
