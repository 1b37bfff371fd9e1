"""Train-test overlap of finished runs with external images and with images that others held out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from eosin.artifacts.audit import AuditReport, Finding, Pair, SplitSize
from eosin.artifacts.manifest import read_manifest, relocated
from eosin.artifacts.model import Embedding, Preprocessing
from eosin.core.types import Samples
from eosin.data.audit import FileHashes, audit_external, audit_samples, hash_files
from eosin.images.bank import load_bank
from eosin.runs.finished import FinishedRun
from eosin.runs.matching import SharedImages
from eosin.runs.relocation import find_images

#: The subsets that a model is trained or selected on.
_SEEN = ("train", "val")
#: Columns that link images; one run may know more of them than another.
_TIES = ("patient", "group", "accession", "cluster")
#: Kinds of leak that need the files: the runs' own audits have looked for them.
_BY_CONTENT = ("identical_bytes", "identical_pixels", "near_duplicate")


def audit_overlap(
    run: FinishedRun,
    preprocessing: Preprocessing,
    outside: tuple[Samples, FileHashes],
    root: Path,
) -> AuditReport | None:
    """Audit the overlap of external images with a run's training and the stages before it.

    Returns:
        The audit; ``None`` where the folder does not record the training images.
    """
    if not run.folder.manifest.exists():
        return None
    found: list[AuditReport] = []
    is_distinct = run.recipe is not None and run.recipe.data.alike_names == "distinct"
    for place in (run.folder, *run.folder.stage_runs()):
        if place.manifest.exists():
            noted = read_manifest(place.manifest, allow_one_class=True, verbatim=True)
            samples = _seen(find_images(place, noted))
            trained = samples, _hash(run, samples, preprocessing)
            found.append(audit_external(trained, outside, root, distinct=is_distinct))
    return _join_reports(found)


def _join_reports(reports: list[AuditReport]) -> AuditReport:
    """Join the overlaps of external images with several trainings, leaks first.

    The remark of a report that compared names only holds for all where none has a leak; it comes
    last, as in each.
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


def _seen(samples: Samples) -> Samples:
    """Return the rows of a manifest that were used in training; of folds, all."""
    parts = samples.frame.get("split")
    seen = None if parts is None else parts.isin(_SEEN).to_numpy()
    return samples if seen is None or not seen.any() else samples.where(seen)


def _hash(run: FinishedRun, samples: Samples, preprocessing: Preprocessing) -> FileHashes:
    is_cached = run.recipe is None or run.recipe.data.cache
    if isinstance(preprocessing, Embedding) or not is_cached:
        return hash_files(samples)
    return load_bank(samples, preprocessing)[1]


def divide_shared(shared: SharedImages) -> Samples:
    """Return the shared images as test subset, and the training images of any run as the others.

    For runs without folds: with folds every image was trained on.
    """
    frames = [shared.samples.frame.assign(split="test")]
    for part in ("train", "val"):
        frames += [
            _named_alike(samples, shared.known).part(part).frame
            for run in shared.runs
            for _, samples in run.divisions
        ]
    # Images that any run trained on come before those that another only validated on.
    frame = pd.concat(frames, ignore_index=True).drop_duplicates("path").fillna("")
    return replace(shared.samples, frame=frame.reset_index(drop=True))


def audit_shared(shared: SharedImages) -> AuditReport:
    """Leak audit of each run's training images against the images that all held out.

    A run without patients takes those that another knows. Each leak has the name of its run: those
    by path, group, accession and cluster, and from the runs' own audits those that need the files
    or an earlier training.
    """
    evaluated = set(shared.samples.frame["path"])
    findings: list[Finding] = []
    for run in shared.runs:
        for name, samples in run.divisions:
            table = _named_alike(samples, shared.known)
            split = table.frame["split"]
            kept = split.isin(["train", "val"]) | table.frame["path"].isin(evaluated)
            leaks = audit_samples(table.where(kept.to_numpy())).leaks
            findings += _shown(name, (leak for leak in leaks if leak.pairs[0].split_b == "test"))
        findings += _shown(run.short_name, own_leaks(run, shared.samples.root, evaluated))
    paths = pd.concat([run.samples.frame[["path", "group", "patient"]] for run in shared.runs])
    n_judged = SplitSize(n_images=len(evaluated), n_groups=len(set(shared.samples.groups)))
    return AuditReport(
        n_images=int(paths["path"].nunique()),
        n_groups=int(paths["group"].nunique()),
        splits={shared.split: n_judged},
        findings=findings,
        n_unknown_patients=int((paths.groupby("path")["patient"].max() == "").sum()),
    )


def _named_alike(samples: Samples, known: Samples) -> Samples:
    """Return samples with the links (patients, groups, …) of ``known`` where it has the image."""
    ties = known.frame.drop_duplicates("path").set_index("path")
    frame = samples.frame.copy()
    for column in _TIES:
        if column in ties:
            own = pd.Series(frame.get(column, ""), frame.index)
            frame[column] = frame["path"].map(ties[column]).fillna(own)
    return replace(samples, frame=frame)


def _shown(name: str, leaks: Iterable[Finding]) -> list[Finding]:
    return [leak.model_copy(update={"message": f"{name}: {leak.message}"}) for leak in leaks]


def own_leaks(run: FinishedRun, base: Path, evaluated: set[str]) -> list[Finding]:
    """Return the leaks of the evaluated images that only the run's own audit can find."""
    found = []
    for leak in run.audit.leaks if run.audit else ():
        moved = [_evaluated_last(pair) for pair in _moved(leak.pairs, run.root, base)]
        of_stage = bool(moved) and str(moved[0].split_a).startswith("stage ")
        if leak.kind in _BY_CONTENT or of_stage:
            pairs = [pair for pair in moved if pair.b in evaluated]
            found += [leak.model_copy(update={"pairs": pairs})] if pairs else []
    return found


def _evaluated_last(pair: Pair) -> Pair:
    """Return a pair with the image of a stage first; older runs have it last."""
    if not str(pair.split_b).startswith("stage "):
        return pair
    sides = {"a": pair.b, "b": pair.a, "split_a": pair.split_b, "split_b": pair.split_a}
    return pair.model_copy(update=sides)


def _moved(pairs: Sequence[Pair], root: Path, base: Path) -> list[Pair]:
    """Return pairs whose paths start from ``base``, not from ``root``."""
    cells = pd.DataFrame({"path": [cell for pair in pairs for cell in (pair.a, pair.b)]})
    moved = list(relocated(Samples(cells, root, ()), base).frame["path"])
    return [
        pair.model_copy(update={"a": a, "b": b})
        for pair, a, b in zip(pairs, moved[::2], moved[1::2], strict=True)
    ]
