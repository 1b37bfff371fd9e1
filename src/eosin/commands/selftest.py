"""Self-test of a model on this machine, ``predict --selftest`` and ``eosin.load(…).selftest()``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from eosin.artifacts.layout import ModelFolder
from eosin.core.display import Shown
from eosin.core.errors import ArtifactError
from eosin.core.text import quantity
from eosin.inference.classifier import MAX_PROBABILITY_GAP, Classifier
from eosin.inference.selftest import Agreement, run_selftests

#: Largest difference of a probability of an 8-bit network: the float32 layers beside it round
#: otherwise on another processor, which can move a value by one of 255 steps.
MAX_INT8_GAP = 1e-2


@dataclass(frozen=True, repr=False)
class SelfTestResult(Shown):
    """Result of a self-test that passed.

    Attributes:
        model: Name of the model folder.
        engine: What ran the network.
        agreement: With the stored outputs.
        float32: Agreement of the float32 network beside one of 8 bits; None without.
    """

    model: str
    engine: str
    agreement: Agreement
    float32: Agreement | None = None

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        facts = {"model": self.model, "engine": self.engine, **asdict(self.agreement)}
        if self.float32 is not None:
            facts["float32_seconds_per_image"] = self.float32.seconds_per_image
        return facts

    def lines(self) -> list[str]:
        """Return the terminal output."""
        one = self.agreement
        lines = [
            f"self-test passed: {quantity(one.n_images, 'image')} in {self.engine}",
            f"largest difference of a probability {one.max_probability_gap:.2g}, "
            f"other decisions {one.n_other_decisions}",
            f"{1000 * one.seconds_per_image:.3g} ms per image",
        ]
        if self.float32 is not None:
            other = self.float32
            lines.append(
                f"with float32: largest difference {other.max_probability_gap:.2g}, other "
                f"decisions {other.n_other_decisions}, {1000 * other.seconds_per_image:.3g} ms per "
                f"image, {other.seconds_per_image / one.seconds_per_image:.2f} times that of INT8"
            )
        return lines


def check_model(model: str, folder: Path, classifier: Classifier) -> SelfTestResult:
    """Run the self-test of an open model, of one with 8 bits also for its float32 network.

    Raises:
        ArtifactError: The outputs differ from those that the model was saved with, or it has no
            test images.
    """
    tested = [classifier]
    if classifier.info.int8 is not None:
        tested.append(Classifier(folder, network=ModelFolder(folder).onnx))
    found = run_selftests(tested)
    limits = [MAX_INT8_GAP if len(found) > 1 else MAX_PROBABILITY_GAP, MAX_PROBABILITY_GAP]
    for one, agreement, most in zip(tested, found, limits, strict=False):
        _check(one.engine if len(found) > 1 else "", agreement, most)
    return SelfTestResult(model, classifier.engine, *found)


def _check(engine: str, found: Agreement, most: float) -> None:
    # Where the probabilities agree, a decision differs only at the threshold itself.
    if found.max_probability_gap <= most:
        return
    with_engine = f" with {engine}" if engine else ""
    raise ArtifactError(
        f"the self-test failed{with_engine}: a probability differs by "
        f"{found.max_probability_gap:.2g} from what the model was saved with (at most {most:g} is "
        f"allowed), and {found.n_other_decisions} of {found.n_images} decisions differ",
        hint="Do not use the model on this machine. Copy its folder again, or update the libraries",
    )
