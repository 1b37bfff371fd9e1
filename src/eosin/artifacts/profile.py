"""Schemas of the reference profile ``profile.json`` and of ``drift.json``.

Plain numbers alone: neither file has a name, a path or a patient.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from eosin.artifacts.versioned import (
    AtLeastOne,
    DictOf,
    Document,
    NotNegative,
    Number,
    Probability,
    Text,
    VersionedDocument,
)

Verdict = Literal["as in training", "shifted", "far off", "not judged"]


#: Names of the quantities for people; the light of a channel is named by the channel.
_NAMES = {
    "red": "red",
    "green": "green",
    "blue": "blue",
    "contrast": "contrast",
    "saturation": "colour saturation",
    "stain_red": "red fraction of stain",
    "stain_blue": "blue fraction of stain",
    "focus": "focus",
    "side_px": "size in pixels",
}


def explain_quantity(name: str, predicted: str | None) -> str:
    """Return the description of a quantity; ``predicted`` is the class of ``prediction``."""
    if name == "prediction":
        return f"probability of {predicted or 'the predicted class'}"
    return _NAMES.get(name, name)


class Distribution(Document):
    """Distribution of one quantity over images, every group having the same weight.

    Attributes:
        mean: Mean of the groups' means.
        spread: Standard deviation over images, each group weighing the same.
        group_spread: Standard deviation of the groups' means; null with one group.
        quantiles: At 0, 1, … 100 per cent.
    """

    n_images: AtLeastOne
    n_groups: AtLeastOne
    mean: Number
    spread: NotNegative
    group_spread: NotNegative | None
    quantiles: Annotated[tuple[Number, ...], Field(min_length=101, max_length=101)]

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if sorted(self.quantiles) != list(self.quantiles):
            raise ValueError("quantiles should ascend")
        return self


class Profile(VersionedDocument):
    """Schema of ``profile.json``, the reference profile of training and calibration images.

    Attributes:
        measured: ``brightfield``, ``fluorescence`` or ``features``, which have a profile of their
            predictions alone.
        appearance: By quantity, of training images as the network sees them; ``side_px`` of the
            stored images.
        prediction: Probability of the positive class, or of the most probable one; null where
            nothing was predicted.
        predicted_on: The images of ``prediction``: ``val``, ``oof``, ``test``; null without one.
        classes: Share of each class among the training images.
    """

    MAX_BYTES = 16 << 20

    measured: Literal["brightfield", "fluorescence", "features"]
    appearance: DictOf[Distribution]
    prediction: Distribution | None = None
    predicted_on: Text | None = None
    classes: DictOf[Probability]


class Shift(Document):
    """Shift of one quantity between training and external images.

    Attributes:
        training: Of the training images; for predictions, of the calibration images.
        outside: Of the external images.
        distance: Wasserstein distance, in standard deviations of the training images.
        beyond: Share of external images below the 1st or above the 99th percentile of training,
            0–1; in the training images 0.02.
        chance: Probability of a mean as far off as this among as many further groups from the
            training's own source; null where the training has too few groups for an estimate.
        verdict: In words.
    """

    training: Distribution
    outside: Distribution
    distance: NotNegative
    beyond: Probability
    chance: Probability | None
    verdict: Verdict


class Drift(VersionedDocument):
    """Schema of ``drift.json``: drift of external images from the training images.

    Attributes:
        verdict: Of the quantity with the largest drift; ``unknown`` without a reference profile.
        reason: Why it is unknown, else empty.
        shifts: By quantity; that of the predictions is called ``prediction``.
        predicted: The class whose probability that is; null for the most probable one.
        training_classes: Share of each class among the training images.
        outside_classes: Among the external images.
    """

    verdict: Verdict | Literal["unknown"]
    reason: Text = ""
    shifts: DictOf[Shift] = Field(default_factory=dict)
    predicted: Text | None = None
    training_classes: DictOf[Probability] = Field(default_factory=dict)
    outside_classes: DictOf[Probability] = Field(default_factory=dict)
