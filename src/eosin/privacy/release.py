"""Pseudonymised copy of a run folder, for use outside the organisation."""

from __future__ import annotations

import io
import logging
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.integrity import check_run_files, list_again, list_run_files, verify_files
from eosin.artifacts.layers import LayerTable
from eosin.artifacts.layout import AS_PUBLISHED, STRICT, ModelFolder, RunFolder
from eosin.artifacts.manifest import read_written, write_table
from eosin.artifacts.metrics import read_metrics, write_metrics
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import HISTORY_COLUMNS
from eosin.artifacts.profile import Drift, Profile
from eosin.artifacts.pseudonyms import Pseudonyms
from eosin.artifacts.robustness import Robustness
from eosin.artifacts.run import BalanceReport, Environment, SamplesIndex, SplitReport
from eosin.artifacts.stain import StainRecord
from eosin.artifacts.versioned import VersionedDocument, read_document, write_document
from eosin.core.errors import ArtifactError, OutputError, UsageError
from eosin.core.files import atomic_path, check_output, explain_os_errors, read_file, write_text
from eosin.core.text import some
from eosin.privacy.identifiers import Identifiers, find_remaining_identifiers
from eosin.privacy.pseudonymise import hide_document, hide_table
from eosin.recipe.reading import recipe_to_toml
from eosin.runs.finished import read_run_recipe

_LOG = logging.getLogger(__name__)

#: Tables of images, those that name patients first.
_TABLES = ("manifest.csv", "predictions.csv", "logits.parquet", "skipped.csv")
_DOCUMENTS: dict[str, type[VersionedDocument]] = {
    **{"environment.json": Environment, "split.json": SplitReport, "audit.json": AuditReport},
    **{"stain.json": StainRecord, "balance.json": BalanceReport, "drift.json": Drift},
    **{"index.json": SamplesIndex, "model.json": ModelInfo, "profile.json": Profile},
    **{"layers.json": LayerTable, "robustness.json": Robustness},
}
_PICTURES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
#: Made again from the copy, as are the folders of figures and tables.
_PAGES = ("report.html", "card.html", "card.md", "errors.csv")
#: Folders that are not copied.
_STAYS = {"checkpoints", "logs", "figures", "tables"}
#: The ONNX exporter records the paths of the network's source files: they are crossed out.
_SOURCE = re.compile(rb'(?<=File ")[^"\x00\n]+(?=", line )')


