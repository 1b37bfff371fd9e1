"""Cache of finished stages: an equal stage is trained once, whichever run needs it first.

Each is a folder of the user's cache, named by a fingerprint of the recipe, the images and their
split, the initial weights, and the packages that compute. The cache can always be rebuilt: nothing
fails because it is full, damaged or absent.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eosin.artifacts.integrity import check_run_files, list_run_files, verify_files
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.stain import StainReference
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError, OutputError
from eosin.core.files import sha256_file, write_text
from eosin.core.places import cache_folder
from eosin.experiment.environment import package_versions, version_of
from eosin.experiment.prepare import Prepared
from eosin.experiment.split import Division
from eosin.recipe import Recipe, recipe_to_toml

#: Recipe keys that change no weight: names, image paths, output options.
_UNSEEN: Any = {
    "name": True,
    "description": True,
    "data": {"root", "manifest", "dataset", "cache"},
    "stain": {"reference"},
    "transfer": {"source"},
    "train": {"threads", "loggers", "checkpoint_minutes"},
}
#: Prefix of folders that are being copied.
_UNFINISHED = ".copying-"
#: The report is rewritten, with the names of the run that it then belongs to.
_LEFT_OUT = shutil.ignore_patterns("report.html", "logs", ".*.tmp*")


def fingerprint_stage(
    recipe: Recipe, prepared: Prepared, division: Division, stain: StainReference | None = None
) -> str:
    """Return a stage's fingerprint; equal fingerprints mean equal weights.

    Args:
        recipe: The stage by itself, with its initial weights.
        prepared: Its images.
        division: Their split.
        stain: Stain reference that the initial weights were trained under.
    """
    source = Path(recipe.transfer.source)
    reference = recipe.stain.file
    table = division.samples.frame[["path", "label", "group", "split"]]
    shown = {
        "recipe": recipe.model_dump(mode="json", exclude=_UNSEEN),
        "images": prepared.fingerprint,
        "split": hashlib.sha256(table.to_csv(index=False).encode()).hexdigest(),
        "source": sha256_file(source) if source.is_file() else recipe.transfer.source,
        "stain": sha256_file(Path(reference)) if reference else _numbers_of(stain),
        "packages": {"eosin": version_of("eosin"), **package_versions()},
    }
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def _numbers_of(stain: StainReference | None) -> dict[str, Any] | None:
    return None if stain is None else stain.model_dump(mode="json")


def take_stage(fingerprint: str, place: RunFolder, recipe: Recipe) -> bool:
    """Copy an equal stage from the cache into a run.

    Returns:
        True if there was one.
    """
    kept = RunFolder(stages_folder() / fingerprint)
    if not kept.metrics.exists():
        return False
    folder = place.root.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{_UNFINISHED}*"):  # of a run that was killed here
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as temporary:
            copy = RunFolder(Path(shutil.copytree(kept.root, Path(temporary) / "stage")))
            model = ModelFolder(copy.model)
            verify_files(model, read_document(model.info, ModelInfo))
            check_run_files(copy)
            write_text(copy.recipe, recipe_to_toml(recipe))
            list_run_files(copy)
            copy.root.rename(place.root)
    except ArtifactError:
        # Damaged: a newly trained one replaces it.
        shutil.rmtree(kept.root, ignore_errors=True)
        return False
    except (OSError, OutputError):
        # Another process clears the cache, or the disk is full, which the training will report.
        return False
    return True


def keep_stage(fingerprint: str, place: RunFolder) -> None:
    """Copy a finished stage into the cache; failures are ignored."""
    folder = stages_folder()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as temporary:
            copy = shutil.copytree(place.root, Path(temporary) / "stage", ignore=_LEFT_OUT)
            # Fails if another process was faster: its copy is as good.
            copy.rename(folder / fingerprint)


def stages_folder() -> Path:
    """Return the cache folder of finished stages."""
    return cache_folder() / "stages"


@dataclass(frozen=True)
class Kept:
    """A finished stage in the cache."""

    folder: Path
    n_bytes: int


def list_stages() -> list[Kept]:
    """List the finished stages, and incomplete copies of killed processes."""
    folder = stages_folder()
    places = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        Kept(place, sum(path.stat().st_size for path in place.rglob("*") if path.is_file()))
        for place in places
    ]


def clear_stages() -> list[Kept]:
    """Remove all stages; return what was removed."""
    found = list_stages()
    shutil.rmtree(stages_folder(), ignore_errors=True)
    return found
