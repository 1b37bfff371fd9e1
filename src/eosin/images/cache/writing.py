"""Write side of a store: rows are appended, then the index that names them is replaced."""

from __future__ import annotations

import errno
import io
import os
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from eosin.core.errors import ArtifactError, OutputError
from eosin.core.files import clean_partial, explain_os_errors
from eosin.core.text import mebibytes
from eosin.images.cache.folders import ELSEWHERE, StoreFolder
from eosin.images.cache.index import ImageState, Index, StoreSettings, read_index, write_index
from eosin.images.cache.reading import Reading

_FLUSH_S = 20.0
#: Least ratio of the whole time to that of writing the index.
_FLUSH_SHARE = 20
#: Bytes of rows that are written at once: the system then keeps them in larger pieces, which are
#: faster to read.
_WRITE_BYTES = 4 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_HINT = (
    "Free some space, with `eosin data cache --clear` for example, or set EOSIN_CACHE to a folder "
    "on another disk"
)


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

    Args:
        folder: The store.
        settings: Shape and dtype of an image.
        root: The folder of the files, for ``store.json``.
        flush_s: Seconds between flushes; by default 20, or more if a flush would take over a
            twentieth of the time.

    Attributes:
        index: The index; its ``n_rows`` counts the rows on the disk.

    Raises:
        OutputError: The store cannot be written.
    """

    def __init__(
        self,
        folder: StoreFolder,
        settings: StoreSettings,
        root: str,
        flush_s: float | None = None,
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
                hint=_HINT,
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
        try:
            write_index(self.folder.index, replace(self.index, n_rows=self._rows))
        except OutputError as error:
            raise OutputError(error.message, hint=_HINT) from error
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
            hint=_HINT if error.errno in _FULL else ELSEWHERE,
        )
