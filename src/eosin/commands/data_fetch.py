"""Command ``data fetch``: download of a public data set, complete, verified and recorded."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from eosin.core.errors import (
    DownloadError,
    InterruptedRunError,
    OutputError,
    UsageError,
)
from eosin.core.files import check_writable, explain_os_errors, locked
from eosin.core.places import expand_path, is_offline
from eosin.data.download.archives import UnpackLimits
from eosin.data.download.delivery import WORK, Manner, deliver, is_complete, now
from eosin.data.download.source import (
    FetchRecord,
    RemoteFile,
    Source,
    read_fetch_record,
    write_fetch_record,
)
from eosin.data.download.transfer import Part, Patience, check_installed, check_space
from eosin.data.sources.base import DATA_VARIABLE
from eosin.data.sources.catalogue import SOURCES

_LOG = logging.getLogger(__name__)

_LOCK = ".fetching.lock"


@dataclass(frozen=True)
class Fetched:
    """Result of ``data fetch``.

    Attributes:
        folder: Folder of the data set.
        unpacks_to: Contents of the folder.
        fetched: Names of the files that were downloaded or unpacked now.
        kept: Names of those that were complete before.
        next_step: Sentence on what to do with it.
    """

    folder: Path
    unpacks_to: str
    fetched: tuple[str, ...]
    kept: tuple[str, ...]
    next_step: str


def fetch(
    name: str,
    output: Path | str | None = None,
    *,
    accept_licence: bool = False,
    keep_archive: bool = False,
    confirm: Callable[[str], bool] | None = None,
    patience: Patience | None = None,
    limits: UnpackLimits | None = None,
) -> Fetched:
    """Download a public data set, or the missing part of it.

    Args:
        name: A data set that has a source.
        output: Its folder; ``$EOSIN_DATA/<name>`` by default.
        accept_licence: Whether its licence is accepted without asking.
        keep_archive: Whether archives stay once they are unpacked.
        confirm: Asks the user a yes-or-no question; ``None`` without a terminal.
        patience: How long to wait for a server.
        limits: Limits on what an archive may unpack to.

    Raises:
        UsageError: No such data set, no folder, or a licence that was not accepted.
        EosinError: It cannot be fetched, does not fit, or is not what was published or recorded.
        InterruptedRunError: The user stopped it; what was downloaded is kept.
    """
    source = SOURCES.get(name)
    folder = _find_folder(source, None if output is None else Path(output))
    _check_manual(source, folder)
    if is_offline():
        raise DownloadError(
            f"fetching {name!r} needs the network, which --offline or EOSIN_OFFLINE disables"
        )
    check_installed()
    check_writable(folder)
    record = _accept(source, read_fetch_record(folder, source), accept_licence, confirm)
    manner = Manner(keep_archive, patience or Patience(), limits or UnpackLimits())
    with _alone(folder), _kept_when_stopped(source, folder):
        # While the licence was being asked for, another fetch may have finished here.
        if (known := read_fetch_record(folder, source)) is not None:
            record = record.model_copy(update={"files": known.files})
        fetched, kept = _bring(source, folder, record, manner)
    step = source.preparation or _manifest_command(name, folder)
    return Fetched(folder, source.unpacks_to, tuple(fetched), tuple(kept), step)


def _manifest_command(name: str, folder: Path) -> str:
    return f"eosin data manifest {name} {shlex.quote(str(folder))} -o {name}.csv"


def _find_folder(source: Source, output: Path | None) -> Path:
    if output is not None:
        return output
    if base := os.environ.get(DATA_VARIABLE):
        return expand_path(base) / source.name
    raise UsageError(
        f"no folder was given for the data set {source.name!r} is not known",
        hint=f"Give a folder with -o, or set ${DATA_VARIABLE}",
    )


def _check_manual(source: Source, folder: Path) -> None:
    if not source.files:
        raise DownloadError(
            f"{source.name!r} cannot be fetched by this command: {source.obstacle}",
            hint=f"{source.instruction}; unpack it into {folder}, then: "
            f"{_manifest_command(source.name, folder)}",
        )


def _accept(
    source: Source,
    record: FetchRecord | None,
    accept_licence: bool,
    confirm: Callable[[str], bool] | None,
) -> FetchRecord:
    """Return the record to continue; asks for the licence once, and again if it changes."""
    if record is not None and record.licence == source.licence:
        return record
    _LOG.info(f"{source.title}, {_format_size(source)}, from {source.homepage}")
    _LOG.info(f"licence:  {source.licence}")
    _LOG.info(f"citation: {source.citation}")
    if not accept_licence:
        if confirm is None:
            raise UsageError(
                f"the licence of {source.name!r} must be accepted, but "
                "there is no terminal for the prompt",
                hint="Give --accept-licence if you accept it",
            )
        if not confirm("Do you accept?"):
            raise DownloadError("the licence was not accepted: nothing was downloaded")
    files = record.files if record is not None else ()
    return FetchRecord(
        dataset=source.name,
        licence=source.licence,
        citation=source.citation,
        licence_accepted=now(),
        files=files,
    )


def _format_size(source: Source) -> str:
    if not source.least_bytes:
        return "of unpublished size"
    return f"{'' if source.all_sized else 'at least '}{decimal(source.least_bytes)}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make the folder and lock it against a second fetch."""
    with explain_os_errors("make", folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / _LOCK) as is_alone:
        if not is_alone:
            raise OutputError(
                f"another process is downloading into {folder}",
                hint="Wait for it, or choose another folder",
            )
        yield


@contextmanager
def _kept_when_stopped(source: Source, folder: Path) -> Iterator[None]:
    # Files that a killed process left there are incomplete and take space.
    shutil.rmtree(folder / WORK, ignore_errors=True)
    try:
        yield
    except KeyboardInterrupt as error:
        came = sum(Part(folder / file.name).size for file in source.files)
        what = f"{decimal(came)} of unfinished files" if came else "what is complete"
        raise InterruptedRunError(
            f"interrupted; {what} is kept in {folder}",
            hint=f"To resume: eosin data fetch {source.name} -o {shlex.quote(str(folder))}",
        ) from error
    finally:
        shutil.rmtree(folder / WORK, ignore_errors=True)


def _bring(
    source: Source, folder: Path, record: FetchRecord, manner: Manner
) -> tuple[list[str], list[str]]:
    kept = [file.name for file in source.files if is_complete(folder, file, record)]
    wanted = [file for file in source.files if file.name not in kept]
    check_space(folder, _needed_bytes(folder, wanted), source.name)
    write_fetch_record(folder, record)
    for number, file in enumerate(wanted, start=1):
        size = "" if file.size is None else f", {decimal(file.size)}"
        _LOG.info(f"{number} of {len(wanted)}: {file.name}{size}")
        record = deliver(folder, file, record, manner)
    return [file.name for file in wanted], kept


def _needed_bytes(folder: Path, files: list[RemoteFile]) -> int:
    """Return the bytes still needed, as far as known: for each file and its unpacked contents."""
    needed = 0
    for file in files:
        there = (folder / file.name).exists()
        coming = 0 if there else (file.size or 0) - Part(folder / file.name).size
        needed += max(coming, 0) + (file.unpacked_bytes or 0)
    return needed
