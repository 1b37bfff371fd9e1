"""Whether a model was trained on what it is judged on from outside."""

from __future__ import annotations

from pathlib import Path

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import read_manifest
from eosin.artifacts.model import Embedding, Preprocessing
from eosin.core.types import Samples
from eosin.data.audit import FileHashes, audit_outside, hash_files
from eosin.images.bank import load_bank
from eosin.recipe import read_recipe
from eosin.runs.relocation import find_images

#: The parts of a manifest that a model learns from or is chosen by.
_SEEN = ("train", "val")


def audit_overlap(
    run: RunFolder, preprocessing: Preprocessing, outside: tuple[Samples, FileHashes], root: Path
) -> AuditReport | None:
    """Look for outside images among those of a run's training and of the stages before it.

    Args:
        run: The run, or a model folder.
        preprocessing: As its model reads images, so that the training's cache serves again.
        outside: The outside images.
        root: The folder that paths of the report start from.

    Returns:
        What both share; nothing where the folder does not tell what the model was trained on.
    """
    if not run.manifest.exists():
        return None
    places = sorted(run.stages.iterdir()) if run.stages.is_dir() else []
    found = []
    for place in (run, *map(RunFolder, places)):
        if place.manifest.exists():
            noted = read_manifest(place.manifest, allow_one_class=True, verbatim=True)
            samples = _seen(find_images(place, noted))
            trained = samples, _hash(run, samples, preprocessing)
            found.append(audit_outside(trained, outside, root, distinct=_is_distinct(run)))
    return _join_reports(found)


def _join_reports(reports: list[AuditReport]) -> AuditReport:
    """Return what outside images share with any of several trainings, leaks first.

    What a report adds because it found shared names alone is true of all only where none has a
    leak; it comes last, as in each.
    """
    findings = [finding for report in reports for finding in report.findings]
    is_leaking = any(report.leaks for report in reports)
    names_alone = {one.reach[-1] for one in reports if one.findings and not one.leaks}
    reach = dict.fromkeys(line for report in reports for line in report.reach)
    kept = [line for line in reach if line not in names_alone]
    return reports[0].model_copy(
        update={
            "findings": sorted(findings, key=lambda finding: finding.severity != "leak"),
            "reach": (*kept, *(() if is_leaking else sorted(names_alone))),
        }
    )


def _is_distinct(run: RunFolder) -> bool:
    return run.recipe.exists() and read_recipe(run.recipe).data.alike_names == "distinct"


def _seen(samples: Samples) -> Samples:
    """Return the rows of a manifest that its training saw; of folds, all."""
    parts = samples.frame.get("split")
    seen = None if parts is None else parts.isin(_SEEN).to_numpy()
    return samples if seen is None or not seen.any() else samples.where(seen)


def _hash(run: RunFolder, samples: Samples, preprocessing: Preprocessing) -> FileHashes:
    is_cached = not run.recipe.exists() or read_recipe(run.recipe).data.cache
    if isinstance(preprocessing, Embedding) or not is_cached:
        return hash_files(samples)
    return load_bank(samples, preprocessing)[1]
