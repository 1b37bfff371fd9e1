"""Atomic writing and safe reading of files.

Every file is written beside its target under a temporary name and renamed, so that a killed
process or a full disk never leaves half a file that looks complete. Reading first checks for a
regular file: a named pipe would wait for a writer, a device may never end.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from eosin.core.errors import ArtifactError, OutputError
from eosin.core.text import printable

_LOG = logging.getLogger(__name__)

_HINTS = {
    errno.ENOSPC: "Free some space, or choose another folder with -o",
    errno.EDQUOT: "Your quota is used up: free some space, or choose another folder with -o",
    errno.EFBIG: "Files of this size are not allowed there, by the file system or by `ulimit -f`: "
    "choose another folder with -o",
    errno.ENOTDIR: "A part of that path is a file, not a folder: choose another folder with -o",
    errno.EROFS: "The folder is read-only: choose another with -o",
    errno.EACCES: "You have no permission to write there: choose another folder with -o",
    errno.EPERM: "You have no permission to write there: choose another folder with -o",
}

_ANYWHERE = {
    errno.EMFILE: "Too many files are open: raise the limit, e.g. ulimit -n 4096",
    errno.ENFILE: "Too many files are open on this machine: close other programs",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.ELOOP: "Remove the link: it leads back to itself",
}

#: Largest JSON document in bytes; Eosin's largest, an audit, has a few hundred a pair.
_MAX_JSON_BYTES = 256 << 20
#: Bytes that are hashed in one go.
_CHUNK = 1 << 20
#: Largest ratio of unpacked to packed size, and the unpacked bytes up to which any is allowed.
_MOST_UNPACKED, _HARMLESS_BYTES = 100, 64 << 20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_file(path: Path, *, pipe: bool = False) -> None:
    """Check that a path leads to a regular file, before a library opens it by its name.

    Args:
        path: The file.
        pipe: True allows a pipe: a table or recipe that the user named may be a process's
            output, as in ``eosin data audit <(zcat samples.csv.gz)``.

    Raises:
        OSError: It leads to none; ``strerror`` describes what is there instead.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 (four times as fast: every image comes by here)
    except ValueError as error:  # a NUL, or a surrogate without a byte
        raise OSError(errno.EINVAL, "it is not a valid file name", str(path)) from error
    _check_regular(status, path, pipe=pipe)


def open_file(path: Path, *, pipe: bool = False) -> BufferedReader:
    """Open a regular file to read its bytes; returns at once, whatever the path leads to.

    Raises:
        OSError: It cannot be opened, or is no regular file (unless a ``pipe`` is allowed, which is
            waited for); ``strerror`` describes it.
    """
    check_file(path, pipe=pipe)
    # Without waiting, because the file may have been replaced since.
    no_wait = 0 if pipe else getattr(os, "O_NONBLOCK", 0)
    flags = os.O_RDONLY | no_wait | getattr(os, "O_BINARY", 0)
    stream: BufferedReader = BufferedReader(FileIO(os.open(path, flags)))
    try:
        _check_regular(os.fstat(stream.fileno()), path, pipe=pipe)
    except OSError:
        stream.close()
        raise
    return stream


def read_file(path: Path, *, pipe: bool = False) -> bytes:
    """Return the bytes of a file (arguments and errors as of :func:`open_file`)."""
    with open_file(path, pipe=pipe) as stream:
        return stream.read()


def _check_regular(status: os.stat_result, path: Path, *, pipe: bool) -> None:
    if not (stat.S_ISREG(status.st_mode) or (pipe and stat.S_ISFIFO(status.st_mode))):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "no file")
        number = errno.EISDIR if kind == "a folder" else errno.EINVAL
        raise OSError(number, f"it is {kind}, not a file", str(path))


def check_unpacked(path: Path, n_bytes: int) -> None:
    """Reject a packed file whose declared unpacked size is out of proportion to it.

    Raises:
        ValueError: It is over 100 times as much, and more than 64 MiB.
    """
    packed = path.stat().st_size
    if n_bytes > max(_HARMLESS_BYTES, _MOST_UNPACKED * packed):
        raise ValueError(
            f"it would unpack to {n_bytes:,} bytes, over {_MOST_UNPACKED} times its packed size "
            f"of {packed:,}"
        )


