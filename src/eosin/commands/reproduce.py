"""Command ``reproduce``: a paper's tables and figures rebuilt, beside the printed ones."""

from __future__ import annotations

import logging
import shlex
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from eosin.artifacts.comparison import Comparison
from eosin.artifacts.layout import STRICT, ComparisonFolder, RunFolder
from eosin.artifacts.reproduction import ReproducedFigure, Reproduction, ReproductionFolder
from eosin.artifacts.versioned import read_document, write_document
from eosin.commands.compare import compare
from eosin.commands.ensemble import ensemble
from eosin.commands.train import plan as plan_training
from eosin.commands.train import train
from eosin.core.display import Shown
from eosin.core.errors import (
    DataError,
    EosinError,
    InterruptedRunError,
    OutputError,
    UsageError,
    close_matches,
    end_with,
)
from eosin.core.files import check_output, check_writable
from eosin.core.places import expand_path
from eosin.core.text import as_list, duration, listing, mebibytes, some
from eosin.data.sources.catalogue import DATASETS, find_datasets
from eosin.experiment.environment import default_output
from eosin.experiment.prepare import resolve_recipe
from eosin.experiment.resume import check_same_recipe
from eosin.images.references import Skipped
from eosin.papers import Item, Paper, read_paper
from eosin.reporting.rendering import write_page
from eosin.reproduction.drawings import JOINT, draw
from eosin.reproduction.jobs import PROTOCOLS, Job, Size, make_jobs
from eosin.reproduction.page import reproduction_page
from eosin.reproduction.values import Outcome, check_demand, evaluate_items

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class ReproductionResult(Shown):
    """Result of ``reproduce``.

    Attributes:
        page: The page.
        reproduction: Every printed value beside ours, and what was trained.
        skipped: ``(path, reason)`` of unreadable images, of all trainings together.
        skipped_lists: Files that list them.
    """

    page: Path
    reproduction: Reproduction
    skipped: Skipped = field(default_factory=list)
    skipped_lists: tuple[Path, ...] = ()

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        found = self.reproduction
        shown = {"paper": found.paper, "items": ", ".join(found.items), "runs": len(found.runs)}
        return {"page": self.page, **shown, "failures": len(self.failures)}

    @property
    def failures(self) -> dict[str, str]:
        """The trainings that failed, with the reason."""
        runs = self.reproduction.runs
        return {f"{one.experiment}, {one.protocol}": one.failure for one in runs if one.failure}


def reproduce(
    paper: str,
    *,
    data: Path | str | Iterable[Path | str] = (),
    quick: bool = False,
    reduced: bool = False,
    only: str | Iterable[str] = (),
    output: Path | str | None = None,
    allow_skipped: bool = False,
) -> ReproductionResult:
    """Rebuild a paper's tables and figures under both protocols.

    Every training is a run folder in ``output``. A reproduction that was stopped goes on with the
    same command: finished trainings are used, the others resumed.

    Args:
        paper: ``P1`` to ``P5``.
        data: Folders below which data sets are recognised by their content, or ``NAME=FOLDER``.
        quick: Train for seconds, on simulated images where none are given; no verdicts.
        reduced: Train at the sizes that two cores without a GPU allow.
        only: Tables and figures, as ``table-2``; all by default.
        output: Output folder; ``runs/<paper>-<UTC time>`` by default.
        allow_skipped: Return the result although images cannot be read.

    Raises:
        SkippedFilesError: Images cannot be read; all is finished, and its ``result`` holds it.
        EosinError: With its cause and hint in one line.
    """
    described, size = read_paper(paper), _size(quick, reduced)
    items = _choose_items(described, only)
    jobs = _list_jobs(described, items, data, size)
    folder = _open_folder(Path(output or default_output(described.id.lower())), described, size)
    for job in jobs:
        _check_same(job, RunFolder(folder.root / job.folder))
    # Only now: a refused command leaves a finished document as it is.
    wanted = Reproduction(paper=described.id, size=size, items=[item.id for item in items])
    write_document(folder.document, wanted)
    outcomes = {}
    for number, job in enumerate(jobs, start=1):
        _LOG.info(f"--- {number} of {len(jobs)}: {job.label}")
        with _resumable(folder):
            outcomes[(job.experiment.name, job.protocol)] = _run(job, folder)
    found = _describe(described, items, outcomes, size)
    drawn = {item.id: draw(item, outcomes, _compare(item, outcomes, folder)) for item in items}
    figures = [
        ReproducedFigure(item=item, file=one.name, alt=one.alt, caption=one.caption)
        for item, (shown, _) in drawn.items()
        for one in shown
    ]
    page = reproduction_page(described, found, drawn)
    write_page(folder.page, page)
    write_document(folder.document, found.model_copy(update={"figures": figures}))
    unread = {
        one.run.folder.skipped: [(file.path, file.reason) for file in one.run.skipped]
        for one in outcomes.values()
        if one.run is not None and one.run.skipped
    }
    skipped, lists = list(chain.from_iterable(unread.values())), tuple(unread)
    result = ReproductionResult(folder.page, found, skipped, lists)
    return end_with(result, len(skipped), lists, allowed=allow_skipped)


