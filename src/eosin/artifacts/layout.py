"""File names of run folders, model folders and other outputs."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Written into every JSON; readers reject another major version.
FORMAT_VERSION = "1.0"
#: Split name of the held-out parts of all folds together.
OUT_OF_FOLD = "oof"
#: Split name of a test subset beside the folds, as each fold's network predicts it.
TEST_BY_FOLD = "test_by_fold"


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder."""

    root: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe, runnable again."""
        return self.root / "recipe.toml"

    @property
    def environment(self) -> Path:
        """Versions, device, git, seed, data root and fingerprint."""
        return self.root / "environment.json"

    @property
    def manifest(self) -> Path:
        """The samples with their split."""
        return self.root / "manifest.csv"

    @property
    def table(self) -> Path:
        """The pandas table that a recipe had in place of a manifest's file."""
        return self.root / "table.csv"

    @property
    def audit(self) -> Path:
        """Leak audit of the split."""
        return self.root / "audit.json"

    @property
    def split(self) -> Path:
        """Requested and actual sizes of the split."""
        return self.root / "split.json"

    @property
    def stain(self) -> Path:
        """Stain reference, and the images that could not be normalised."""
        return self.root / "stain.json"

    @property
    def balance(self) -> Path:
        """Class balance of a training epoch."""
        return self.root / "balance.json"

    @property
    def history(self) -> Path:
        """Training history, one row an evaluation."""
        return self.root / "history.csv"

    @property
    def layers(self) -> Path:
        """Table of the network's layers."""
        return self.root / "layers.json"

    @property
    def model(self) -> Path:
        """The model folder (see :class:`ModelFolder`)."""
        return self.root / "model"

    @property
    def predictions(self) -> Path:
        """Calibrated probabilities of every evaluated image."""
        return self.root / "predictions.csv"

    @property
    def logits(self) -> Path:
        """Raw logits in the row order of the predictions."""
        return self.root / "logits.parquet"

    @property
    def metrics(self) -> Path:
        """Metrics with intervals, by subset."""
        return self.root / "metrics.json"

    @property
    def skipped(self) -> Path:
        """Files that could not be read, with reasons."""
        return self.root / "skipped.csv"

    @property
    def samples(self) -> Path:
        """Thumbnails for the report."""
        return self.root / "samples"

    @property
    def samples_index(self) -> Path:
        """Index of the thumbnails."""
        return self.samples / "index.json"

    @property
    def listed(self) -> tuple[Path, ...]:
        """The files whose SHA-256 :attr:`environment` lists, as far as they exist."""
        pictures = sorted(self.samples.glob("*.*")) if self.samples.is_dir() else []
        return (
            *(self.recipe, self.manifest, self.split, self.audit, self.balance, self.stain),
            *(self.history, self.layers, self.predictions, self.logits, self.metrics, self.skipped),
            *(path for path in pictures if path.is_file() and not path.name.startswith(".")),
        )

    @property
    def errors(self) -> Path:
        """The misclassified images of the evaluated split, the most confident errors first."""
        return self.root / "errors.csv"

    @property
    def drift(self) -> Path:
        """Drift of external images from the training images."""
        return self.root / "drift.json"

    @property
    def robustness(self) -> Path:
        """Metrics under changes of the images."""
        return self.root / "robustness.json"

    @property
    def report(self) -> Path:
        """The self-contained HTML page."""
        return self.root / "report.html"

    @property
    def resume_command(self) -> str:
        """The command that resumes the run, quoted for a shell."""
        return f"eosin train --resume {shlex.quote(str(self.root))}"

    @property
    def checkpoints(self) -> Path:
        """Folder of the files that ``--resume`` needs."""
        return self.root / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """The training state that ``--resume`` continues from."""
        return self.checkpoints / "last.ckpt"

    @property
    def soft_targets(self) -> Path:
        """The teachers' probabilities of the training images."""
        return self.checkpoints / "soft_targets.safetensors"

    @property
    def best_npz(self) -> Path:
        """Weights of the best evaluation, saved by the NumPy engine."""
        return self.checkpoints / "best.npz"

    def best_checkpoint(self, step: int) -> Path:
        """Return the path of the weights of the best evaluation, made after ``step`` steps."""
        return self.checkpoints / f"best-{step}.safetensors"

    def remove_checkpoints(self) -> None:
        """Remove what only resuming needs: training state, best weights, soft targets."""
        best = self.checkpoints.glob("best-*.safetensors")
        for path in [self.last_checkpoint, self.soft_targets, *best]:
            with suppress(OSError):  # such as FileNotFoundError: they only take space
                path.unlink()

    @property
    def inputs(self) -> Path:
        """Path, data columns and content hash of each image at the start of the run."""
        return self.checkpoints / "inputs.parquet"

    @property
    def logs(self) -> Path:
        """Logs of ``train.loggers``, a folder each."""
        return self.root / "logs"

    @property
    def stages(self) -> Path:
        """Run folders of earlier transfer stages."""
        return self.root / "stages"

    def stage(self, number: int, name: str) -> RunFolder:
        """Return the run folder of a transfer stage, counted from 1."""
        return RunFolder(self.stages / f"{number}-{name}")

    def stage_runs(self) -> list[RunFolder]:
        """Return the run folders of the stages that are there, the first one first."""
        return _numbered(self.stages, r"(\d+)-.+")

    @property
    def folds(self) -> Path:
        """Run folders of the folds."""
        return self.root / "folds"

    def fold(self, repeat: int, fold: int) -> RunFolder:
        """Return the run folder of a fold of a repeat (both counted from 0)."""
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
    """Paths inside a model folder."""

    root: Path

    @property
    def weights(self) -> Path:
        """Weights and buffers."""
        return self.root / "model.safetensors"

    @property
    def info(self) -> Path:
        """Description of the model for prediction."""
        return self.root / "model.json"

    @property
    def profile(self) -> Path:
        """Reference profile of the training and calibration images."""
        return self.root / "profile.json"

    @property
    def card(self) -> Path:
        """The model card as a page."""
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
    def int8(self) -> Path:
        """Exported: the same network with 8-bit weights and activations."""
        return self.root / "model.int8.onnx"

    @property
    def standalone(self) -> Path:
        """Exported: ``images`` (N, height, width, 3) uint8 RGB → ``probabilities`` (N, K)."""
        return self.root / "classifier.onnx"

    @property
    def torchscript(self) -> Path:
        """Exported: RGB (N, 3, H, W) float32, 0 to 1 → logits (N, K), over the temperature."""
        return self.root / "torchscript_model.pt"

    @property
    def listed(self) -> tuple[Path, ...]:
        """The files whose SHA-256 :attr:`info` lists, as far as they exist."""
        networks = (self.weights, self.onnx, self.int8, self.standalone, self.torchscript)
        return (*networks, self.profile, self.card, self.card_text)


