"""Schemas of what images look like: a model's ``profile.json``, an evaluation's ``drift.json``.

Plain numbers alone: no name, no path, no patient stands in either.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from eosin.artifacts.values import AtLeastOne, DictOf, NotNegative, Number, Probability, Text
from eosin.artifacts.versioned import Document, VersionedDocument

Verdict = Literal["as in training", "shifted", "far off", "not judged"]


#: What a reader calls each quantity; of the light of a channel its name says it.
_NAMES = {
    "red": "red",
    "green": "green",
    "blue": "blue",
    "contrast": "contrast",
    "saturation": "saturation of colour",
    "stain_red": "red share of the stain",
    "stain_blue": "blue share of the stain",
    "focus": "focus",
    "side_px": "size in pixels",
}


def explain_quantity(name: str, predicted: str | None) -> str:
    """Say what a quantity is.

    Args:
        name: As in the documents.
        predicted: The class whose probability ``prediction`` is; the most probable one otherwise.
    """
    if name == "prediction":
        return f"probability of {predicted or 'the top class'}"
    return _NAMES.get(name, name)


class Distribution(Document):
    """How one number is spread over images; every group has the same say, however many it has.

    Attributes:
        n_images: Images that it was measured of.
        n_groups: Groups of them.
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
    """Schema of ``profile.json``: the images that a model was trained and calibrated on.

    Attributes:
        measured: What is seen: ``brightfield``, ``fluorescence`` or ``features``; of features
            nothing but the predictions is told.
        appearance: By quantity, of training images as the network sees them, ``side_px`` as they
            were stored.
        prediction: Probability of the positive class, or of the most probable one; null where
            nothing was predicted.
        predicted_on: Which images that is of: ``val``, ``oof``, ``test``; null likewise.
        classes: Share of each class among the training images.
    """

    MAX_BYTES = 16 << 20

    measured: Literal["brightfield", "fluorescence", "features"]
    appearance: DictOf[Distribution]
    prediction: Distribution | None = None
    predicted_on: Text | None = None
    classes: DictOf[Probability]


class Shift(Document):
    """How one quantity differs outside.

    Attributes:
        training: Of the training images; of predictions, of those that the model was calibrated
            on.
        outside: Of the outside images.
        distance: Mean distance between equal quantiles (Wasserstein's), in standard deviations of
            the training images.
        beyond: Share of outside images below the 1st or above the 99th percentile of training, 0–1;
            in the training images 0.02.
        chance: How probable a mean as far off as this is among as many further groups from the
            training's own source; null where the training has too few groups to tell.
        verdict: In words.
    """

    training: Distribution
    outside: Distribution
    distance: NotNegative
    beyond: Probability
    chance: Probability | None
    verdict: Verdict


class Drift(VersionedDocument):
    """Schema of ``drift.json``: how outside images differ from those of the training.

    Attributes:
        verdict: Of the quantity that is furthest off; ``unknown`` where the model has no profile.
        reason: Why it is unknown, else empty.
        shifts: By quantity; that of the predictions is called ``prediction``.
        predicted: The class whose probability that is; null for the most probable one.
        training_classes: Share of each class among the training images.
        outside_classes: Among the outside images.
    """

    verdict: Verdict | Literal["unknown"]
    reason: Text = ""
    shifts: DictOf[Shift] = Field(default_factory=dict)
    predicted: Text | None = None
    training_classes: DictOf[Probability] = Field(default_factory=dict)
    outside_classes: DictOf[Probability] = Field(default_factory=dict)
