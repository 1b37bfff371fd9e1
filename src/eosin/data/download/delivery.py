"""Download of one file of a data set: fetched, checked against checksums, unpacked, recorded.

Each step leaves a state that the next call recognises: a part with its origin, a whole archive with
its record, an unpacked folder with its record. A killed process loses only time.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from eosin.core.errors import DownloadError
from eosin.core.files import explain_os_errors, hash_file, sha256_file
from eosin.core.progress import Advance, progress_bar
from eosin.data.download.archives import UnpackLimits, stem_of, unpack
from eosin.data.download.source import (
    ON_FIRST_DOWNLOAD,
    FetchedFile,
    FetchRecord,
    RemoteFile,
    Unpacked,
    write_fetch_record,
)
from eosin.data.download.transfer import Part, Patience, Transfer

_LOG = logging.getLogger(__name__)

#: Subfolder of the data set's folder where archives are unpacked until they are complete.
WORK = ".fetching"
_CHUNK = 1 << 20
_MOVE_AWAY = "Move it away, or choose another folder with -o"


@dataclass(frozen=True)
class Manner:
    """Settings of a download."""

    keep_archive: bool = False  # True to keep an archive once it is unpacked
    patience: Patience = field(default_factory=Patience)  # time-outs and retries
    limits: UnpackLimits = field(default_factory=UnpackLimits)  # what an archive may unpack to


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def is_complete(folder: Path, file: RemoteFile, record: FetchRecord) -> bool:
    """Return True if a file is there as recorded; raises DownloadError if it differs."""
    entry = record.find(file.name)
    if entry is None:
        return False
    if entry.unpacked is None:
        return not file.unpack and is_fetched(folder, file, entry)
    target = folder / entry.unpacked.name
    if not target.exists():
        return False
    with progress_bar(f"Checking {target.name}", unit="bytes") as advance:
        found, files, _ = _hash_tree(target, advance)
    if found != entry.unpacked.sha256:
        what = "" if target.is_file() else f" ({entry.unpacked.files} files then, {files} now)"
        raise _changed(target, f"sha256:{entry.unpacked.sha256}", f"sha256:{found}", what)
    return True


def is_fetched(folder: Path, file: RemoteFile, entry: FetchedFile | None) -> bool:
    """Return True if a file or archive is there as recorded or as published.

    Raises DownloadError if it differs, or there is no checksum to compare it with.
    """
    path = folder / file.name
    if not path.exists():
        return False
    wanted = _wanted_sum(entry) or file.checksum
    if wanted is None:
        raise DownloadError(
            f"{path} exists already, but there is no record and no published checksum to verify it",
            hint=_MOVE_AWAY,
        )
    algorithm = wanted.partition(":")[0]
    with progress_bar(f"Checking {file.name}", unit="bytes") as advance:
        found = f"{algorithm}:{hash_file(path, algorithm, advance)}"
    if found != wanted:
        raise _changed(path, wanted, found)
    return True


def deliver(folder: Path, file: RemoteFile, record: FetchRecord, manner: Manner) -> FetchRecord:
    """Download a file into the data set's folder, unpack it if need be, and record it.

    Returns the record with the file in it, as written. Raises EosinError if it cannot be fetched,
    differs from what was published or recorded, or does not unpack.
    """
    entry, path, part = record.find(file.name), folder / file.name, Part(folder / file.name)
    is_there = is_fetched(folder, file, entry)
    if not is_there:
        entry = _fetch(part, file, entry, manner)
    elif entry is None:
        entry = _describe(path, file, file.urls[0], sha256_file(path))
    record = record.record(entry)
    # Recorded first: a file without a record would raise an error the next time.
    write_fetch_record(folder, record)
    if not is_there:
        _place(part.path, path)
    part.discard()
    return _open(folder, file, entry, record, manner) if file.unpack else record


def _fetch(part: Part, file: RemoteFile, entry: FetchedFile | None, manner: Manner) -> FetchedFile:
    """Try each address until one serves the file; if none does, raise the last error."""
    for last, url in enumerate(file.urls, start=1 - len(file.urls)):
        try:
            with explain_os_errors("write", part.path):
                Transfer(file, part, patience=manner.patience).run(url)
                return _describe(part.path, file, url, _check_sum(part, file, url, entry))
        except DownloadError as error:
            if last == 0:
                raise
            _LOG.info(f"{error.message}; trying the next address")
    raise AssertionError(file.urls)


def _check_sum(part: Part, file: RemoteFile, url: str, entry: FetchedFile | None) -> str:
    wanted = file.checksum or _wanted_sum(entry)
    with progress_bar(f"Checking {file.name}", unit="bytes") as advance:
        digest = hash_file(part.path, "sha256", advance)
    algorithm = wanted.partition(":")[0] if wanted else "sha256"
    other = algorithm != "sha256"
    found = f"{algorithm}:{hash_file(part.path, algorithm) if other else digest}"
    if wanted in (None, found):
        return digest
    part.discard()
    whose = "was published" if file.checksum else "was recorded when it was first fetched"
    raise DownloadError(
        f"{url} served a file with {found}, but {wanted} {whose}: it was deleted",
        hint="Try again; if this persists, the file was changed or tampered with",
    )


def _wanted_sum(entry: FetchedFile | None) -> str | None:
    return None if entry is None else f"sha256:{entry.sha256}"


def _describe(path: Path, file: RemoteFile, url: str, digest: str) -> FetchedFile:
    return FetchedFile(
        name=file.name,
        url=url,
        bytes=path.stat().st_size,
        sha256=digest,
        checksum=file.checksum or ON_FIRST_DOWNLOAD,
        fetched=now(),
    )


def _open(
    folder: Path, file: RemoteFile, entry: FetchedFile, record: FetchRecord, manner: Manner
) -> FetchRecord:
    archive = folder / file.name
    work = folder / WORK / stem_of(file.name)
    shutil.rmtree(work, ignore_errors=True)
    came = unpack(archive, work, limits=manner.limits)
    target = folder / came.name
    if target.exists():
        shutil.rmtree(work, ignore_errors=True)
        raise DownloadError(
            f"{target} exists already, and {file.name} would be unpacked to it", hint=_MOVE_AWAY
        )
    with progress_bar(f"Checking {came.name}", unit="bytes") as advance:
        digest, files, size = _hash_tree(came, advance)
    unpacked = Unpacked(name=came.name, files=files, bytes=size, sha256=digest)
    record = record.record(entry.model_copy(update={"unpacked": unpacked}))
    write_fetch_record(folder, record)
    _place(came, target)
    if not manner.keep_archive:
        archive.unlink()
    return record


def _place(came: Path, target: Path) -> None:
    with explain_os_errors("write", target):
        came.replace(target)


def _changed(path: Path, wanted: str, found: str, what: str = "") -> DownloadError:
    return DownloadError(
        f"{path} has changed since it was fetched{what}: {wanted} then, {found} now",
        hint="Move it away to fetch it again, or choose another folder with -o",
    )


def _hash_tree(root: Path, advance: Advance) -> tuple[str, int, int]:
    """Return one SHA-256 over the names and contents of all files, their number and bytes.

    For a single file it is the file's own SHA-256.
    """
    if root.is_file():
        return hash_file(root, "sha256", advance), 1, root.stat().st_size
    files = sorted(path for path in root.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    total, done = sum(sizes), 0
    digest = hashlib.sha256()
    for path, size in zip(files, sizes, strict=True):
        line = f"{sha256_file(path)}  {path.relative_to(root).as_posix()}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
        done += size
        advance(done, total)
    return digest.hexdigest(), len(files), total
