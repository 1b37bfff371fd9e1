"""What a page needs to know, read from a run folder through the artifacts' own readers.

Only ``metrics.json`` must be there: an evaluation on an outside manifest has no history and no
split, and an older run may lack samples. What is absent is ``None`` or empty here, and the page
leaves its section out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.integrity import check_run_files, damaged
from eosin.artifacts.layout import OUT_OF_FOLD, ModelFolder, RunFolder
from eosin.artifacts.manifest import read_manifest, read_written
from eosin.artifacts.metrics import SplitMetrics, read_metrics
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import PREFIX, read_history, read_predictions
from eosin.artifacts.profile import Drift
from eosin.artifacts.run import BalanceReport, Environment, SamplePicture, SamplesIndex, SplitReport
from eosin.artifacts.stain import StainRecord
from eosin.artifacts.versioned import D, read_document
from eosin.core.errors import ArtifactError, RecipeError
from eosin.core.files import read_file
from eosin.core.types import SPLITS
from eosin.data.external import EXTERNAL
from eosin.recipe import Recipe, read_recipe

#: The split that a page is about, the first that the run has.
JUDGED_FIRST = ("test", OUT_OF_FOLD, EXTERNAL)


@dataclass(frozen=True)
class Skipped:
    """A file that could not be read, with the reason."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold of a run with folds.

    Attributes:
        name: ``<repeat>-<fold>``, both counted from 0.
        metrics: Of the fold's judged split; ``None`` where the fold has none.
        history: Its learning history as a table; ``None`` where there is none.
        has_report: Whether the fold's own page exists.
    """

    name: str
    metrics: SplitMetrics | None
    history: Any
    has_report: bool


@dataclass(frozen=True, eq=False)
class Run:
    """Everything that a run's page is made from.

    Attributes:
        root: The run folder.
        name: The recipe's name, else the folder's.
        split: The split that the page is about.
        metrics: Measurements by split.
        recipe: The resolved recipe.
        recipe_text: The same as written, without the description of its author, which is of the
            recipe before it was changed on the command line.
        environment: Versions, device, data set facts.
        split_report: What the split wanted and got.
        balance: What an epoch of the training showed.
        stain: What stain was normalised to, and what came back unchanged.
        audit: What the leak audit found.
        model: What ``model.json`` says.
        manifest: The samples with their split, a pandas table.
        predictions: Predictions of the judged split, a pandas table.
        history: The learning history, a pandas table.
        pictures: The small pictures that are there.
        skipped: Files that could not be read.
        folds: The folds, in order.
        drift: How outside images differ from those of the training.
    """

    root: Path
    name: str
    split: str
    metrics: dict[str, SplitMetrics]
    recipe: Recipe | None
    recipe_text: str
    environment: Environment | None
    split_report: SplitReport | None
    balance: BalanceReport | None
    stain: StainRecord | None
    audit: AuditReport | None
    model: ModelInfo | None
    manifest: Any
    predictions: Any
    history: Any
    pictures: tuple[SamplePicture, ...]
    skipped: tuple[Skipped, ...]
    folds: tuple[Fold, ...]
    drift: Drift | None = None

    @property
    def folder(self) -> RunFolder:
        """The names of the files in the run folder."""
        return RunFolder(self.root)

    @property
    def judged(self) -> SplitMetrics:
        """The measurements that the page is about."""
        return self.metrics[self.split]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the network's outputs."""
        return tuple(self.judged.confusion.labels)

    @property
    def dataset(self) -> dict[str, Any]:
        """The facts that the data set declares."""
        return self.environment.dataset if self.environment else {}

    @property
    def simulated(self) -> bool:
        """Whether the images are simulated."""
        return bool(self.dataset.get("simulated")) or bool(self.model and self.model.simulated)

    def role(self, role: str) -> tuple[SamplePicture, ...]:
        """Return the pictures of one role."""
        return tuple(picture for picture in self.pictures if picture.role == role)


@dataclass(frozen=True)
class Pending:
    """Documents that a run is going to be finished with, not written yet.

    Attributes:
        metrics: Of ``metrics.json``.
        environment: Of ``environment.json``.
        model: Of ``model.json``.
    """

    metrics: dict[str, SplitMetrics]
    environment: Environment
    model: ModelInfo


def gather(root: Path, pending: Pending | None = None) -> Run:
    """Read a run folder.

    Args:
        root: The run folder.
        pending: What takes the place of its documents that are written last.

    Raises:
        ArtifactError: The folder is missing, holds no ``metrics.json``, or a file of it is
            foreign, damaged or of a newer format.
    """
    folder = RunFolder(Path(root))
    if pending is None:
        _check_run(folder)
    with hinting():
        if pending is None:
            check_run_files(folder)
        run = _gather(folder, pending)
        _check_counts(run)
    return run


@contextmanager
def hinting() -> Iterator[None]:
    """Add a hint to the refusal of a file of a run folder that has none."""
    try:
        yield
    except ArtifactError as error:
        if error.mend is not None:
            raise
        raise ArtifactError(error.message, mend="Restore the file as the run wrote it") from error


def read_run_recipe(folder: RunFolder) -> Recipe:
    """Read the recipe that a run keeps.

    Raises:
        ArtifactError: It is absent or damaged.
    """
    try:
        text = read_file(folder.recipe).decode("utf-8-sig")
        recipe = read_recipe(folder.recipe)
    except OSError as error:
        raise damaged(folder.recipe, str(error.strerror or error)) from error
    except (RecipeError, ValueError) as error:
        raise damaged(folder.recipe, getattr(error, "message", str(error))) from error
    # Every section is written out; this is the last that all versions have.
    if not text.endswith("\n") or "\n[evaluate]" not in text:
        raise damaged(folder.recipe, "it is cut off")
    return recipe


