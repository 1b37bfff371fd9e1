"""SHA-256 checks of files before they are read.

Checksums of a model folder are in ``model.json``; those of a finished run, except its model,
figures and pages, in ``environment.json``.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.metrics import SplitMetrics, metrics_bytes
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.errors import ArtifactError
from eosin.core.files import (
    check_file,
    read_file,
    read_json,
    sha256_file,
    write_bytes,
    write_json,
    write_text,
)

_LOG = logging.getLogger(__name__)
_KEY = "files"
#: An ensemble of 25 networks of VGG-16's size has 13 GiB.
_MAX_BYTES = 16 << 30
#: Fewest digits of a SHA-256 that a message shows.
_DIGITS = 12
_RESTORE = "Restore the file as the run wrote it"


def write_model(folder: ModelFolder, info: ModelInfo) -> None:
    """Write ``model.json`` with the SHA-256 of every file beside it, all of which must exist."""
    write_document(folder.info, info.model_copy(update={_KEY: _hash_files(folder)}))


def _hash_files(folder: RunFolder | ModelFolder) -> dict[str, str]:
    """Return the SHA-256 of each file that is listed of a folder, by its path inside."""
    listed = (path for path in folder.listed if path.exists())
    return {path.relative_to(folder.root).as_posix(): sha256_file(path) for path in listed}


def verify_files(folder: ModelFolder, info: ModelInfo) -> None:
    """Verify the files of a model folder against the checksums in its ``model.json``.

    Logs a warning for a model of an older version, which lists its weights alone, and for a changed
    or missing card: cards are for people, nothing is computed from them.

    Raises:
        ArtifactError: A file other than a card is missing or differs, or a file that takes part in
            computation is not listed.
    """
    listed = info.files
    if listed is None:
        _LOG.warning(
            "%s was written by an older Eosin and lists no checksums, so the files beside it are "
            "not verified; retraining adds them",
            folder.info,
        )
        has_weights = folder.weights.exists()
        listed = {folder.weights.name: info.weights_sha256} if has_weights else {}
    else:
        _check_unlisted(folder, listed)
    cards = {folder.card.name, folder.card_text.name}
    for name, expected in listed.items():
        if name not in cards:
            _verify(folder, name, expected)
    _check_cards(folder, {name: listed[name] for name in sorted(cards & listed.keys())})


def _check_cards(folder: ModelFolder, listed: Mapping[str, str]) -> None:
    """Log one warning if cards are missing, changed or unreadable."""
    missing = [name for name in listed if not (folder.root / name).exists()]
    changed = [
        name for name in listed if name not in missing and not _is_same(folder.root / name, listed)
    ]
    states = [
        f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} {state}"
        for names, state in ((missing, "missing"), (changed, "changed"))
        if names
    ]
    if states:
        _LOG.warning(
            "%s: %s since the model was saved; the model itself is unchanged. %s",
            folder.root,
            ", ".join(states),
            _card_hint(folder),
        )


def _is_same(path: Path, listed: Mapping[str, str]) -> bool:
    try:
        return _sha256(path) == listed[path.name]
    except OSError:
        return False


def _check_unlisted(folder: ModelFolder, listed: Mapping[str, str]) -> None:
    """Check that all files that take part in computation are listed."""
    for path in (folder.onnx, folder.int8, folder.weights, folder.profile):
        if path.exists() and path.name not in listed:
            raise ArtifactError(
                f"{path} does not belong to this model: {folder.info.name} does not list it",
                hint=f"Remove it, or {_copy_again()}",
            )


def _verify(folder: ModelFolder, name: str, expected: str) -> None:
    path = folder.root / name
    if Path(name).name != name:
        raise ArtifactError(f"{folder.info} lists {name!r}, which is not a file beside it")
    try:
        found = _sha256(path)
    except FileNotFoundError:
        raise ArtifactError(
            f"{path} is missing: {folder.info.name} lists it", hint=_copy_again(start="Copy")
        ) from None
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read: {error.strerror}", hint=_copy_again(start="Copy")
        ) from error
    if found != expected:
        most = max(len(found), len(expected))
        n = next(n for n in range(_DIGITS, most + 1) if found[:n] != expected[:n])
        raise ArtifactError(
            f"{path} is not the file that the model was saved with, or {folder.info.name} was "
            f"edited: its SHA-256 is {_start(found, n)}, {folder.info.name} lists "
            f"{_start(expected, n)}",
            hint=_copy_again(start="Copy"),
        )


def _start(digest: str, n: int) -> str:
    """Return the first ``n`` digits, which tell digests apart."""
    return f"{digest[:n]}…" if len(digest) > n else digest or "none"


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file; raises ``OSError``, also if it is too large for a model."""
    check_file(path)
    if path.stat().st_size > _MAX_BYTES:
        shown = f"it has more than {_MAX_BYTES >> 30} GiB"
        raise OSError(errno.EFBIG, shown, str(path))
    return sha256_file(path)


