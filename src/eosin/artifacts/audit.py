"""Schema of ``audit.json``, the leak audit of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from eosin.artifacts.versioned import (
    Count,
    DictOf,
    Document,
    ListOf,
    Number,
    TupleOf,
    VersionedDocument,
)
from eosin.core.display import Shown
from eosin.core.text import unit_of

Kind = Literal[
    "same_path",
    "same_group",
    "same_accession",
    "same_cluster",
    "identical_bytes",
    "identical_pixels",
    "near_duplicate",
    "alike_names",
    "label_conflict",
]
Severity = Literal["leak", "warning", "note"]
#: Kinds whose pairs are shown side by side; images of one patient need not look similar.
SHOWN_KINDS: tuple[Kind, ...] = (
    "same_cluster",
    "identical_bytes",
    "identical_pixels",
    "near_duplicate",
    "label_conflict",
)


class Pair(Document):
    """A pair of samples that have something in common.

    Attributes:
        a: Path of the first, as the manifest has it.
        split_a: The subset (or fold) of the first; null without splits.
        score: 1.0 for an exact match; the similarity otherwise.
        how: In words, what distinguishes two near-duplicates, such as ``mirrored``; of
            ``alike_names`` both spellings and their rows; of ``same_group`` that the two are one
            patient in two groups.
    """

    a: str
    b: str
    split_a: str | None
    split_b: str | None
    score: Number
    how: str | None = None


class Finding(Document):
    """One kind of overlap between two subsets, with an example pair for each shared key."""

    kind: Kind
    severity: Severity
    message: str
    pairs: ListOf[Pair]


class SplitSize(Document):
    """Number of images and groups of a subset."""

    n_images: Count
    n_groups: Count


class GroupLink(Document):
    """The reason why two groups were joined.

    Attributes:
        kind: The kind of finding that connects them.
        a: Path of an image of the first.
        group_a: Name of the first group before the repair.
        how: Both spellings of ``alike_names``; what distinguishes two near-duplicates.
    """

    kind: Kind
    a: str
    b: str
    group_a: str
    group_b: str
    how: str | None = None


class JoinedGroups(Document):
    """A group that a repair made of several.

    Attributes:
        groups: Names of the groups that it was made of.
        links: One reason for each join: one fewer than groups.
    """

    group: str
    groups: ListOf[str]
    links: ListOf[GroupLink]


class AuditReport(Shown, VersionedDocument):
    """Schema of ``audit.json``.

    Attributes:
        splits: The subsets.
        findings: Leaks first.
        reach: Sentences on which near-duplicates were searched for and which were not; empty where
            only names, groups and exact copies were compared.
        n_patients: Known patients; null in files of earlier versions.
        n_unknown_patients: Images whose patient is not known; null in files of earlier versions.
        repair: The groups that were joined before the audit.
    """

    n_images: Count
    n_groups: Count
    splits: DictOf[SplitSize]
    findings: ListOf[Finding]
    reach: TupleOf[str] = ()
    n_patients: Count | None = None
    n_unknown_patients: Count | None = None
    repair: TupleOf[JoinedGroups] = ()

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        sizes = {name: f"{size.n_images} images" for name, size in self.splits.items()}
        found = {"leaks": len(self.leaks), "findings": len(self.findings)}
        return {"images": self.n_images, "groups": self.n_groups, **sizes, **found}

    @property
    def unit(self) -> str:
        """Name of the groups' unit; see :func:`eosin.core.text.unit_of`."""
        known = None if self.n_unknown_patients else self.n_patients
        return unit_of(self.n_images, self.n_groups, known)

    @property
    def unchecked(self) -> str:
        """Sentence on images of unknown patients, which could not be checked; else empty."""
        n = self.n_unknown_patients
        if n is None:  # of an earlier version
            n = self.n_images if self.n_groups == self.n_images else 0
        if not n:
            return ""
        which = f"all {n:,} images" if n == self.n_images else f"{n:,} of {self.n_images:,} images"
        which = "the only image" if self.n_images == 1 else which
        return (
            f"The patient of {which} is unknown: whether images of one patient are in more than "
            "one subset was not checked"
        )

    @property
    def leaks(self) -> list[Finding]:
        """The findings that make a test result optimistic."""
        return [finding for finding in self.findings if finding.severity == "leak"]

    def joined(self, leaks: Sequence[Finding]) -> AuditReport:
        """Return the report with further leaks, which come first."""
        return self.model_copy(update={"findings": [*leaks, *self.findings]})
