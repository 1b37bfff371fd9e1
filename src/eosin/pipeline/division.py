"""Samples divided as a recipe asks, and what the audit says of it."""

from __future__ import annotations

from dataclasses import dataclass

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.run import SplitReport
from eosin.core.errors import LeakError
from eosin.core.types import Samples
from eosin.datasets.audit import merge_audits
from eosin.datasets.splits import Fold, fold_samples, pool_reports, split_samples
from eosin.pipeline.preparation import Prepared, Say
from eosin.recipe.schema import Recipe


@dataclass(frozen=True)
class Division:
    """Samples divided as the recipe asks: one split, or folds.

    Attributes:
        folds: Empty for a single split.
        samples: With a ``split`` column; for folds, the samples as they came.
        report: What the split wanted and got.
        audit: What the leak audit found.
    """

    samples: Samples
    report: SplitReport
    audit: AuditReport
    folds: tuple[Fold, ...] = ()

    @property
    def judged(self) -> Samples:
        """The images that are judged: the test part, or with folds all."""
        return self.samples if self.folds else self.samples.part("test")


def divide(recipe: Recipe, prepared: Prepared) -> Division:
    """Split the samples and audit the split.

    Raises:
        SplitError: The groups do not allow the split.
    """
    section, samples = recipe.data.split, prepared.samples
    if section.protocol != "folds":
        divided, report = split_samples(samples, section, recipe.seed)
        return Division(divided, report, prepared.audit(divided))
    folds = tuple(fold_samples(samples, section, recipe.seed))
    audits = [prepared.audit(fold.samples) for fold in folds]
    names = [f"{fold.repeat}-{fold.fold}" for fold in folds]
    return Division(samples, pool_reports(folds), merge_audits(audits, names), folds)


def stop_at_leak(recipe: Recipe, audit: AuditReport, allow_leak: bool, say: Say) -> None:
    """Refuse a strict training whose split leaks; say it of any other.

    Raises:
        LeakError: Naming the first leak.
    """
    if not audit.leaks:
        what = f"copies found. {audit.unchecked}" if audit.unchecked else "leak found"
        say(f"Audit: no {what}")
        return
    first = audit.leaks[0].message
    if recipe.data.split.is_strict and not allow_leak:
        raise LeakError(
            f"the split leaks: {first}",
            mend="Mend the groups (`eosin data audit` lists every pair), or pass --allow-leak",
        )
    say(f"Audit: this split leaks, its result will flatter: {first}")
