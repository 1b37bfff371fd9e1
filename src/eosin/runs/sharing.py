"""The images that all members of an ensemble held out, and what their trainings knew of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from eosin.artifacts.audit import AuditReport, Finding, Pair, SplitSize
from eosin.artifacts.manifest import relocated
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError
from eosin.core.types import Samples
from eosin.data.audit import audit_samples
from eosin.runs.members import Member

#: What says which images belong together; one run may know more than another.
_TIES = ("patient", "group", "accession", "cluster")
#: Kinds of leak that take the files to find: the members' own audits have looked.
_BY_CONTENT = ("identical_bytes", "identical_pixels", "near_duplicate")


@dataclass(frozen=True)
class Shared:
    """What an ensemble can be judged on.

    Attributes:
        samples: The images that every member held out, once each.
        known: The whole manifest of the member that knows the largest groups, from which
            ``samples`` are: it says which images belong together.
        split: What they are called: ``test``; ``oof`` where a member has folds, whose joined model
            has itself seen the images.
        n_seen: Images that some member held out and another trained or validated on.
        n_absent: Images that some member held out and another does not have.
    """

    samples: Samples
    known: Samples
    split: str
    n_seen: int
    n_absent: int

    def tell(self) -> str:
        """Say how many images are judged and why others are not."""
        left = [
            f"{count:,} that {why}"
            for count, why in (
                (self.n_seen, "another run trained or validated on"),
                (self.n_absent, "another run does not have"),
            )
            if count
        ]
        out = f"; left out: {', '.join(left)}" if left else ""
        n = len(self.samples)
        images = "no image is" if n == 0 else "1 image is" if n == 1 else f"{n:,} images are"
        return f"{images} held out in every run{out}"


def find_shared(members: Sequence[Member]) -> Shared:
    """Match the members' held-out images by file.

    Raises:
        ArtifactError: There is none, or one is another image, or under another label, in another
            run.
    """
    every = [set(member.held_out.index) for member in members]
    common, some = set.intersection(*every), set.union(*every)
    tables = [_rows(member, common) for member in members]
    for member, table in zip(members[1:], tables[1:], strict=True):
        _check_same(members[0], member, tables[0], table)
    # Larger groups make wider intervals: the careful choice where runs differ.
    chosen = min(range(len(tables)), key=lambda n: int(tables[n].frame["group"].nunique()))
    has = [set(member.samples.frame["path"]) for member in members]
    # In a member's table and not held out there: it was trained or validated on.
    seen = set().union(*(h - e for h, e in zip(has, every, strict=True))) & some
    shared = Shared(
        samples=tables[chosen],
        known=members[chosen].samples,
        split="oof" if any(member.is_folds for member in members) else "test",
        n_seen=len(seen),
        n_absent=len(some - common - seen),
    )
    if not common:
        raise ArtifactError(
            f"this ensemble could not be judged: {shared.tell()}",
            mend="Train the runs on the same data with the same split and seed, or with folds",
        )
    return shared


def _rows(member: Member, paths: set[str]) -> Samples:
    frame = member.samples.frame.drop_duplicates("path")
    frame = frame[frame["path"].isin(paths)].reset_index(drop=True)
    frame = frame.drop(columns=["split", "repeat", "fold"], errors="ignore")
    names, positive = member.info.class_names, member.info.positive
    return replace(member.samples, frame=frame, class_names=names, positive=positive)


def _check_same(one: Member, other: Member, first: Samples, second: Samples) -> None:
    labels = dict(zip(second.frame["path"], second.frame["label"], strict=True))
    for path, label in zip(first.frame["path"], first.frame["label"], strict=True):
        if labels[path] != label:
            told = f"{label} in {one.name} and {labels[path]} in {other.name}"
            raise ArtifactError(f"{path} is {told}", mend="Train both on one table of labels")
        if len({c[path] for c in (one.contents, other.contents) if path in c}) > 1:
            raise ArtifactError(
                f"{path} is another image in {other.name} than in {one.name}: the file was changed "
                "between the trainings",
                mend="Train both on one state of the data",
            )


def divide_shared(members: Sequence[Member], shared: Shared) -> Samples:
    """Lay out what was judged and, as other parts, what any member was trained on.

    Args:
        members: None of them with folds, where every image was trained on.
        shared: What is judged.
    """
    frames = [shared.samples.frame.assign(split="test")]
    for part in ("train", "val"):
        frames += [
            _named_alike(samples, shared.known).part(part).frame
            for member in members
            for _, samples in member.divisions
        ]
    # What any member trained on comes before what another only validated on.
    frame = pd.concat(frames, ignore_index=True).drop_duplicates("path").fillna("")
    return replace(shared.samples, frame=frame.reset_index(drop=True))


def audit_members(members: Sequence[Member], shared: Shared) -> AuditReport:
    """Hold what each network was trained on against what the ensemble is judged on.

    Args:
        members: The runs. One that knew of no patients is held to those that another knows.
        shared: What is judged.

    Returns:
        The leaks, each with the name of its run: those of paths, groups, accessions and clusters,
        and of the runs' own audits those that take the files or an earlier training to find.
    """
    judged = set(shared.samples.frame["path"])
    findings: list[Finding] = []
    for member in members:
        for name, samples in member.divisions:
            table = _named_alike(samples, shared.known)
            split = table.frame["split"]
            kept = split.isin(["train", "val"]) | table.frame["path"].isin(judged)
            leaks = audit_samples(table.where(kept.to_numpy())).leaks
            findings += _told(name, (leak for leak in leaks if leak.pairs[0].split_b == "test"))
        findings += _told(member.name, _own_leaks(member, shared.samples, judged))
    paths = pd.concat([member.samples.frame[["path", "group", "patient"]] for member in members])
    n_judged = SplitSize(n_images=len(judged), n_groups=len(set(shared.samples.groups)))
    return AuditReport(
        n_images=int(paths["path"].nunique()),
        n_groups=int(paths["group"].nunique()),
        splits={shared.split: n_judged},
        findings=findings,
        n_unknown_patients=int((paths.groupby("path")["patient"].max() == "").sum()),
    )


def _named_alike(samples: Samples, known: Samples) -> Samples:
    """Return samples that belong together as ``known`` says, for the images that it knows."""
    ties = known.frame.drop_duplicates("path").set_index("path")
    frame = samples.frame.copy()
    for column in _TIES:
        if column in ties:
            own = pd.Series(frame.get(column, ""), frame.index)
            frame[column] = frame["path"].map(ties[column]).fillna(own)
    return replace(samples, frame=frame)


def _told(name: str, leaks: Iterable[Finding]) -> list[Finding]:
    return [leak.model_copy(update={"message": f"{name}: {leak.message}"}) for leak in leaks]


def _own_leaks(member: Member, samples: Samples, judged: set[str]) -> list[Finding]:
    """Return what the run's own audit found of the judged images, beyond what is found here."""
    if not member.run.audit.exists():
        return []
    found = []
    for leak in read_document(member.run.audit, AuditReport).leaks:
        moved = [_judged_last(pair) for pair in _moved(leak.pairs, member, samples.root)]
        of_stage = bool(moved) and str(moved[0].split_a).startswith("stage ")
        if leak.kind in _BY_CONTENT or of_stage:
            pairs = [pair for pair in moved if pair.b in judged]
            found += [leak.model_copy(update={"pairs": pairs})] if pairs else []
    return found


def _judged_last(pair: Pair) -> Pair:
    """Return a pair as it is told today; older runs named the image of a stage last."""
    if not str(pair.split_b).startswith("stage "):
        return pair
    sides = {"a": pair.b, "b": pair.a, "split_a": pair.split_b, "split_b": pair.split_a}
    return pair.model_copy(update=sides)


def _moved(pairs: Sequence[Pair], member: Member, folder: Path) -> list[Pair]:
    """Return pairs whose paths start from the ensemble's folder."""
    cells = pd.DataFrame({"path": [cell for pair in pairs for cell in (pair.a, pair.b)]})
    moved = list(relocated(Samples(cells, member.run.root, ()), folder).frame["path"])
    return [
        pair.model_copy(update={"a": a, "b": b})
        for pair, a, b in zip(pairs, moved[::2], moved[1::2], strict=True)
    ]