@dataclass(frozen=True)
class PredictionFiles:
    """Paths of the outputs of ``predict``: a table and files beside it."""

    table: Path

    @property
    def skipped(self) -> Path:
        """Files that could not be read, with reasons; absent if there are none."""
        return self.table.with_name(f"{self.table.stem}.skipped.csv")

    @property
    def record(self) -> Path:
        """Model, threshold, counts and time of the predictions."""
        ending = ".record.json" if self.table.suffix == ".json" else ".json"
        return self.table.with_name(f"{self.table.stem}{ending}")


@dataclass(frozen=True)
class ExplanationFolder:
    """Paths inside the output folder of ``explain``."""

    root: Path

    @property
    def table(self) -> Path:
        """Prediction, explained class and size of the evidence, one row an image."""
        return self.root / "explanations.csv"

    @property
    def record(self) -> Path:
        """Model, method, its settings, counts and time."""
        return self.root / "explanations.json"

    @property
    def page(self) -> Path:
        """The self-contained HTML page."""
        return self.root / "report.html"

    @property
    def skipped(self) -> Path:
        """Files that could not be read, with reasons; absent if there are none."""
        return self.root / "skipped.csv"

    def overlay(self, name: str) -> Path:
        """Return the path of an image with its evidence."""
        return self.root / "overlays" / f"{name}.png"

    def layers(self, name: str) -> Path:
        """Return the path of an image's feature maps, layer by layer."""
        return self.root / "feature_maps" / f"{name}.png"

    def numbers(self, name: str) -> Path:
        """Return the path of the evidence of an image as arrays."""
        return self.root / "maps" / f"{name}.npz"


#: Folders of the two protocols in the output of the demonstration and of ``reproduce``.
STRICT, AS_PUBLISHED = "strict", "as-published"


@dataclass(frozen=True)
class ComparisonFolder:
    """Paths inside the output folder of ``compare``."""

    root: Path

    @property
    def page(self) -> Path:
        """The self-contained HTML page."""
        return self.root / "comparison.html"

    @property
    def document(self) -> Path:
        """All values of the page."""
        return self.root / "comparison.json"

    @property
    def table(self) -> Path:
        """Metrics and costs, one row a run."""
        return self.root / "comparison.csv"

    @property
    def samples(self) -> Path:
        """Thumbnails of images on which the runs disagree."""
        return self.root / "samples"
