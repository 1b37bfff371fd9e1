"""Schema of the gate in ``model.json``: which images a model does not decide on, and why."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from eosin.artifacts.versioned import (
    Count,
    DictOf,
    Document,
    ListOf,
    Number,
    Positive,
    Probability,
    Text,
)

#: Reasons why an image is refused, the first that applies.
Refusal = Literal["ink", "blurred", "blank", "scale", "stain", "domain"]
REFUSALS: tuple[Refusal, ...] = get_args(Refusal)

#: Explanation of each, for people.
EXPLANATIONS: dict[str, str] = {
    "ink": "a pen mark, or as many pixels of a pen's colours",
    "blurred": "less fine detail than in training",
    "blank": "less tissue, or less structure, than in training",
    "scale": "detail of another size, or more noise, than in training",
    "stain": "colour or strength of the stain outside the range of training",
    "domain": "another kind of image than in training",
}


class Limits(Document):
    """Limits of one measure.

    Attributes:
        centre: Median over the training images, each group weighing the same.
        below: Distance from there to the 10th percentile, or a least one where that is smaller.
        above: Distance to the 90th percentile, likewise.
        low: Images with less are refused; null without such a limit.
        high: Images with more are refused; null without such a limit.
    """

    centre: Number
    below: Positive
    above: Positive
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low is not None and not self.low < self.centre:
            raise ValueError(f"low should be below centre, got {self.low} and {self.centre}")
        if self.high is not None and not self.high > self.centre:
            raise ValueError(f"high should be above centre, got {self.high} and {self.centre}")
        return self


class Distance(Document):
    """Mahalanobis distance of all measures together from the training images.

    Each measure counts in units of ``below`` or ``above`` from its centre.

    Attributes:
        mean: Mean of the measures, in the order of ``Gate.measures``.
        precision: Inverse of their covariance.
        high: Images that are farther away are refused.
    """

    mean: ListOf[Number]
    precision: ListOf[ListOf[Number]]
    high: Positive


class Gate(Document):
    """The gate before prediction: limits of an image's measures, fitted on training images.

    Attributes:
        measures: Limits by measure; empty where no gate was fitted.
        distance: Limit of all measures together; null where no gate was fitted.
        n_images: Training images that it was fitted on.
        n_groups: Groups (patients, where known) of them.
        budget: Share of images of new groups that it was fitted to refuse.
        margin: Factor on the limits for the variation between so few groups.
        reason: Why no gate was fitted; null where one was.
    """

    measures: DictOf[Limits] = Field(default_factory=dict)
    distance: Distance | None = None
    n_images: Count
    n_groups: Count
    budget: Probability
    margin: Annotated[float, Field(strict=True, ge=1.0)] = 1.0
    reason: Text | None = None

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        n = len(self.measures)
        if self.distance is None:
            if n:
                raise ValueError("distance should not be null where there are measures")
            return self
        sizes = {n, len(self.distance.mean), len(self.distance.precision)}
        if len(sizes | {len(row) for row in self.distance.precision}) > 1:
            raise ValueError(f"distance should be of {n} measures")
        return self