def _card_hint(folder: ModelFolder) -> str:
    """Return the hint for a card: remade inside a run, copied elsewhere."""
    run = RunFolder(folder.root.parent)
    if run.model == folder.root and run.metrics.exists():
        return f"Write the card again: eosin report {shlex.quote(str(run.root))}"
    return "Do not trust the card, or copy it again from where the model was made"


def _copy_again(start: str = "copy") -> str:
    return f"{start} the whole model folder again from its original"


@contextmanager
def replacing(folder: ModelFolder, *paths: Path) -> Iterator[None]:
    """Replace files of a finished model folder and update ``model.json`` at the end.

    Meanwhile ``model.json`` does not list them: a killed process leaves a model that opens.
    A model of an older version, without a list, gets none.
    """
    _list_files(folder, {path.name: None for path in paths})
    yield
    _list_files(folder, {path.name: sha256_file(path) for path in paths})


def replace_texts(folder: ModelFolder, texts: Mapping[Path, str]) -> None:
    """Write texts into a model folder, as far as it has others; ``model.json`` lists them anew."""
    listed = read_json(folder.info).get(_KEY) if folder.info.exists() else None
    changed = {
        path: text
        for path, text in texts.items()
        if not path.exists()
        or read_file(path) != text.encode()
        or (listed is not None and path.name not in listed)
    }
    with replacing(folder, *changed) if listed is not None and changed else nullcontext():
        for path, text in changed.items():
            write_text(path, text)


def list_again(folder: ModelFolder) -> None:
    """Update the checksums of a rewritten copy of a model folder, for files that were listed."""
    listed = read_json(folder.info).get(_KEY) or {}
    paths = {name: folder.root / name for name in listed}
    _list_files(
        folder,
        {name: sha256_file(path) if path.exists() else None for name, path in paths.items()},
    )


def _list_files(folder: ModelFolder, changes: Mapping[str, str | None]) -> None:
    """Change entries of a ``model.json`` that lists files; ``None`` removes one."""
    # Plain values, so that keys of a newer version are kept.
    values = read_json(folder.info)
    if values.get(_KEY) is None:
        return
    listed = {**values[_KEY], **changes}
    kept = {name: digest for name, digest in listed.items() if digest is not None}
    if kept != values[_KEY]:
        try:
            write_json(folder.info, {**values, _KEY: kept})
        except ValueError as error:  # in a key that no version of ours writes
            raise ArtifactError(f"{folder.info} contains a number that is not finite") from error


def list_run_files(run: RunFolder) -> None:
    """Write the SHA-256 of a finished run's files to ``environment.json``."""
    environment = read_document(run.environment, Environment)
    write_document(run.environment, environment.model_copy(update={_KEY: _hash_files(run)}))


def write_finished(
    run: RunFolder, environment: Environment, splits: dict[str, SplitMetrics]
) -> None:
    """Write ``environment.json`` with all SHA-256, then ``metrics.json``, which ends the run."""
    metrics = metrics_bytes(splits)
    files = {**_hash_files(run), run.metrics.name: hashlib.sha256(metrics).hexdigest()}
    write_document(run.environment, environment.model_copy(update={_KEY: files}))
    write_bytes(run.metrics, metrics)


def check_run_files(run: RunFolder, paths: Iterable[Path] | None = None) -> None:
    """Verify files of a run, by default all, against the checksums in ``environment.json``.

    A missing file is no error here: its reader reports it. Nothing is checked in an unfinished run
    or in one of an older version.

    Raises:
        ArtifactError: One differs, or cannot be read.
    """
    if not run.environment.exists():
        return
    listed = read_document(run.environment, Environment).files or {}
    places = {path.relative_to(run.root).as_posix(): path for path in paths or run.listed}
    for name, path in places.items():
        if name in listed and path.exists() and _digest(path) != listed[name]:
            raise damaged(path, f"its SHA-256 is not the one that {run.environment.name} lists")


@contextmanager
def hinting() -> Iterator[None]:
    """Add a hint to the refusal of a file of a run folder that has none."""
    try:
        yield
    except ArtifactError as error:
        if error.hint is not None:
            raise
        raise ArtifactError(error.message, hint=_RESTORE) from error


def damaged(path: Path, reason: str) -> ArtifactError:
    """Return the error for a damaged file of a run folder."""
    shown = reason.strip().partition("\n")[0].rstrip(".")
    return ArtifactError(f"{path} is damaged or was changed: {shown}", hint=_RESTORE)


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise damaged(path, str(error.strerror or error)) from error
