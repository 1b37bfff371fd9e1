"""Unpacking of untrusted archives: into a new folder, within limits, files and folders only.

Names may point outside the folder, a few bytes may inflate to fill the disk. Links, devices and
members outside the folder raise an error for the whole archive, where tarfile's own filter strips,
renames or skips them: the rest of such an archive is not trustworthy, either.
"""

from __future__ import annotations

import errno
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from rich.filesize import decimal

from eosin.core.errors import DataError
from eosin.core.files import explain_os_errors
from eosin.core.progress import Advance, progress_bar

_CHUNK = 1 << 20
#: Largest header of a tar member; it is read into memory.
_HEADER_BYTES = 1 << 20
#: Folder that macOS adds to zip archives.
_LITTER = "__MACOSX"
_DRIVE = re.compile(r"[A-Za-z]:")
#: Unpacked bytes up to which any ratio is harmless: text packs well.
_HARMLESS_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class UnpackLimits:
    """Limits of what an archive may unpack to."""

    files: int = 1_000_000  # members, folders among them
    bytes: int = 200 * 10**9  # all members together
    #: Unpacked bytes for each packed byte, checked from 64 MiB on. Images hardly pack.
    ratio: float = 100.0


class Allowance:
    """Remaining limits while one archive is unpacked."""

    def __init__(self, archive: Path, limits: UnpackLimits) -> None:
        self.archive = archive
        self.limits = limits
        packed = archive.stat().st_size
        self._most_bytes = min(limits.bytes, max(_HARMLESS_BYTES, int(packed * limits.ratio)))
        self._files = 0
        self._bytes = 0

    def count_file(self) -> None:
        """Count one member; raises DataError if there are too many."""
        self._files += 1
        if self._files > self.limits.files:
            raise self.refuse(f"contains more than {self.limits.files:,} files")

    def count_bytes(self, count: int) -> None:
        """Count bytes that are about to be written; raises DataError if they are too many."""
        self.check_bytes(self._bytes + count)
        self._bytes += count

    def check_bytes(self, total: int) -> None:
        """Raise DataError if an archive may not unpack to ``total`` bytes."""
        if total > self._most_bytes:
            raise self.refuse(
                f"would unpack to more than {decimal(self._most_bytes)} from "
                f"{decimal(self.archive.stat().st_size)}"
            )

    def refuse(self, fault: str) -> DataError:
        """Return the error for an archive that is not unpacked."""
        return DataError(
            f"the archive {self.archive} {fault}: it was not unpacked",
            hint="Nothing of it was kept; delete it, and inform its provider",
        )

    def place(self, name: str) -> PurePosixPath:
        """Return the relative path of a member; raises DataError if it is outside the folder.

        Backslashes count as slashes, as they do on Windows.
        """
        path = PurePosixPath(name.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise self.refuse(f"has a member outside its folder, {name!r},")
        if any(_DRIVE.match(part) for part in path.parts):
            raise self.refuse(f"has a member outside its folder, {name!r},")
        return path


def unpack(archive: Path, work: Path, *, limits: UnpackLimits) -> Path:
    """Unpack a zip, tar, tar.gz (tgz) or gz file, recognised by its name, into a new folder.

    ``work`` is made, and removed if unpacking fails. Returns the one file or folder at the
    archive's top, inside ``work``; ``work`` itself if there are several. Raises DataError if the
    archive is damaged, dangerous, empty or of an unknown kind, OutputError if it cannot be written.
    """
    allowance = Allowance(archive, limits)
    with explain_os_errors("unpack into", work):
        work.mkdir(parents=True)
        try:
            if not archive.stat().st_size:
                raise allowance.refuse("is empty")
            with (
                _explain_damage(allowance),
                progress_bar(f"Unpacking {archive.name}", unit="bytes") as advance,
            ):
                _choose(archive)(archive, work, allowance, advance)
            top = list(work.iterdir())
            if not top:
                raise allowance.refuse("is empty")
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    return top[0] if len(top) == 1 else work


def stem_of(archive: str) -> str:
    """Return an archive's name without its endings."""
    for ending in (".tar.gz", ".tgz", ".tar", ".zip", ".gz"):
        if archive.lower().endswith(ending):
            return archive[: -len(ending)]
    return archive


def _choose(archive: Path) -> Any:
    name = archive.name.lower()
    if name.endswith(".zip"):
        return _unpack_zip
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        return _unpack_tar
    if name.endswith(".gz"):
        return _unpack_gzip
    raise DataError(f"{archive} is neither zip, tar, tar.gz nor gz")


@contextmanager
def _explain_damage(allowance: Allowance) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        gzip.BadGzipFile,
        zlib.error,
        lzma.LZMAError,
        UnicodeError,
        EOFError,
        NotImplementedError,  # zipfile's, of a packing method that it does not know
        FileExistsError,
        NotADirectoryError,
        IsADirectoryError,
    ) as error:
        raise allowance.refuse(f"is damaged ({error})") from error
    except OSError as error:
        # So bz2 and a seek to before the start mean damage; a full disk has a number of its own.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise allowance.refuse(f"is damaged ({error})") from error


