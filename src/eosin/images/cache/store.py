"""Read and write side of a store.

Rows are copied out of its file, and none stays in memory. They have one size, so that a row's
position in the file is its number times that size, and the system's page cache keeps what is read
often. The file is read by position rather than mapped: mapped pages count as this process's memory,
how many a touch brings in is the kernel's choice (two MiB for one row, measured), and handing them
back all the time made a batch twice as slow.

Rows are appended, then the index that names them is replaced.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import FileIO
from typing import Any

import numpy as np
import numpy.typing as npt

from eosin.core.errors import ArtifactError, OutputError
from eosin.core.files import clean_partial, explain_os_errors
from eosin.core.text import mebibytes
from eosin.core.types import IntArray
from eosin.images.cache.folders import ELSEWHERE, Marker, StoreFolder
from eosin.images.cache.index import (
    FileState,
    ImageState,
    Index,
    Key,
    StoreSettings,
    read_index,
    write_index,
)

_HINT = "Was the cache cleared or damaged meanwhile? Run it again: missing images are read again"
_FLUSH_S = 20.0
#: Least ratio of the whole time to that of writing the index.
_FLUSH_SHARE = 20
#: Bytes of rows that are written at once: the system then keeps them in larger pieces, which are
#: faster to read.
_WRITE_BYTES = 4 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_HINT = (
    "Free some space, with `eosin data cache --clear` for example, or set EOSIN_CACHE to a folder "
    "on another disk"
)


@contextmanager
def _in_cache() -> Iterator[None]:
    """Give a failed write into the cache its hint: -o does not move the cache."""
    try:
        yield
    except OutputError as error:
        raise OutputError(error.message, hint=_FULL_HINT) from error


class ImageStore:
    """Images of a store when it was opened; rows added later are not seen.

    Threads may share one; a forked process may go on using it; pickled, it opens the file again.
    ``token`` names the file of the rows, ``n_rows`` are visible. ``shape`` is N, H, W, C, ``dtype``
    is ``uint8`` or ``uint16``. Raises ArtifactError if the rows are not there.
    """

    def __init__(
        self, folder: StoreFolder, token: str, n_rows: int, settings: StoreSettings
    ) -> None:
        self.shape = (n_rows, *settings.shape)
        self.dtype = np.dtype(settings.dtype)
        self._origin = (folder, token, n_rows, settings)
        self._row_bytes = settings.row_bytes
        self._lock = threading.Lock()
        self._marker = Marker(folder.marker)
        self._file: FileIO | None = None
        try:
            self._file = FileIO(folder.pixels(token))
        except OSError as error:
            self._marker.release()
            raise self._explain(error) from error

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Copy rows (B,), 0 … N − 1, in any order, repeats allowed: shape (B, H, W, C).

        Raises ArtifactError if the file is shorter than it was or cannot be read, IndexError for a
        row out of range, ValueError if the store is closed.
        """
        file = self._file
        if file is None:
            raise ValueError("the store of images is closed")
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"the store has {len(self)} rows, got {rows.min()} … {rows.max()}")
        out = np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        if not out.size:
            return out
        flat, size = out.data.cast("B"), self._row_bytes
        if bool(np.all(np.diff(rows) == 1)):
            self._read(file, flat, int(rows[0]) * size)
            return out
        # In file order, which is faster on a disk.
        order = np.argsort(rows, kind="stable")
        for place, row in zip(order.tolist(), rows[order].tolist(), strict=True):
            self._read(file, flat[place * size : (place + 1) * size], row * size)
        return out

    def _read(self, file: FileIO, target: memoryview, start: int) -> None:
        try:
            while target:
                done = self._read_some(file, target, start)
                if not done:
                    raise ArtifactError(f"{file.name} is shorter than its index says", hint=_HINT)
                target, start = target[done:], start + done
        except OSError as error:
            raise self._explain(error) from error

    def _read_some(self, file: FileIO, target: memoryview, start: int) -> int:
        if hasattr(os, "preadv"):
            # The position is an argument: threads and forked processes do not disturb each other.
            return os.preadv(file.fileno(), (target,), start)
        with self._lock:
            file.seek(start)
            return file.readinto(target) or 0

    def _explain(self, error: OSError) -> ArtifactError:
        reason = (error.strerror or str(error)).lower()
        folder = self._origin[0].path
        return ArtifactError(f"the images in {folder} cannot be read: {reason}", hint=_HINT)

    def close(self) -> None:
        """Close the file; the store cannot be read afterwards."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self._marker.release()

    def __del__(self) -> None:
        # A dropped store is closed without a warning, as an array would be.
        if getattr(self, "_file", None) is not None:
            self.close()

    def __enter__(self) -> ImageStore:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[ImageStore], tuple[Any, ...]]:
        return ImageStore, self._origin


@dataclass(frozen=True)
class Reading:
    """Result of reading one image."""

    key: Key  # key of the image
    file: FileState | None  # its file's state; None if the image is not to be remembered
    image: ImageState  # its state, with a row if its content has one already
    fitted: npt.NDArray[Any] | None = None  # the values of its new row; None if it needs none


def open_index(folder: StoreFolder, settings: StoreSettings) -> Index | None:
    """Read a store's index; None if there is none that matches its rows."""
    try:
        index = read_index(folder.index)
        size = folder.pixels(index.token).stat().st_size
    except (ArtifactError, OSError):
        return None
    return index if size >= index.n_rows * settings.row_bytes else None


