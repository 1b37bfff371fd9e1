"""Self-test of a model on this machine, ``predict --selftest`` and ``eosin.load(…).selftest()``."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from eosin.core.display import Shown
from eosin.core.errors import ArtifactError
from eosin.core.text import quantity
from eosin.inference.classifier import MAX_PROBABILITY_GAP, Classifier
from eosin.inference.selftest import Agreement, run_selftest


@dataclass(frozen=True, repr=False)
class SelfTestResult(Shown):
    """Result of a self-test that passed.

    Attributes:
        model: Name of the model folder.
        engine: What ran the network.
        agreement: With the stored outputs.
    """

    model: str
    engine: str
    agreement: Agreement

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        return {"model": self.model, "engine": self.engine, **asdict(self.agreement)}

    def lines(self) -> list[str]:
        """Return the terminal output."""
        one = self.agreement
        return [
            f"self-test passed: {quantity(one.n_images, 'image')} in {self.engine}",
            f"largest difference of a probability {one.max_probability_gap:.2g}, "
            f"other decisions {one.n_other_decisions}",
            f"{1000 * one.seconds_per_image:.3g} ms per image",
        ]


def check_model(model: str, classifier: Classifier) -> SelfTestResult:
    """Run the self-test of an open model.

    Raises:
        ArtifactError: The outputs differ from those that the model was saved with, or it has no
            test images.
    """
    found = run_selftest(classifier)
    # Where the probabilities agree, a decision differs only at the threshold itself.
    if not found.max_probability_gap <= MAX_PROBABILITY_GAP:
        raise ArtifactError(
            f"the self-test failed: a probability differs by {found.max_probability_gap:.2g} from "
            f"what the model was saved with (at most {MAX_PROBABILITY_GAP:g} is allowed), and "
            f"{found.n_other_decisions} of {found.n_images} decisions differ",
            hint="Do not use the model on this machine. Copy its folder again, or update the "
            "libraries",
        )
    return SelfTestResult(model, classifier.engine, found)
