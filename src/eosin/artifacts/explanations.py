"""Record of ``explain``."""

from __future__ import annotations

from pydantic import Field

from eosin.artifacts.explanation_checks import ExplanationChecks
from eosin.artifacts.predictions import PredictionRecord
from eosin.artifacts.versioned import Count, ListOf, Text


class ExplanationRecord(PredictionRecord):
    """Schema of ``explanations.json``: that of a prediction, and how it was explained.

    Attributes:
        method: Registered name of the method.
        settings: What the method did, in a sentence.
        n_masks: Masked copies of each image that the network saw; null without masks.
        n_flat: Images whose map points nowhere.
        members: Names of an ensemble's networks, in the order of ``members`` in the files of
            ``maps``; empty without maps of members.
        chosen: How the images were chosen from the run's own; empty for those that were given.
        layers: Layers whose feature maps were drawn.
        checks: Checks of the method on the model, from ``model.json``; null if it has none of it.
    """

    method: Text
    settings: Text
    n_masks: Count | None
    n_flat: Count
    members: ListOf[Text] = Field(default_factory=list)
    chosen: Text = ""
    layers: ListOf[Text] = Field(default_factory=list)
    checks: ExplanationChecks | None = None