def _unpack_zip(archive: Path, work: Path, allowance: Allowance, advance: Advance) -> None:
    with zipfile.ZipFile(archive) as packed:
        members = [m for m in packed.infolist() if not m.filename.startswith(f"{_LITTER}/")]
        for member in members:
            allowance.count_file()
            _check_zip_member(member, allowance)
        # Declared sizes are checked before a byte is written; real ones while writing.
        allowance.check_bytes(sum(member.file_size for member in members))
        total = sum(member.compress_size for member in members)
        done = 0
        for member in members:
            path = allowance.place(member.filename)
            if member.is_dir():
                (work / path).mkdir(parents=True, exist_ok=True)
            else:
                with packed.open(member) as stream:
                    _write(stream, work, path, allowance)
            done += member.compress_size
            advance(done, total)


def _check_zip_member(member: zipfile.ZipInfo, allowance: Allowance) -> None:
    allowance.place(member.filename)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise allowance.refuse(f"has a link or device, {member.filename!r},")
    if member.flag_bits & 1:
        raise allowance.refuse(f"has an encrypted member, {member.filename!r},")


def _unpack_tar(archive: Path, work: Path, allowance: Allowance, advance: Advance) -> None:
    with ExitStack() as stack:
        packed = stack.enter_context(archive.open("rb"))
        plain: Any = packed
        if not archive.name.lower().endswith(".tar"):
            plain = stack.enter_context(gzip.GzipFile(fileobj=packed))
        guarded = _Guarded(plain, allowance)
        guarded.allow(_HEADER_BYTES)  # opening reads the first header
        tar = stack.enter_context(tarfile.open(fileobj=guarded, mode="r|"))  # type: ignore[call-overload]
        total = archive.stat().st_size
        while True:
            guarded.allow(_HEADER_BYTES)
            if (member := tar.next()) is None:
                return
            guarded.allow(None)
            _unpack_member(tar, member, work, allowance)
            tar.members.clear()  # it keeps every member, and there may be a million
            advance(packed.tell(), total)


def _unpack_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, work: Path, allowance: Allowance
) -> None:
    allowance.count_file()
    if member.isdir() and not PurePosixPath(member.name).parts:
        return  # "./", which many archives begin with
    path = allowance.place(member.name)
    if member.isdir():
        (work / path).mkdir(parents=True, exist_ok=True)
    elif member.isreg():
        allowance.check_bytes(member.size)
        stream = tar.extractfile(member)
        if stream is not None:
            with stream:
                _write(stream, work, path, allowance)
    else:
        raise allowance.refuse(f"has a link or device, {member.name!r},")


def _unpack_gzip(archive: Path, work: Path, allowance: Allowance, advance: Advance) -> None:
    total = archive.stat().st_size
    with archive.open("rb") as packed, gzip.GzipFile(fileobj=packed) as plain:
        # The name inside a gz file is the one at packing time: not used.
        path = PurePosixPath(stem_of(archive.name))
        _write(plain, work, path, allowance, lambda: advance(packed.tell(), total))


def _write(
    stream: IO[bytes] | gzip.GzipFile,
    work: Path,
    path: PurePosixPath,
    allowance: Allowance,
    tell: Any = None,
) -> None:
    target = work / path
    target.parent.mkdir(parents=True, exist_ok=True)
    # "x": a name that comes twice would overwrite, or write through, what is there.
    with target.open("xb") as out:
        while chunk := stream.read(_CHUNK):
            allowance.count_bytes(len(chunk))
            out.write(chunk)
            if tell is not None:
                tell()


class _Guarded:
    """Stream for tarfile with a limit of bytes between two members.

    tarfile reads a member's header into memory, at the length that the archive claims.
    """

    def __init__(self, stream: Any, allowance: Allowance) -> None:
        self._stream = stream
        self._allowance = allowance
        self._left: int | None = None

    def allow(self, count: int | None) -> None:
        self._left = count

    def read(self, count: int) -> bytes:
        if self._left is not None:
            self._left -= count
            if self._left < 0:
                raise self._allowance.refuse("has a member with an endless header")
        data: bytes = self._stream.read(count)
        return data
