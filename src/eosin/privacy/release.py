"""Pseudonymised copy of a run folder, for use outside the organisation."""

from __future__ import annotations

import io
import logging
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tomli_w
from PIL import Image

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.integrity import (
    check_run_files,
    list_again,
    list_run_files,
    verify_files,
)
from eosin.artifacts.layout import AS_PUBLISHED, STRICT, ModelFolder, RunFolder
from eosin.artifacts.manifest import read_written, write_table
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.pseudonyms import Pseudonyms
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError, OutputError, UsageError
from eosin.core.files import (
    atomic_path,
    check_output,
    explain_os_errors,
    read_file,
    read_json,
    write_json,
    write_text,
)
from eosin.core.text import some
from eosin.privacy.identifiers import Identifiers, find_remaining_identifiers
from eosin.privacy.pseudonymise import hide_json, hide_table, knows_images
from eosin.reporting.thumbnails import MOST_PX

_LOG = logging.getLogger(__name__)

_TABLES = (".csv", ".parquet")
_PICTURES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
#: Folders that are not copied: of no use elsewhere, and they hold identifiers.
_STAYS = ("checkpoints", "logs")
#: The ONNX exporter records the paths of the network's source files.
_SOURCE = re.compile(rb'(?<=File ")[^"\x00\n]+(?=", line )')


def release(
    run: Path,
    output: Path,
    pseudonyms: Pseudonyms,
    write_pages: Callable[[Path], Path],
) -> Path:
    """Write a pseudonymised copy of a run folder atomically, and return its page.

    ``run`` may also be an output folder of ``evaluate``, or the folder of two protocols;
    ``write_pages`` writes the pages and cards of a run folder.

    Raises:
        ArtifactError: ``run`` is no run folder.
        OutputError: The copy cannot be written, or would still hold an identifier.
    """
    _check(run, output)
    known = know(run, pseudonyms)
    with explain_os_errors("write into", output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-")
    with temporary as folder:
        copy = Path(folder) / output.name
        left_out = _copy(run, copy, known)
        page = _write_pages(run, copy, write_pages).relative_to(copy)
        for name, found in find_remaining_identifiers(copy, known):
            raise OutputError(
                f"the copy was not kept: its {name} would still hold {found!r}",
                hint="Rename what is called so (a run, a class, a column), or report this",
            )
        with explain_os_errors("write", output):
            if output.is_dir():
                output.rmdir()
            copy.replace(output)
    if left_out:
        named = some(left_out, 3, counted=True)
        _LOG.info(f"left out, being of no kind that can be rewritten: {named}")
    return output / page


def _check(run: Path, output: Path) -> None:
    if not any(RunFolder(place).metrics.exists() for place in (run, run / STRICT)):
        raise ArtifactError(
            f"{run} is no finished run folder: it has no {RunFolder(run).metrics.name}",
            hint="Name a folder made by train or evaluate",
        )
    if output.resolve().is_relative_to(run.resolve()):
        raise UsageError(f"{output} is inside of {run}", hint="Choose a folder beside it with -o")
    check_output(output)


def know(run: Path, pseudonyms: Pseudonyms) -> Identifiers:
    """Return the identifiers in the tables and audits of a run folder."""
    known = Identifiers(pseudonyms)
    tables = [path for path in _files(run) if path.suffix in _TABLES]
    names = ("manifest", "predictions")
    # Manifests first, as they name patients; lists of skipped files do not.
    tables.sort(key=lambda path: names.index(path.stem) if path.stem in names else len(names))
    for path in tables:
        frame = read_written(path)
        if knows_images(frame):
            known.learn(frame, path.parent)
    known.learn_groups(_joined_groups(run))
    return known


def _joined_groups(run: Path) -> Iterator[str]:
    """Yield the names of groups that a repair joined: the tables hold only the new names."""
    for path in _files(run):
        if path.name == RunFolder(run).audit.name:
            for one in read_document(path, AuditReport).repair:
                yield from one.groups


def _files(run: Path) -> Iterator[Path]:
    """Yield the files to copy, without those that are written anew."""
    for path in sorted(run.rglob("*")):
        parts = path.relative_to(run).parts
        is_hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not is_hidden and not {*parts[:-1]} & {*_STAYS, "figures"}:
            yield path


def _copy(run: Path, copy: Path, known: Identifiers) -> list[str]:
    """Copy every file of a known kind; return the names of the others."""
    left_out, models, runs = [], [], []
    copy.mkdir()
    for path in _files(run):
        name = path.relative_to(run)
        target = copy.joinpath(*map(known.name, name.parts))
        model, folder = ModelFolder(path.parent), RunFolder(path.parent)
        if path in {folder.report, model.card, model.card_text}:
            continue
        if path in {model.weights, model.onnx}:
            _copy_weights(path, target)
        elif not _rewrite(path, target, known):
            left_out.append(name.as_posix())
        if path == model.info:
            # Rewritten files get new checksums, but only if the originals match their own.
            verify_files(model, read_document(path, ModelInfo))
            models.append(ModelFolder(target.parent))
        if path == folder.environment and read_document(path, Environment).files is not None:
            check_run_files(folder)
            runs.append(RunFolder(target.parent))
    for place in models:
        list_again(place)
    for run_copy in runs:
        list_run_files(run_copy)
    return left_out


def _rewrite(path: Path, target: Path, known: Identifiers) -> bool:
    """Write a pseudonymised copy of a file; return False if its kind is unknown."""
    if path.suffix in _TABLES:
        write_table(target, hide_table(read_written(path), known, path.parent))
    elif path.suffix == ".json":
        write_json(target, hide_json(read_json(path), known, path.parent))
    elif path.suffix == ".toml":
        write_text(target, tomli_w.dumps(hide_json(_read_toml(path), known, path.parent)))
    elif path.suffix in _PICTURES and path.parent.name == RunFolder(path).samples.name:
        return _copy_thumbnail(path, target)
    else:
        return False
    return True


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_file(path).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read as TOML: {error}") from error


def _copy_thumbnail(path: Path, target: Path) -> bool:
    """Copy a thumbnail's pixels without its metadata."""
    kind = _PICTURES[path.suffix]
    try:
        image = Image.open(io.BytesIO(read_file(path)), formats=[kind])
        if max(image.size) > MOST_PX:
            return False
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    image.info.clear()
    with atomic_path(target) as temporary:
        image.save(temporary, format=kind, **({"quality": "keep"} if kind == "JPEG" else {}))
    return True


def _copy_weights(path: Path, target: Path) -> None:
    """Copy weights; paths of source files are overwritten in place."""
    with atomic_path(target) as temporary:
        if path.suffix == ".onnx":
            data = read_file(path)
            temporary.write_bytes(_SOURCE.sub(lambda match: b"-" * len(match.group()), data))
        else:
            shutil.copyfile(path, temporary)


def _write_pages(run: Path, copy: Path, write_pages: Callable[[Path], Path]) -> Path:
    """Write the pages that the run has, those of its folds and stages first."""
    reports = [path.parent for path in _files(run) if path.name == RunFolder(run).report.name]
    # The page of two protocols writes theirs as well.
    joined = {place / name for place in reports for name in (STRICT, AS_PUBLISHED)}
    places = {place.relative_to(run) for place in reports if place not in joined}
    for place in sorted(places - {Path()}, reverse=True):
        write_pages(copy / place)
    return write_pages(copy)
