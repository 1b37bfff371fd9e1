"""Schema of ``reproduction.json``: a paper's printed values beside ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from eosin.artifacts.metrics import Metric
from eosin.artifacts.versioned import (
    Count,
    DictOf,
    Document,
    Flag,
    ListOf,
    Name,
    Number,
    Text,
    VersionedDocument,
)

#: What is said first of data that are not the paper's task.
STAND_IN = "stand-in, not the paper's task"


@dataclass(frozen=True)
class ReproductionFolder:
    """Paths inside the output folder of ``reproduce``; each run has a folder of its own in it."""

    root: Path

    @property
    def document(self) -> Path:
        """Document of the reproduction: paper, size, runs, values."""
        return self.root / "reproduction.json"

    @property
    def page(self) -> Path:
        """The self-contained HTML page."""
        return self.root / "report.html"

    @property
    def figures(self) -> Path:
        """The page's figures as PNG."""
        return self.root / "figures"

    def comparison(self, experiments: Iterable[str], protocol: str) -> Path:
        """Return the folder of the comparison of several experiments' runs."""
        return self.root / "comparisons" / f"{'-and-'.join(experiments)[:100]}-{protocol}"


class ReproducedRun(Document):
    """A run of the reproduction.

    Attributes:
        experiment: Name of the paper's experiment.
        protocol: ``as-published`` or ``strict``.
        recipe: Shipped recipe; empty for a mean of others.
        folder: Run folder, relative to the reproduction; empty if there is none.
        failure: Why there is none.
        differs: What differs from the paper's experiment, by kind, with a sentence.
        n_images: Evaluated images.
        n_patients: Their patients; null if unknown.
        epochs: Epochs trained; of folds, the mean.
        input_px: Height and width of the network's input.
        seconds: Time of the training.
        seed: Seed.
        git: Commit of Eosin.
    """

    experiment: Name
    protocol: Name
    recipe: str = ""
    folder: str = ""
    failure: str = ""
    differs: DictOf[Text] = Field(default_factory=dict)
    n_images: Count | None = None
    n_patients: Count | None = None
    epochs: Number | None = None
    input_px: Count | None = None
    seconds: Number | None = None
    seed: Count | None = None
    git: str | None = None


class ReproducedValue(Document):
    """A printed value, and ours.

    Attributes:
        item: Table or figure, as ``table-2``.
        printed: As printed, with its unit; empty if the paper prints nothing.
        recomputed: The same from other figures that the paper prints.
        as_published: Ours under the paper's protocol.
        strict: Ours under the strict protocol.
        verdict: Verdict; empty in a quick reproduction.
        reason: Its reason.
    """

    item: Name
    row: str
    column: str
    printed: str
    recomputed: Number | None = None
    as_published: Metric | None = None
    strict: Metric | None = None
    verdict: str = ""
    reason: str = ""


class ReproducedDemand(Document):
    """A requirement of the paper, and whether ours meets it; empty where nothing was measured."""

    name: str
    place: str
    as_published: str = ""
    strict: str = ""


class ReproducedFigure(Document):
    """A figure of an item: its file in ``figures/``, text alternative and caption."""

    item: Name
    file: Name
    alt: str
    caption: str


class Reproduction(VersionedDocument):
    """Schema of ``reproduction.json``; all but the first three are empty until all is trained.

    Attributes:
        paper: ``P1`` to ``P5``.
        size: ``full``, ``reduced`` or ``quick``.
        items: Tables and figures that were asked for.
    """

    paper: Name
    size: Literal["full", "reduced", "quick"]
    items: ListOf[Name] = Field(default_factory=list)
    simulated: Flag = False
    runs: ListOf[ReproducedRun] = Field(default_factory=list)
    values: ListOf[ReproducedValue] = Field(default_factory=list)
    demands: ListOf[ReproducedDemand] = Field(default_factory=list)
    figures: ListOf[ReproducedFigure] = Field(default_factory=list)