def _describe(
    paper: Paper, items: Sequence[Item], outcomes: Mapping[tuple[str, str], Outcome], size: Size
) -> Reproduction:
    """Return the document of a finished reproduction, without its figures."""
    runs = [outcome.run for outcome in outcomes.values() if outcome.run is not None]
    return Reproduction(
        paper=paper.id,
        size=size,
        items=[item.id for item in items],
        simulated=any(run.simulated for run in runs),
        runs=[outcome.describe() for outcome in outcomes.values()],
        values=evaluate_items(paper, items, outcomes, size),
        demands=[
            check_demand(demand, outcomes)
            for demand in paper.demands
            if (demand.experiment, STRICT) in outcomes and size != "quick"
        ],
    )


def _compare(
    item: Item, outcomes: Mapping[tuple[str, str], Outcome], folder: ReproductionFolder
) -> dict[str, Comparison]:
    """Compare the runs of an item that draws several together, under each protocol."""
    if not JOINT & set(item.draw):
        return {}
    found = {}
    for protocol in PROTOCOLS:
        finished = [outcomes.get((name, protocol)) for name in item.needs()]
        runs = [one.run for one in finished if one is not None and one.run is not None]
        if len(runs) < 2:
            continue
        place = ComparisonFolder(folder.comparison(item.needs(), protocol))
        newest = max(run.folder.metrics.stat().st_mtime_ns for run in runs)
        if not place.page.exists() or place.page.stat().st_mtime_ns < newest:
            shutil.rmtree(place.root, ignore_errors=True)
            compare([run.root for run in runs], output=place.root)
        found[protocol] = read_document(place.document, Comparison)
    return found


def plan(
    paper: str,
    *,
    data: Path | str | Iterable[Path | str] = (),
    quick: bool = False,
    reduced: bool = False,
    only: str | Iterable[str] = (),
) -> list[str]:
    """Return the dry run of a reproduction as lines: trainings, time and disk, missing data.

    Args:
        paper: As for :func:`reproduce`, like the others.
        data: Folders.
        quick: Quick form.
        reduced: Reduced form.
        only: Tables and figures.
    """
    described, size = read_paper(paper), _size(quick, reduced)
    items = _choose_items(described, only)
    jobs = _list_jobs(described, items, data, size)
    lines, seconds, n_bytes, checkpoint_bytes, failures = [], 0.0, 0, 0, 0
    for job in jobs:
        if job.recipe is None:
            why = f"needs {listing(job.missing)}" if job.missing else "ensemble of the others"
            lines.append(f"{job.label}: {why}")
            continue
        if job.is_repeated:
            lines.append(f"{job.label}: the same training as published")
            continue
        try:
            found, _ = plan_training(job.recipe, allow_leak=True)
        except EosinError as error:
            lines.append(f"{job.label}: would fail: {error.message}")
            failures += 1
            if failures == sum(one.recipe is not None and not one.is_repeated for one in jobs):
                raise DataError(
                    f"nothing can be trained on these data: {error.message}",
                    hint="Name the folder of other data: --data NAME=FOLDER",
                ) from error
            continue
        plans = (found, *(stage for _, stage in found.stages))
        own = sum(one.seconds for one in plans)
        lines.append(
            f"{job.label}: {found.n_images:,} images, {found.trainings} × "
            f"{job.recipe.train.epochs} epochs, about {duration(own)}"
        )
        seconds += own
        n_bytes += sum(one.run_bytes for one in plans)
        checkpoint_bytes = max(checkpoint_bytes, *(one.checkpoint_bytes for one in plans))
    lines.append(
        f"time       about {duration(seconds)} at most; evaluation and reports not included"
    )
    lines.append(
        f"disk       about {mebibytes(n_bytes)}, and {mebibytes(checkpoint_bytes)} more during "
        "training"
    )
    return lines


def _size(quick: bool, reduced: bool) -> Size:
    if quick and reduced:
        raise UsageError("--quick and --reduced cannot be combined", hint="Leave one of them out")
    return "quick" if quick else "reduced" if reduced else "full"


def _choose_items(paper: Paper, only: str | Iterable[str]) -> list[Item]:
    known = [item.id for item in paper.items]
    wanted = [name.lower() for name in as_list(only)]
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"{paper.id} has no table or figure {name!r}", hint=close_matches(name, known)
            )
    return [item for item in paper.items if not wanted or item.id in wanted]


