"""The one place that names every file of a run folder and of a model folder."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

#: Written into every JSON; readers refuse another major number.
FORMAT_VERSION = "1.0"
#: Split name of the held-out parts of all folds together.
OUT_OF_FOLD = "oof"


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder.

    Args:
        root: The run folder itself.
    """

    root: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe, re-runnable."""
        return self.root / "recipe.toml"

    @property
    def environment(self) -> Path:
        """Versions, device, git, seed, data root and fingerprint."""
        return self.root / "environment.json"

    @property
    def manifest(self) -> Path:
        """The samples with their split, as used."""
        return self.root / "manifest.csv"

    @property
    def audit(self) -> Path:
        """What the leak audit found."""
        return self.root / "audit.json"

    @property
    def split(self) -> Path:
        """What the split aimed at and what the groups allowed."""
        return self.root / "split.json"

    @property
    def stain(self) -> Path:
        """What stain was normalised to, and which images came back unchanged."""
        return self.root / "stain.json"

    @property
    def balance(self) -> Path:
        """What an epoch of the training shows of each class."""
        return self.root / "balance.json"

    @property
    def history(self) -> Path:
        """One row an evaluation step."""
        return self.root / "history.csv"

    @property
    def model(self) -> Path:
        """The model folder (see :class:`ModelFolder`)."""
        return self.root / "model"

    @property
    def predictions(self) -> Path:
        """Calibrated probabilities of every judged image."""
        return self.root / "predictions.csv"

    @property
    def logits(self) -> Path:
        """Raw logits in the row order of the predictions."""
        return self.root / "logits.parquet"

    @property
    def metrics(self) -> Path:
        """Metrics with intervals, a block a split."""
        return self.root / "metrics.json"

    @property
    def skipped(self) -> Path:
        """Files that could not be read, each with its reason."""
        return self.root / "skipped.csv"

    @property
    def samples(self) -> Path:
        """Small pictures that the report shows."""
        return self.root / "samples"

    @property
    def samples_index(self) -> Path:
        """What each small picture is."""
        return self.samples / "index.json"

    @property
    def listed(self) -> tuple[Path, ...]:
        """The files whose SHA-256 :attr:`environment` lists, where they are there."""
        pictures = sorted(self.samples.glob("*.*")) if self.samples.is_dir() else []
        return (
            *(self.recipe, self.manifest, self.split, self.audit, self.balance, self.stain),
            *(self.history, self.predictions, self.logits, self.metrics, self.skipped),
            *(path for path in pictures if path.is_file() and not path.name.startswith(".")),
        )

    @property
    def figures(self) -> Path:
        """The report's figures as PNG."""
        return self.root / "figures"

    @property
    def drift(self) -> Path:
        """How outside images differ from those that the model was trained on."""
        return self.root / "drift.json"

    @property
    def report(self) -> Path:
        """The self-contained HTML page."""
        return self.root / "report.html"

    @property
    def resume_command(self) -> str:
        """The command that resumes the run, quoted so that it can be typed as printed."""
        return f"eosin train --resume {shlex.quote(str(self.root))}"

    @property
    def checkpoints(self) -> Path:
        """What ``--resume`` needs."""
        return self.root / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """State that ``--resume`` goes on from."""
        return self.checkpoints / "last.ckpt"

    @property
    def best_npz(self) -> Path:
        """The weights of the best evaluation as the NumPy engine saves them."""
        return self.checkpoints / "best.npz"

    def best_checkpoint(self, step: int) -> Path:
        """Return where the weights of the best evaluation are, which was after ``step`` steps."""
        return self.checkpoints / f"best-{step}.safetensors"

    @property
    def inputs(self) -> Path:
        """Path, the columns that count and content of each image when the run was started."""
        return self.checkpoints / "inputs.parquet"

    @property
    def logs(self) -> Path:
        """What ``train.loggers`` write, a folder each."""
        return self.root / "logs"

    @property
    def stages(self) -> Path:
        """Folder of the run folders of trainings on other data, which came first."""
        return self.root / "stages"

    def stage(self, number: int, name: str) -> RunFolder:
        """Return the run folder of one stage, counted from 1."""
        return RunFolder(self.stages / f"{number}-{name}")

    def stage_runs(self) -> list[RunFolder]:
        """Return the run folders of the stages that are there, the first one first."""
        return _numbered(self.stages, r"(\d+)-.+")

    @property
    def folds(self) -> Path:
        """Folder of the folds' own run folders."""
        return self.root / "folds"

    def fold(self, repeat: int, fold: int) -> RunFolder:
        """Return the run folder of one fold of one repeat (both counted from 0)."""
        return RunFolder(self.folds / f"{repeat}-{fold}")

    def fold_runs(self) -> list[RunFolder]:
        """Return the run folders of the folds that are there, by repeat and fold as numbers."""
        return _numbered(self.folds, r"(\d+)-(\d+)")


def _numbered(folder: Path, pattern: str) -> list[RunFolder]:
    """Return the run folders whose names match, sorted by the numbers in their names."""
    paths = folder.iterdir() if folder.is_dir() else ()
    names = ((re.fullmatch(pattern, path.name), path) for path in paths if path.is_dir())
    found = [([int(n) for n in name.groups()], path.name, path) for name, path in names if name]
    return [RunFolder(path) for *_, path in sorted(found)]


@dataclass(frozen=True)
class ModelFolder:
    """Paths inside a model folder.

    Args:
        root: The model folder itself.
    """

    root: Path

    @property
    def weights(self) -> Path:
        """Weights and buffers."""
        return self.root / "model.safetensors"

    @property
    def info(self) -> Path:
        """Everything that prediction must know about the model."""
        return self.root / "model.json"

    @property
    def profile(self) -> Path:
        """What the images looked like that the model was trained and calibrated on."""
        return self.root / "profile.json"

    @property
    def card(self) -> Path:
        """The model card as a page; :attr:`card_text` has the same as Markdown."""
        return self.root / "card.html"

    @property
    def card_text(self) -> Path:
        """The model card as Markdown."""
        return self.root / "card.md"

    @property
    def onnx(self) -> Path:
        """The network for ONNX Runtime: ``images`` (N, C, H, W) float32 → ``logits`` (N, K)."""
        return self.root / "model.onnx"

    @property
    def listed(self) -> tuple[Path, ...]:
        """The files whose SHA-256 :attr:`info` lists, where they are there."""
        return (self.weights, self.onnx, self.profile, self.card, self.card_text)


@dataclass(frozen=True)
class PredictionFiles:
    """Paths of what ``predict`` writes.

    Args:
        table: The table of predictions, ``NAME.csv`` or ``NAME.parquet``.
    """

    table: Path

    @property
    def skipped(self) -> Path:
        """Files that could not be read, each with its reason; absent where there is none."""
        return self.table.with_name(f"{self.table.stem}.skipped.csv")

    @property
    def record(self) -> Path:
        """Model, threshold, counts and time of the predictions."""
        return self.table.with_name(f"{self.table.stem}.json")


#: Where the demonstration and ``reproduce`` put the two protocols.
STRICT, AS_PUBLISHED = "strict", "as-published"


@dataclass(frozen=True)
class ComparisonFolder:
    """Paths inside the folder that ``compare`` makes.

    Args:
        root: The folder itself.
    """

    root: Path

    @property
    def page(self) -> Path:
        """The self-contained HTML page."""
        return self.root / "comparison.html"

    @property
    def document(self) -> Path:
        """Every figure of the page."""
        return self.root / "comparison.json"

    @property
    def table(self) -> Path:
        """A row a run: metrics and costs."""
        return self.root / "comparison.csv"