def _gather(folder: RunFolder, pending: Pending | None) -> Run:
    metrics = read_metrics(folder.metrics) if pending is None else pending.metrics
    if not metrics:
        raise damaged(folder.metrics, "it holds no split")
    split = next((name for name in JUDGED_FIRST if name in metrics), next(iter(metrics)))
    recipe = read_run_recipe(folder) if folder.recipe.exists() else None
    return Run(
        root=folder.root,
        name=recipe.name if recipe else folder.root.resolve().name,
        split=split,
        metrics=metrics,
        recipe=recipe,
        recipe_text=_recipe_text(folder.recipe) if recipe else "",
        environment=(
            pending.environment if pending else _optional(folder.environment, Environment)
        ),
        split_report=_optional(folder.split, SplitReport),
        stain=_optional(folder.stain, StainRecord),
        balance=_optional(folder.balance, BalanceReport),
        audit=_optional(folder.audit, AuditReport),
        model=pending.model if pending else _optional(ModelFolder(folder.model).info, ModelInfo),
        manifest=_manifest(folder.manifest),
        predictions=_predictions(folder.predictions, split, metrics[split].confusion.labels),
        history=_history(folder.history),
        pictures=_pictures(folder),
        skipped=_skipped(folder.skipped),
        folds=_folds(folder),
        drift=_optional(folder.drift, Drift),
    )


def _recipe_text(path: Path) -> str:
    lines = read_file(path).decode("utf-8-sig").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("description = "))


def _check_run(folder: RunFolder) -> None:
    if not folder.root.is_dir():
        raise ArtifactError(f"the run folder {folder.root} does not exist")
    if not folder.metrics.exists():
        finish = f"Finish the run: {folder.resume_command}"
        raise ArtifactError(
            f"{folder.root} is no finished run folder: it has no {folder.metrics.name}",
            mend=finish if folder.recipe.exists() else "Name a folder made by train or evaluate",
        )


def _optional(path: Path, kind: type[D]) -> D | None:
    return read_document(path, kind) if path.exists() else None


def _manifest(path: Path) -> Any:
    if not path.exists():
        return None
    samples = read_manifest(path, verbatim=True, allow_one_class=True)
    # An outside manifest may hold one class only, which is enough to judge it: the page then
    # takes its counts from the predictions.
    return samples.frame if len(samples.class_names) > 1 else None


def _predictions(path: Path, split: str, class_names: list[str]) -> Any:
    if not path.exists():
        return None
    frame = read_predictions(path)
    missing = [name for name in class_names if PREFIX + name not in frame]
    if missing:
        raise damaged(path, f"it lacks the column {PREFIX + missing[0]!r}")
    for column in ("patient", "group", "magnification"):
        if column not in frame:
            frame[column] = ""
    # Without a group the image stands for itself, as in the manifest.
    frame["group"] = frame["group"].where(frame["group"] != "", frame["path"])
    if "split" in frame:
        frame = frame[frame["split"] == split].reset_index(drop=True)
    return frame if len(frame) else None


def _history(path: Path) -> Any:
    if not path.exists():
        return None
    frame = read_history(path)
    return frame if len(frame) else None


def _pictures(folder: RunFolder) -> tuple[SamplePicture, ...]:
    index = _optional(folder.samples_index, SamplesIndex)
    if index is None:
        return ()
    for picture in index.pictures:
        # A name with a folder in it could reach outside the run.
        plain = Path(picture.file).name
        if plain in {"", ".."} or plain != picture.file or "\\" in plain:
            raise damaged(folder.samples_index, f"{picture.file!r} is no file beside it")
    return tuple(one for one in index.pictures if (folder.samples / one.file).exists())


def _skipped(path: Path) -> tuple[Skipped, ...]:
    if not path.exists():
        return ()
    frame = read_written(path)
    if not {"path", "reason"} <= set(frame):
        raise damaged(path, "it lacks the column 'path' or 'reason'")
    return tuple(map(Skipped, frame["path"], frame["reason"]))


def _folds(folder: RunFolder) -> tuple[Fold, ...]:
    return tuple(map(_fold, folder.fold_runs()))


def _fold(folder: RunFolder) -> Fold:
    check_run_files(folder, (folder.metrics, folder.history))
    metrics = read_metrics(folder.metrics) if folder.metrics.exists() else {}
    judged = next((metrics[name] for name in JUDGED_FIRST if name in metrics), None)
    return Fold(folder.root.name, judged, _history(folder.history), folder.report.exists())


def _check_counts(run: Run) -> None:
    """Compare the tables with the numbers of rows that other documents know.

    Raises:
        ArtifactError: One has another number, as a file has that was cut off between two rows.
    """
    judged, folder = run.judged, run.folder
    if run.predictions is not None and run.predictions["path"].nunique() != judged.n_images:
        found = run.predictions["path"].nunique()
        raise damaged(
            folder.predictions,
            f"it has {found:,} images of {run.split!r}, {folder.metrics.name} {judged.n_images:,}",
        )
    if run.manifest is None or run.split_report is None or "split" not in run.manifest:
        return
    counts = run.manifest["split"].value_counts()
    for name, part in run.split_report.parts.items():
        if name in SPLITS and counts.get(name, 0) != part.n_images:
            raise damaged(
                folder.manifest,
                f"it has {counts.get(name, 0):,} images of {name!r}, {folder.split.name} "
                f"{part.n_images:,}",
            )