def release(
    run: Path, output: Path, pseudonyms: Pseudonyms, write_pages: Callable[[Path], Path]
) -> Path:
    """Write a pseudonymised copy of a run folder atomically, and return its page.

    ``run`` may also be an output folder of ``evaluate``, or the folder of two protocols;
    ``write_pages`` writes the pages and cards of a run folder.

    Raises:
        ArtifactError: ``run`` is no run folder.
        OutputError: The copy cannot be written, or would still contain an identifier.
    """
    _check(run, output)
    files = list_files(run)
    known = know(files, pseudonyms)
    with explain_os_errors("write into", output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-")
    with temporary as folder:
        copy = Path(folder) / output.name
        left_out = _copy(run, copy, files, known)
        places = {path.parent.relative_to(run) for path in files if path.name == "report.html"}
        for place in sorted(places - {Path()}, reverse=True):
            if place.name not in {STRICT, AS_PUBLISHED}:  # the page of both protocols writes them
                write_pages(copy / place)
        page = write_pages(copy).relative_to(copy)
        for name, found in find_remaining_identifiers(copy, known):
            raise OutputError(
                f"the copy was not kept: its {name} would still contain {found!r}",
                hint="Rename what is called so (a run, a class, a column), or report this",
            )
        with explain_os_errors("write", output):
            if output.is_dir():
                output.rmdir()
            copy.replace(output)
    if left_out:
        named = some(left_out, 3, counted=True)
        _LOG.info(f"not copied, because these files cannot be pseudonymised: {named}")
    return output / page


def _check(run: Path, output: Path) -> None:
    if not any(RunFolder(place).metrics.exists() for place in (run, run / STRICT)):
        raise ArtifactError(
            f"{run} is not a finished run folder: it has no {RunFolder(run).metrics.name}",
            hint="Name a folder created by train or evaluate",
        )
    if output.resolve().is_relative_to(run.resolve()):
        raise UsageError(f"{output} is inside {run}", hint="Choose a folder beside it with -o")
    check_output(output)


def list_files(run: Path) -> list[Path]:
    """Return the files to copy or to make again."""
    found = [(path, path.relative_to(run).parts) for path in sorted(run.rglob("*"))]
    return [
        path
        for path, parts in found
        if path.is_file() and not any(part.startswith(".") or part in _STAYS for part in parts)
    ]


def know(files: list[Path], pseudonyms: Pseudonyms) -> Identifiers:
    """Return the identifiers in the tables and audits among the files of a run folder."""
    known = Identifiers(pseudonyms)
    for name in _TABLES:
        for path in (path for path in files if path.name == name):
            known.learn(read_written(path), path.parent)
    for path in (path for path in files if path.name == "audit.json"):
        # Groups that a repair joined: the tables hold only the new names.
        for joined in read_document(path, AuditReport).repair:
            known.learn_groups(joined.groups)
    return known


def _copy(run: Path, copy: Path, files: list[Path], known: Identifiers) -> list[str]:
    """Copy every file of a known kind; return the names of the others."""
    models = [ModelFolder(path.parent) for path in files if path.name == "model.json"]
    runs = [RunFolder(path.parent) for path in files if path.name == "environment.json"]
    runs = [one for one in runs if read_document(one.environment, Environment).files is not None]
    for model in models:
        verify_files(model, read_document(model.info, ModelInfo))
    for one in runs:
        check_run_files(one)
    copy.mkdir()
    names = [path.relative_to(run) for path in files if path.name not in _PAGES]
    left_out = [name for name in names if not _rewrite(run / name, copy / name, known)]
    # Rewritten files get new checksums.
    for model in models:
        list_again(ModelFolder(copy / model.root.relative_to(run)))
    for one in runs:
        list_run_files(RunFolder(copy / one.root.relative_to(run)))
    return [name.as_posix() for name in left_out]


def _rewrite(path: Path, target: Path, known: Identifiers) -> bool:
    """Write a pseudonymised copy of a file; return False if its kind is unknown."""
    name, root = path.name, path.parent
    if name in _TABLES:
        write_table(target, hide_table(read_written(path), known, root))
    elif name == "history.csv":
        table = read_written(path)
        write_table(target, table[[column for column in table if column in HISTORY_COLUMNS]])
    elif name in _DOCUMENTS:
        write_document(target, hide_document(read_document(path, _DOCUMENTS[name]), known, root))
    elif name == "metrics.json":
        splits = read_metrics(path).items()
        write_metrics(target, {split: hide_document(one, known, root) for split, one in splits})
    elif name == "recipe.toml":
        recipe = hide_document(read_run_recipe(RunFolder(root)), known, kinds={})
        write_text(target, recipe_to_toml(recipe))
    elif name in {"model.safetensors", "model.onnx"}:
        with atomic_path(target) as temporary:
            shutil.copyfile(path, temporary)
            if name == "model.onnx":
                data = _SOURCE.sub(lambda match: b"-" * len(match.group()), read_file(path))
                temporary.write_bytes(data)
    elif path.suffix in _PICTURES and root.name == "samples":
        return _copy_thumbnail(path, target)
    else:
        return False
    return True


def _copy_thumbnail(path: Path, target: Path) -> bool:
    """Copy a thumbnail's pixels without its metadata; return False if it cannot be read."""
    kind = _PICTURES[path.suffix]
    try:
        image = Image.open(io.BytesIO(read_file(path)), formats=[kind])
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    image.info.clear()
    with atomic_path(target) as temporary:
        image.save(temporary, format=kind, **({"quality": "keep"} if kind == "JPEG" else {}))
    return True