class StoreWriter:
    """Writer that appends rows to a store; the caller holds its lock.

    ``root`` is the folder of the files, for ``store.json``; between flushes lie ``flush_s``
    seconds, by default 20, or more if a flush would take over a twentieth of the time. The
    ``n_rows`` of ``index`` counts the rows on the disk. Raises OutputError if the store cannot be
    written.
    """

    def __init__(
        self, folder: StoreFolder, settings: StoreSettings, root: str, flush_s: float | None = None
    ) -> None:
        self.folder = folder
        self.settings = settings
        with explain_os_errors("make", folder.path, hint=ELSEWHERE):
            folder.path.mkdir(parents=True, exist_ok=True)
        self.index = open_index(folder, settings) or Index()
        self._known = self.index.by_content()
        self._remove_leftovers()
        self._describe(root)
        self._rows = self.index.n_rows
        self._stream = self._open_rows()
        self._pending = bytearray()
        self._changed = False
        self._flushed = time.monotonic()
        self._pause_s = _FLUSH_S if flush_s is None else flush_s
        self._is_paced = flush_s is None

    @property
    def known(self) -> dict[tuple[str, int], ImageState]:
        """Images that have a row, by content of the file and index inside it."""
        return self._known

    def _remove_leftovers(self) -> None:
        clean_partial(self.folder.path)
        current = self.folder.pixels(self.index.token)
        for path in self.folder.path.glob("pixels-*.bin"):
            if path != current:
                # Windows keeps what another process has open; the next writer tries again.
                with suppress(OSError):
                    path.unlink()

    def _describe(self, root: str) -> None:
        try:
            self.folder.read_description()
        except ArtifactError:
            with _in_cache():
                self.folder.write_description(self.settings, root)

    def _open_rows(self) -> io.FileIO:
        path = self.folder.pixels(self.index.token)
        with explain_os_errors("write", path, hint=ELSEWHERE):
            # Unbuffered: what a full disk refused must not be tried again when it is closed.
            stream = io.FileIO(path, "r+" if path.exists() else "w+")
            end = self._rows * self.settings.row_bytes
            # Rows that a killed process wrote and no index names.
            stream.truncate(end)
            stream.seek(end)
        return stream

    def check_space(self, n_images: int) -> None:
        """Raise OutputError if the disk has too little space for so many images."""
        with explain_os_errors("look at", self.folder.path, hint=ELSEWHERE):
            free = shutil.disk_usage(self.folder.path).free
        needed = n_images * self.settings.row_bytes
        if needed > free:
            raise OutputError(
                f"{n_images} images need {mebibytes(needed)} in {self.folder.path.parent}, "
                f"{mebibytes(free)} are free",
                hint=_FULL_HINT,
            )

    def add(self, reading: Reading) -> ImageState:
        """Add an image and return its state, with its row if it has one; raises OutputError."""
        image = reading.image
        if reading.file is None:
            return image
        if reading.fitted is not None:
            # Another file of the same content may have come first.
            content = (image.content, reading.key[1])
            image = self._known.get(content) or image._replace(row=self._append(reading.fitted))
            self._known[content] = image
        self.index.remember(reading.key, reading.file, image)
        self._changed = True
        if time.monotonic() - self._flushed > self._pause_s:
            self.flush()
        return image

    def _append(self, image: npt.NDArray[Any]) -> int:
        self._pending += image.data.cast("B")
        self._rows += 1
        if len(self._pending) >= _WRITE_BYTES:
            self._write()
        return self._rows - 1

    def _write(self) -> None:
        """Write the pending rows; on failure, forget those that were not written."""
        rest = memoryview(self._pending)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError as error:
            self._forget_from(self._stream.tell() // self.settings.row_bytes)
            raise self._explain(error) from error
        finally:
            self._pending = bytearray()

    def _forget_from(self, row: int) -> None:
        self._rows = row
        kept = {k: v for k, v in self.index.images.items() if v.row is None or v.row < row}
        self.index.images = kept

    def flush(self) -> None:
        """Flush the rows to the disk, then the index that names them; raises OutputError."""
        if not self._changed:
            return
        start = time.monotonic()
        self._write()
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            # A second flush would report success although the rows were dropped.
            self._changed = False
            raise self._explain(error) from error
        with _in_cache():
            write_index(self.folder.index, replace(self.index, n_rows=self._rows))
        self.index.n_rows = self._rows
        self._changed = False
        self._flushed = time.monotonic()
        if self._is_paced:
            self._pause_s = max(_FLUSH_S, _FLUSH_SHARE * (self._flushed - start))

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Keep what was read, even after an error, which takes precedence over one of its own."""
        try:
            self.flush()
        except OutputError:
            if error is None:
                raise
        finally:
            # A torn row and rows that no index names: free their space.
            with suppress(OSError):
                self._stream.truncate(self.index.n_rows * self.settings.row_bytes)
            self._stream.close()

    def _explain(self, error: OSError) -> OutputError:
        reason = (error.strerror or str(error)).lower()
        return OutputError(
            f"could not write {self.folder.path}: {reason}",
            hint=_FULL_HINT if error.errno in _FULL else ELSEWHERE,
        )
