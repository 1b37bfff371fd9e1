"""Schema of the checks of a model's explanations, a part of ``model.json``."""

from __future__ import annotations

from typing import Self

from eosin.artifacts.metrics import Metric
from eosin.artifacts.versioned import Count, DictOf, Document, Flag, Text

#: A method fails the randomisation test from this rank correlation on.
MOST_SIMILAR = 0.5
#: Fewest images on which a method is compared with other orders.
LEAST_IMAGES = 50


class RandomisationTest(Document):
    """Randomisation test: maps of the trained network, and of one with random weights.

    Attributes:
        n_images: Number of images.
        similarity: Mean rank correlation, without its sign, of an image's two maps; a null value
            with the reason where there is none.
        between_images: The same between the trained network's maps of two different images.
    """

    n_images: Count
    similarity: Metric
    between_images: Metric

    @classmethod
    def without_value(cls, n_images: int, reason: str) -> Self:
        """Return a test that could not be made."""
        missing = Metric(value=None, reason=reason)
        return cls(n_images=n_images, similarity=missing, between_images=missing)

    @property
    def passes(self) -> bool | None:
        """Return True if the maps change; None without a value."""
        value = self.similarity.value
        return None if value is None else value < MOST_SIMILAR


class Road(Document):
    """ROAD: falls of the decided class's probability while pixels are hidden.

    Attributes:
        n_images: Number of held-out images.
        n_groups: Number of their groups.
        unit: What groups are: ``patient``, ``image`` or ``group``.
        n_flat: Those whose map is flat.
        by_folds: Whether each was explained by the network of the fold that held it out.
        fall: Mean fall while the pixels of most evidence are hidden; a null value with the reason
            where it was not measured.
        over_random: How much larger it is than that of pixels in random order, paired.
        over_moved: How much larger it is than that of the same map, turned, mirrored and shifted at
            random, paired.
    """

    n_images: Count
    n_groups: Count
    unit: Text = "group"
    n_flat: Count = 0
    by_folds: Flag = False
    fall: Metric
    over_random: Metric
    over_moved: Metric

    @classmethod
    def without_value(cls, n_images: int, n_groups: int, reason: str) -> Self:
        """Return a comparison that was not made."""
        missing = Metric(value=None, reason=reason)
        return cls(
            n_images=n_images,
            n_groups=n_groups,
            fall=missing,
            over_random=missing,
            over_moved=missing,
        )

    @property
    def passes(self) -> bool | None:
        """Return True if both intervals are above 0; None without an interval."""
        lows = [self.over_random.low, self.over_moved.low]
        known = [low for low in lows if low is not None]
        return None if len(known) < len(lows) else min(known) > 0


class NucleiShare(Document):
    """Share of the evidence for one class that lies on the nuclei of simulated images.

    Attributes:
        n_images: Number of held-out images with evidence for the class.
        share: Mean share of the evidence.
        area: Mean share of the area that nuclei cover, which evidence at random places would have.
        difference: The first less the second, paired.
    """

    n_images: Count
    share: Metric
    area: Metric
    difference: Metric


class ExplanationChecks(Document):
    """Checks of a model's default method of explanation.

    Attributes:
        method: Its registered name.
        settings: What it does, in a sentence.
        randomisation: Made at the end of the training.
        road: Made by ``explain --check``; null before.
        nuclei: By class; made by the same for models of simulated images.
    """

    method: Text
    settings: Text
    randomisation: RandomisationTest
    road: Road | None = None
    nuclei: DictOf[NucleiShare] | None = None
