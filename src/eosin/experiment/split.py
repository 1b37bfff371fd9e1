"""Division of samples as a recipe asks, with its leak audit."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from eosin.artifacts.audit import AuditReport, Finding
from eosin.artifacts.run import SplitReport
from eosin.core.errors import LeakError
from eosin.core.types import Samples
from eosin.data.audit import merge_audits
from eosin.data.sources.catalogue import DATASETS
from eosin.data.splits import fold_samples, hold_out_test, pool_reports, split_samples
from eosin.experiment.prepare import Prepared
from eosin.recipe.data import DataSection
from eosin.recipe.schema import Recipe

_LOG = logging.getLogger(__name__)

_DISTINCT = "keep the names apart (--set data.alike_names=distinct)"


@dataclass(frozen=True)
class Division:
    """Samples divided as the recipe asks: one split, or folds.

    Attributes:
        samples: With a ``split`` column; for folds without one, or with ``test`` for the part that
            no fold holds and ``train`` for the others.
        folds: The split of each, by repeat and fold; empty for a single split.
    """

    samples: Samples
    report: SplitReport
    audit: AuditReport
    folds: dict[tuple[int, int], Division] = field(default_factory=dict)

    @property
    def evaluated(self) -> Samples:
        """The images to evaluate: the test subset, or with folds all."""
        return self.samples if self.folds else self.samples.part("test")

    @property
    def beside_folds(self) -> Samples | None:
        """The test subset that no fold holds; ``None`` without folds or without one."""
        has_one = self.folds and "split" in self.samples.frame
        return self.samples.part("test") if has_one else None

    def with_leaks(self, leaks: Sequence[Finding]) -> Division:
        """Return the division with more findings in its audit and in those of its folds."""
        folds = {key: fold.with_leaks(leaks) for key, fold in self.folds.items()}
        return replace(self, audit=self.audit.joined(leaks), folds=folds)


def divide(recipe: Recipe, prepared: Prepared) -> Division:
    """Split the samples and audit the split; ``SplitError`` if the groups do not allow it."""
    section, samples = recipe.data.split, prepared.samples
    seed = recipe.split_seed
    if section.protocol != "folds":
        divided, report = split_samples(samples, section, seed)
        return Division(divided, report, prepared.audit(divided))
    # A table's own split is not used.
    samples = replace(samples, frame=samples.frame.drop(columns="split", errors="ignore"))
    test, rest = None, samples
    if section.test_share:
        test, rest = hold_out_test(samples, section, seed)
    folds = tuple(fold_samples(rest, section, seed))
    each = {
        (fold.repeat, fold.fold): Division(fold.samples, fold.report, prepared.audit(fold.samples))
        for fold in folds
    }
    names = [f"{repeat}-{fold}" for repeat, fold in each]
    audits = [fold.audit for fold in each.values()]
    if test is not None:
        names, audits = [*names, "test"], [*audits, prepared.audit(test)]
    report = pool_reports(folds, test, section.test_share)
    return Division(samples if test is None else test, report, merge_audits(audits, names), each)


def stop_at_leak(recipe: Recipe, audit: AuditReport, allow_leak: bool) -> None:
    """Refuse a strict training whose split leaks; log the leak of any other.

    Names that differ only in spelling stop a strict training even if this split happens to keep
    them together.

    Raises:
        LeakError: Names the first leak.
    """
    found = audit.leaks + [
        one for one in audit.findings if one.kind == "alike_names" and one.severity != "leak"
    ]
    for warning in (one for one in audit.findings if one.severity == "warning"):
        _LOG.info(f"Audit warning: {warning.message}")
    nothing = "no copies found" if audit.unchecked else "no leak found"
    if not found:
        _LOG.info(". ".join(filter(None, [f"Audit: {nothing}", audit.unchecked])))
        return
    first = found[0]
    if recipe.data.split.is_strict and not allow_leak:
        what = "the split leaks" if audit.leaks else "names differ only in spelling"
        raise LeakError(
            f"{what}: {first.message}{_locate(first)}",
            hint=f"{_suggest(recipe.data, first)}, or pass --allow-leak",
        )
    if audit.leaks:
        _LOG.info(f"Audit: this split leaks, so the results are over-optimistic: {first.message}")
    else:
        _LOG.info(f"Audit: {nothing}, but names differ only in spelling: {first.message}")


def _locate(finding: Finding) -> str:
    """Return the images of a similar-names finding's first pair, which its message omits."""
    if finding.kind != "alike_names":
        return ""
    pair = finding.pairs[0]
    return f", for example {pair.a} and {pair.b}"


def _suggest(data: DataSection, finding: Finding) -> str:
    """Return a hint that removes a leak, with command-line options."""
    if any((pair.split_a or "").startswith("stage ") for pair in finding.pairs):
        distinct = f", or {_DISTINCT}" if finding.kind == "alike_names" else ""
        return f"Leave these images or groups out of the stage's data{distinct}"
    ways = []
    if data.split.protocol == "column":
        ways.append("draw the split by group (--set data.split.protocol=grouped)")
        is_one_group = finding.kind == "same_group" and not any(pair.how for pair in finding.pairs)
        if not is_one_group and not data.repair:
            ways[0] = (
                "draw the split by group and merge what belongs together "
                "(--set data.split.protocol=grouped --set data.repair=true)"
            )
    elif not data.repair:
        ways.append("merge what belongs together (--set data.repair=true)")
    if finding.kind == "alike_names":
        columns = (data.path, data.label, data.patient, data.group)
        if data.manifest is not None and columns == ("path", "label", "patient", "group"):
            table = shlex.quote(data.manifest)
            ways.append(
                f"write a repaired table (eosin data audit {table} --repair NEW.csv, then train "
                "with --set data.manifest=NEW.csv)"
            )
        ways.append(_DISTINCT)
    if not ways:
        ways = ["correct the groups of the table"]
    text = ", or ".join(ways)
    return text[0].upper() + text[1:]


def may_share_groups(a: DataSection, b: DataSection) -> bool:
    """Return True if a shared group name of two data sections may mean the same patient."""
    if a.dataset is None or b.dataset is None:
        return True
    is_simulated = DATASETS.get(a.dataset).facts.simulated
    return a.dataset == b.dataset and (a.root == b.root or not is_simulated)
