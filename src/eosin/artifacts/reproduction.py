"""Schema of ``reproduction.json``: a paper's printed values beside ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from eosin.artifacts.metrics import Metric
from eosin.artifacts.versioned import (
    DictOf,
    Document,
    ListOf,
    Name,
    Number,
    Text,
    VersionedDocument,
)


@dataclass(frozen=True)
class ReproductionFolder:
    """Paths inside the output folder of ``reproduce``; each run has a folder of its own in it."""

    root: Path

    @property
    def document(self) -> Path:
        """What was asked for, and the values."""
        return self.root / "reproduction.json"

    @property
    def page(self) -> Path:
        """The self-contained HTML page."""
        return self.root / "report.html"

    @property
    def figures(self) -> Path:
        """The page's figures as PNG."""
        return self.root / "figures"


class ReproducedRun(Document):
    """A run of the reproduction.

    Attributes:
        experiment: Name of the paper's experiment.
        protocol: ``as-published`` or ``strict``.
        folder: Run folder, relative to the reproduction; empty if there is none.
        failure: Why there is none.
        differs: What differs from the paper's experiment, by kind, with a sentence.
    """

    experiment: Name
    protocol: Name
    folder: str = ""
    failure: str = ""
    differs: DictOf[Text] = Field(default_factory=dict)


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


class Reproduction(VersionedDocument):
    """Schema of ``reproduction.json``.

    Attributes:
        paper: ``P1`` to ``P5``.
        size: ``full``, ``reduced`` or ``quick``.
        items: Tables and figures that were asked for; empty for all.
        runs: The runs; empty until all are finished.
        values: The values; empty until all runs are finished.
    """

    paper: Name
    size: Name
    items: ListOf[Name] = Field(default_factory=list)
    runs: ListOf[ReproducedRun] = Field(default_factory=list)
    values: ListOf[ReproducedValue] = Field(default_factory=list)
