"""Matching of finished runs: each run's predictions of the images that all held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eosin.artifacts.layout import OUT_OF_FOLD
from eosin.artifacts.predictions import PREFIX
from eosin.core.errors import ArtifactError, UsageError
from eosin.core.files import sha256_file
from eosin.core.types import STACKED, ImageReference, Samples
from eosin.runs.finished import EVALUATED_FIRST, FinishedRun, read_run


@dataclass(frozen=True, eq=False)
class SharedImages:
    """Images that all runs held out.

    Attributes:
        runs: The runs, with one base of their paths.
        rows: Predictions of each, see :attr:`FinishedRun.rows`, under the first run's paths.
        paths: The images that all predicted, each once, in the first run's order: groups are
            numbered, and so resampled, as in its report.
        known_by: Position of the run with the largest groups: they make the wider intervals, the
            conservative choice where runs differ.
        n_by_content: Images that have another path in some run.
    """

    runs: Sequence[FinishedRun]
    rows: Sequence[Any]
    paths: list[str]
    known_by: int
    n_by_content: int

    @property
    def frame(self) -> Any:
        """``path``, ``label``, ``patient``, ``group``, ``magnification`` of each image."""
        known = _first_rows(self.rows[self.known_by], self.paths)
        return known[["label", "patient", "group", "magnification"]].reset_index()

    @property
    def n_repeated(self) -> int:
        """Runs with several predictions an image."""
        return sum(bool(rows["path"].duplicated().any()) for rows in self.rows)

    @property
    def known(self) -> Samples:
        """The whole manifest of the run with the largest groups."""
        return self.runs[self.known_by].samples

    @cached_property
    def samples(self) -> Samples:
        """The images as rows of that manifest, without a split."""
        frame = self.known.frame.drop_duplicates("path")
        frame = frame[frame["path"].isin(self.paths)].reset_index(drop=True)
        frame = frame.drop(columns=["split", "repeat", "fold"], errors="ignore")
        info = self.runs[self.known_by].info
        return replace(
            self.known, frame=frame, class_names=info.class_names, positive=info.positive
        )

    @property
    def split(self) -> str:
        """``test``; ``oof`` where a run has folds, whose joined model was trained on the images."""
        return OUT_OF_FOLD if any(run.has_folds for run in self.runs) else "test"


def name_runs(runs: Sequence[Path | str], what: str, verb: str) -> list[tuple[Path, str]]:
    """Return at least two run folders, each with the shortest end of its path that is unique.

    Raises:
        UsageError: Fewer than two, or one is given twice.
    """
    places = [Path(run) for run in runs]
    if len(places) < 2:
        raise UsageError(
            f"{what} needs at least two runs, got {len(places)}",
            hint=f"Name two or more: eosin {verb} RUN RUN -o DIR",
        )
    parts = [place.resolve().parts for place in places]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return list(zip(places, names, strict=True))
    twice = next(place for place in places if parts.count(place.resolve().parts) > 1)
    raise UsageError(f"the run {twice} is given twice", hint="Name each run once")


def read_comparable(runs: Sequence[Path | str]) -> list[FinishedRun]:
    """Read runs that can be compared.

    Raises:
        UsageError: Fewer than two, or one of them twice.
        ArtifactError: One is not a finished run, has other classes, or no evaluated test subset.
    """
    places = name_runs(runs, "a comparison", "compare")
    found = [_read(place, name, places[0][0]) for place, name in places]
    for position, one in enumerate(found):
        for other in found[:position]:
            _check_same_task(other, one)
            check_distinct(other, one)
    return found


def _read(place: Path, name: str, base: Path) -> FinishedRun:
    run = read_run(place, name, base)
    if run.split not in EVALUATED_FIRST:
        raise ArtifactError(
            f"{place} was evaluated on {run.split!r} only, which was used in its training",
            hint="Evaluate its run on the test subset: eosin evaluate RUN -o DIR",
        )
    return run


def _check_same_task(one: FinishedRun, other: FinishedRun) -> None:
    shown = [f"{', '.join(sorted(each.class_names))}" for each in (one, other)]
    positives = [each.evaluated.positive for each in (one, other)]
    if shown[0] != shown[1] or positives[0] != positives[1]:
        tasks = [f"{t} (positive: {p})" for t, p in zip(shown, positives, strict=True)]
        raise ArtifactError(
            f"{other.short_name} and {one.short_name} have different classes: {tasks[1]} against "
            f"{tasks[0]}",
            hint="Compare runs with the same classes",
        )


def check_distinct(one: FinishedRun, other: FinishedRun) -> None:
    """Raise ``UsageError`` if two runs are of one model."""
    models = [each.model and each.model.weights_sha256 for each in (one, other)]
    if models[0] is not None and models[0] == models[1]:
        raise UsageError(
            f"{one.short_name} and {other.short_name} are the same model",
            hint="Name each run once",
        )


def find_shared(
    runs: Sequence[FinishedRun], label_hint: str, *, by_content: bool = False
) -> SharedImages:
    """Match the images that the runs held out; ``ArtifactError`` if one has two labels."""
    rows, n_by_content = [run.rows for run in runs], 0
    if by_content:
        rows, n_by_content = _match_by_content(runs)
    common = set.intersection(*(set(one["path"]) for one in rows))
    paths = [path for path in dict.fromkeys(rows[0]["path"]) if path in common]
    tables = [_first_rows(one, paths) for one in rows]
    for run, table in zip(runs[1:], tables[1:], strict=True):
        differ = np.flatnonzero((table["label"] != tables[0]["label"]).to_numpy())
        if len(differ):
            first = paths[int(differ[0])]
            labels = f"{tables[0]['label'][first]} in {runs[0].short_name}"
            raise ArtifactError(
                f"{first} is {labels} and {table['label'][first]} in {run.short_name}",
                hint=label_hint,
            )
    known_by = min(range(len(runs)), key=lambda n: int(tables[n]["group"].nunique()))
    return SharedImages(runs, rows, paths, known_by, n_by_content)


def _first_rows(rows: Any, paths: list[str]) -> Any:
    return rows.drop_duplicates("path").set_index("path").loc[paths]


def _match_by_content(runs: Sequence[FinishedRun]) -> tuple[list[Any], int]:
    """Give images that all runs know under different paths the first run's path."""
    every = [set(run.rows["path"]) for run in runs]
    common = set.intersection(*every)
    if all(common == paths for paths in every):
        return [run.rows for run in runs], 0
    contents = [_contents(run, common) for run in runs]
    digests = set.intersection(*(set(found) for found in contents))
    rows = []
    for run, found in zip(runs, contents, strict=True):
        names = {found[digest]: contents[0][digest] for digest in digests}
        rows.append(run.rows.assign(path=[names.get(path, path) for path in run.rows["path"]]))
    return rows, sum(len({found[digest] for found in contents}) > 1 for digest in digests)


def _contents(run: FinishedRun, common: set[str]) -> dict[str, str]:
    """Return the path of each evaluated file that is not in ``common``, by its content.

    Images in containers and stacks, and files that occur twice, are left out.
    """
    found, base = {}, (run.base or run.root).resolve()
    twice: Counter[str] = Counter()
    for path in dict.fromkeys(run.rows["path"]):
        file = base / path
        is_single = STACKED not in path and ImageReference.parse(path).index is None
        if path not in common and is_single and file.is_file():
            digest = sha256_file(file)
            found[digest] = path
            twice[digest] += 1
    return {digest: path for digest, path in found.items() if twice[digest] == 1}


def mean_predictions(run: FinishedRun, rows: Any, paths: Sequence[str]) -> Any:
    """Return ``prob_<class>…`` and ``threshold`` of images, shape (N, K + 1), means of repeats."""
    columns = [PREFIX + name for name in run.class_names]
    return rows.groupby("path")[[*columns, "threshold"]].mean().loc[paths]
