"""One file of a data set, from its address to its place: fetched, held against its sums, unpacked.

Each step leaves a state that the next call recognises: a part with its note, a whole archive with
its record, an unpacked folder with its record. A killed process loses nothing but time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eosin.core.errors import DownloadError, MissingPartError
from eosin.core.files import explain_os_errors, hash_file
from eosin.core.progress import progress_bar
from eosin.data.download.archives import stem_of, unpack
from eosin.data.download.digests import hash_tree
from eosin.data.download.ledger import (
    ON_FIRST_DOWNLOAD,
    FetchedFile,
    Ledger,
    Unpacked,
    write_ledger,
)
from eosin.data.download.limits import UnpackLimits
from eosin.data.download.part import Part
from eosin.data.download.source import RemoteFile
from eosin.data.download.transfer import Patience, Transfer

#: Where things lie until they are whole, in the data set's folder.
WORK = ".fetching"


@dataclass(frozen=True)
class Manner:
    """How files are fetched.

    Attributes:
        keep_archive: Whether an archive stays once it is unpacked.
        patience: How long to wait for a server.
        limits: What an archive may unpack to.
        say: Told what is being done.
    """

    keep_archive: bool = False
    patience: Patience = field(default_factory=Patience)
    limits: UnpackLimits = field(default_factory=UnpackLimits)
    say: Callable[[str], None] = lambda _sentence: None


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def is_complete(folder: Path, file: RemoteFile, ledger: Ledger) -> bool:
    """Tell whether a file is there and ready for use, as recorded.

    Raises:
        DownloadError: It is there and is not what was recorded.
    """
    entry = ledger.find(file.name)
    if entry is None:
        return False
    if entry.unpacked is None:
        return not file.unpack and is_fetched(folder, file, entry)
    target = folder / entry.unpacked.name
    if not target.exists():
        return False
    with progress_bar(f"Checking {target.name}", unit="bytes") as advance:
        found, files, _ = hash_tree(target, advance)
    if found != entry.unpacked.sha256:
        what = "" if target.is_file() else f" ({entry.unpacked.files} files then, {files} now)"
        raise _changed(target, f"sha256:{entry.unpacked.sha256}", f"sha256:{found}", what)
    return True


def is_fetched(folder: Path, file: RemoteFile, entry: FetchedFile | None) -> bool:
    """Tell whether a file or archive is there as recorded or as published.

    Raises:
        DownloadError: It is there and is something else, or nothing tells what it should be.
    """
    path = folder / file.name
    if not path.exists():
        return False
    wanted = f"sha256:{entry.sha256}" if entry is not None else file.checksum
    if wanted is None:
        raise DownloadError(
            f"{path} is there already, but neither a record nor a published checksum tells "
            "whether it is whole",
            mend="Move it away, or choose another folder with -o",
        )
    algorithm = wanted.partition(":")[0]
    with progress_bar(f"Checking {file.name}", unit="bytes") as advance:
        found = f"{algorithm}:{hash_file(path, algorithm, advance)}"
    if found != wanted:
        raise _changed(path, wanted, found)
    return True


def deliver(folder: Path, file: RemoteFile, ledger: Ledger, manner: Manner) -> Ledger:
    """Bring a file to its place and record it.

    Args:
        folder: The data set's folder.
        file: What is wanted.
        ledger: What has been recorded so far.
        manner: How.

    Returns:
        The ledger with the file in it, as written.

    Raises:
        EosinError: It cannot be had, is not what was published or recorded, or does not unpack.
    """
    entry = ledger.find(file.name)
    if not is_fetched(folder, file, entry):
        entry = _fetch(folder, file, entry, manner)
        ledger = ledger.record(entry)
        write_ledger(folder, ledger)
        _place(folder / WORK / file.name, folder / file.name)
    elif entry is None:
        path = folder / file.name
        entry = _describe(path, file, file.urls[0], hash_file(path, "sha256"))
        ledger = ledger.record(entry)
        write_ledger(folder, ledger)
    Part(folder / file.name).discard()
    return _open(folder, file, entry, ledger, manner) if file.unpack else ledger


def _fetch(folder: Path, file: RemoteFile, entry: FetchedFile | None, manner: Manner) -> Any:
    """Try each address; the first that serves the file wins, the last one's refusal is told."""
    for last, url in enumerate(file.urls, start=1 - len(file.urls)):
        try:
            return _retrieve(folder, file, url, entry, manner)
        except DownloadError as error:
            if last == 0:
                raise
            manner.say(f"{error.message}; trying the next address")
    raise AssertionError(file.urls)