@contextmanager
def explain_os_errors(action: str, path: Path, *, hint: str | None = None) -> Iterator[None]:
    """Context manager that turns an ``OSError`` of an action, e.g. ``"write"``, into one line.

    Raises:
        OutputError: In place of any ``OSError`` raised inside, with a hint.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(
            f"could not {action} {path}: {reason}", hint=hint or write_hint(error)
        ) from error


def write_hint(error: OSError) -> str | None:
    """Return the hint for a failed write, where there is one."""
    return _HINTS.get(error.errno or 0) or _ANYWHERE.get(error.errno or 0)


def hint_of(error: OSError) -> str | None:
    """Return the hint for a failed read or write, where there is one."""
    path = error.filename
    is_unreadable = error.errno in {errno.EACCES, errno.EPERM} and isinstance(path, str | bytes)
    if is_unreadable and not os.access(path, os.R_OK):
        return "You have no permission to read it: ask its owner, or change its permissions"
    return write_hint(error)


@contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends without an error.

    Args:
        path: The final name; its folder is made if needed.
        durable: Wait until the bytes are on the disk; not worthwhile for one of thousands of
            files that are all made again when the last of them is missing.

    Raises:
        OutputError: The folder or the file cannot be written.
    """
    path = Path(path)
    with explain_os_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}-", suffix=f".tmp{path.suffix}"
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            # mkstemp makes files private; results have the usual permissions.
            temporary.chmod(0o666 & ~_umask())
            if durable:
                with temporary.open("rb") as stream:
                    os.fsync(stream.fileno())
            temporary.replace(path)
            _LOG.debug(f"wrote {printable(path)}")
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write ``data`` atomically to ``path`` (``durable`` as in :func:`atomic_path`)."""
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_private(path: Path, data: bytes) -> None:
    """Write ``data`` atomically to a new file that only its owner may read.

    Raises:
        OutputError: It cannot be written, or another process has just written it.
    """
    path = Path(path)
    with explain_os_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                os.fsync(handle)
            # Unlike a rename, a link never replaces an existing file.
            os.link(name, path)
        finally:
            Path(name).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically as UTF-8 to ``path``."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` atomically as indented JSON without NaN."""
    write_bytes(path, json_bytes(data))


def json_bytes(data: Any) -> bytes:
    """Return ``data`` as indented JSON without NaN."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # File names need not be UTF-8: other bytes become JSON escapes.
    return text.encode("utf-8", "backslashreplace")


def read_json(path: Path, *, max_bytes: int = _MAX_JSON_BYTES) -> Any:
    """Read a JSON file of at most ``max_bytes``; in memory it can become 25 times as large.

    Raises:
        ArtifactError: It is absent, no file, too large or not JSON.
    """
    try:
        with open_file(path) as stream:
            data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise ArtifactError(f"{path} is too large: at most {max_bytes:,} bytes are read")
        return json.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    except RecursionError:
        raise ArtifactError(f"{path} cannot be read as JSON: it is nested too deeply") from None
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be read as JSON: {error}") from error


def check_output(folder: Path | str, *, or_else: str = "") -> None:
    """Check that a folder is usable for output, before the work and without creating it.

    ``or_else`` continues the hint for a folder that is not empty, after a comma.

    Raises:
        OutputError: It is a file, not empty, or cannot be made or written.
    """
    folder = Path(folder)
    with explain_os_errors("write into", folder):
        # A link to nothing, or to itself, is in the way as well.
        if os.path.lexists(folder) and not folder.is_dir():
            raise OutputError(f"{folder} is a file, not a folder", hint="Choose another with -o")
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(
                f"{folder} is not empty", hint=f"Choose another folder with -o{or_else}"
            )
    check_writable(folder)


def check_writable(folder: Path) -> None:
    """Check that a folder, or its future parent, is writable; raises ``OutputError``."""
    folder = Path(folder)
    with explain_os_errors("write into", folder):
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        write_probe(there)


def prepare_output(folder: Path | str) -> Path:
    """Create an empty output folder.

    Raises:
        OutputError: It is a file, not empty, or cannot be made or written.
    """
    folder = Path(folder)
    check_output(folder)
    with explain_os_errors("make", folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_probe(folder: Path) -> None:
    """Check that a file can be made in ``folder``; raises ``OSError`` if not."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal digits."""
    return hash_file(path, "sha256")


def hash_file(path: Path, algorithm: str, advance: Callable[[int, int], None] | None = None) -> str:
    """Return a checksum of a file's bytes as hexadecimal digits.

    Args:
        path: The file.
        algorithm: One of hashlib's names.
        advance: Called with the bytes that are done and all of them.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open_file(path) as stream:
        total = os.fstat(stream.fileno()).st_size
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if advance is not None:
                advance(stream.tell(), total)
    return digest.hexdigest()


def clean_partial(folder: Path, is_partial: Callable[[Path], bool] | None = None) -> None:
    """Remove temporary files that a killed process left in ``folder``."""
    for path in Path(folder).rglob(".*.tmp*"):
        if is_partial is None or is_partial(path):
            with suppress(OSError):
                path.unlink()


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock file, which is removed at the end; yields True if no other process holds it.

    The lock itself ends with the process, however it ends. Where no lock can be made, nothing is
    held.
    """
    from filelock import FileLock, Timeout  # slow to import

    lock, is_free = FileLock(path), True
    try:
        lock.acquire(blocking=False)
    except Timeout:
        is_free = False
    except (OSError, NotImplementedError):
        pass
    try:
        yield is_free
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows removes nothing that is open
                path.unlink()
            lock.release()