def _list_jobs(
    paper: Paper, items: Sequence[Item], data: Path | str | Iterable[Path | str], size: Size
) -> list[Job]:
    """Return the trainings that some items need; says what is missing, and what can be made."""
    wanted = [name for item in items for name in item.needs()]
    useful = list(dict.fromkeys(name for one in paper.data for name in one.names))
    places = find_places(data, useful)
    jobs = make_jobs(paper, wanted, places, size)
    missing = {name for job in jobs for name in job.missing}
    if not missing:
        return jobs
    lacking = {job.experiment.name for job in jobs if job.missing}
    possible = [item.id for item in items if not lacking & set(item.needs())]
    text = f"{paper.id} needs the data {listing(sorted(missing))}, which were not found in --data"
    if len(lacking) == len({job.experiment.name for job in jobs}):
        raise DataError(
            text,
            hint=f"Name the folder: --data {min(missing)}=FOLDER, or try the quick form: --quick",
        )
    _LOG.warning(f"{text}; without them, these can be rebuilt: {listing(possible) or 'none'}")
    return jobs


def find_places(
    data: Path | str | Iterable[Path | str], wanted: Collection[str]
) -> dict[str, Path]:
    """Return the folders of data sets, by registered name.

    Args:
        data: ``NAME=FOLDER`` each, or a folder below which data sets are recognised.
        wanted: The data sets that are of use: several folders with one of them are an error.

    Raises:
        DataError: A folder does not exist, or several hold the same data set.
        UnknownNameError: No data set of that name.
    """
    found: dict[str, list[Path]] = {}
    named: dict[str, Path] = {}
    for text in map(str, as_list(data)):
        name, equals, folder = text.partition("=")
        if equals and "/" not in name:
            DATASETS.get(name)
            named[name] = _check_folder(folder)
            if name not in wanted:
                _LOG.warning(f"{name} is not used: the paper needs {listing(wanted)}")
        else:
            for name, folders in find_datasets(_check_folder(text)).items():
                found.setdefault(name, []).extend(folders)
    for name in sorted(found.keys() & set(wanted) - named.keys()):
        folders = found[name]
        if len(folders) > 1:
            raise DataError(
                f"{len(folders)} folders contain {name}: {some([str(one) for one in folders], 3)}",
                hint=f"Choose one: --data {name}={shlex.quote(str(folders[0]))}",
            )
        _LOG.info(f"{name} was recognised in {folders[0]}")
        named[name] = folders[0]
    return named


def _check_folder(text: str) -> Path:
    """Return the absolute path of a folder; an empty text is none, not the current folder."""
    if not text.strip():
        raise UsageError("the name of a folder of data is empty", hint="Name one: --data FOLDER")
    folder = expand_path(text)
    if not folder.is_dir():
        why = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {why}", hint="Name another with --data")
    return folder.resolve()


def _open_folder(root: Path, paper: Paper, size: Size) -> ReproductionFolder:
    """Create the folder of a reproduction, or check that it is the same one that is resumed."""
    folder = ReproductionFolder(root)
    if folder.document.exists():
        before = read_document(folder.document, Reproduction)
        if (before.paper, before.size) != (paper.id, size):
            raise OutputError(
                f"{root} contains a {before.size} reproduction of {before.paper}, not a {size} one "
                f"of {paper.id}",
                hint="Choose another folder with -o",
            )
        check_writable(root)
    else:
        check_output(root)
        root.mkdir(parents=True, exist_ok=True)
    return folder


def _check_same(job: Job, run: RunFolder) -> None:
    """Refuse to mix trainings of another recipe into a reproduction, before any work is done."""
    if job.recipe is not None and run.recipe.exists():
        check_same_recipe(run, resolve_recipe(job.recipe))


@contextmanager
def _resumable(folder: ReproductionFolder) -> Iterator[None]:
    """Raise InterruptedRunError with the way to resume if the user stops the work."""
    try:
        yield
    except (KeyboardInterrupt, InterruptedRunError) as error:
        raise InterruptedRunError(
            f"interrupted; what was finished is kept in {folder.root}",
            hint=f"To resume, repeat the command with -o {shlex.quote(str(folder.root))}",
        ) from error


def _run(job: Job, folder: ReproductionFolder) -> Outcome:
    """Train a job, resume it, or take it if it is finished; a failure ends only this job."""
    root = folder.root
    if job.missing:
        return Outcome(job, root, f"needs {listing(job.missing)}, which was not found")
    try:
        _train(job, RunFolder(root / job.folder), root)
    except (InterruptedRunError, OutputError):
        raise
    except EosinError as error:
        # Its hint may name options of a training, which a reproduction does not have.
        _LOG.warning(f"{job.label} failed: {error.message}")
        return Outcome(job, root, str(error.message))
    return Outcome(job, root)


def _train(job: Job, run: RunFolder, root: Path) -> None:
    if job.recipe is None:
        if not run.metrics.exists():
            parts = [root / name / job.protocol for name in job.experiment.members]
            ensemble(parts, output=run.root)
        return
    if run.metrics.exists():
        _LOG.info("already done")
        return
    if run.recipe.exists():
        train(job.recipe, resume=run.root, allow_skipped=True)
    else:
        train(job.recipe, output=run.root, allow_skipped=True)