def _retrieve(
    folder: Path, file: RemoteFile, url: str, entry: FetchedFile | None, manner: Manner
) -> FetchedFile:
    pooch = import_pooch()
    digests: list[str] = []
    wanted = file.checksum or (f"sha256:{entry.sha256}" if entry is not None else None)

    def download(_url: str, output: str, _pooch: Any) -> None:
        part = Part(folder / file.name)
        with progress_bar(f"Fetching {file.name}", unit="bytes") as advance:
            transfer = Transfer(
                file, part, patience=manner.patience, say=manner.say, advance=advance
            )
            transfer.run(url)
        digests.append(_check_sum(part, url, wanted, published=file.checksum is not None))
        part.lend(Path(output))

    with explain_os_errors("write", folder / WORK / file.name):
        came = pooch.retrieve(
            url, known_hash=wanted, fname=file.name, path=folder / WORK, downloader=download
        )
    return _describe(Path(came), file, url, digests[0])


def _check_sum(part: Part, url: str, wanted: str | None, *, published: bool) -> str:
    """Hold what came against its sum and return its SHA-256.

    Pooch does so too afterwards, but tells neither address nor mend.
    """
    with progress_bar(f"Checking {part.path.stem}", unit="bytes") as advance:
        digest = hash_file(part.path, "sha256", advance)
    algorithm = "sha256" if wanted is None else wanted.partition(":")[0]
    found = f"{algorithm}:" + (digest if algorithm == "sha256" else hash_file(part.path, algorithm))
    if wanted in (None, found):
        return digest
    part.discard()
    whose = "was published" if published else "was recorded when it was first fetched"
    raise DownloadError(
        f"{url} served a file with {found}, where {wanted} {whose}: it was deleted",
        mend="Try again; if it stays so, the file has changed or is being tampered with",
    )


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
    folder: Path, file: RemoteFile, entry: FetchedFile, ledger: Ledger, manner: Manner
) -> Ledger:
    archive = folder / file.name
    work = folder / WORK / "unpacked" / stem_of(file.name)
    shutil.rmtree(work, ignore_errors=True)
    with progress_bar(f"Unpacking {file.name}", unit="bytes") as advance:
        came = unpack(archive, work, limits=manner.limits, advance=advance)
    target = folder / came.name
    if target.exists():
        shutil.rmtree(work, ignore_errors=True)
        raise DownloadError(
            f"{target} is there already, and {file.name} would unpack to it",
            mend="Move it away, or choose another folder with -o",
        )
    with progress_bar(f"Checking {came.name}", unit="bytes") as advance:
        digest, files, size = hash_tree(came, advance)
    unpacked = Unpacked(name=came.name, files=files, bytes=size, sha256=digest)
    ledger = ledger.record(entry.model_copy(update={"unpacked": unpacked}))
    # Recorded first: a folder without a record would be refused the next time.
    write_ledger(folder, ledger)
    _place(came, target)
    if not manner.keep_archive:
        archive.unlink()
    return ledger


def _place(came: Path, target: Path) -> None:
    with explain_os_errors("write", target):
        came.replace(target)


def _changed(path: Path, wanted: str, found: str, what: str = "") -> DownloadError:
    return DownloadError(
        f"{path} has changed since it was fetched{what}: {wanted} then, {found} now",
        mend="Move it away to fetch it again, or choose another folder with -o",
    )


def import_pooch() -> Any:
    """Import pooch, silenced.

    Raises:
        MissingPartError: It is not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise MissingPartError(
            "fetching data sets needs pooch, which is not installed",
            mend="pip install 'eosin[train]', or pip install pooch",
        ) from error
    # It tells of each file on its own logger, in other words than ours.
    pooch.get_logger().setLevel("ERROR")
    return pooch
