"""Record of ``explain``."""

from __future__ import annotations

from eosin.artifacts.predictions import PredictionRecord
from eosin.artifacts.versioned import Count, Text


class ExplanationRecord(PredictionRecord):
    """Schema of ``explanations.json``: that of a prediction, and how it was explained.

    Attributes:
        method: Registered name of the method.
        settings: What the method did, in a sentence.
        n_masks: Masked copies of each image that the network saw; null without masks.
        n_flat: Images whose map points nowhere.
    """

    method: Text
    settings: Text
    n_masks: Count | None
    n_flat: Count
