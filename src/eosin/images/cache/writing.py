"""The write side of a store: rows are appended, then the index that names them is replaced."""

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
#: Writing the index takes at most one part in so many of the time.
_FLUSH_SHARE = 20
#: Rows are handed over so many bytes at a time: the system then keeps them in larger pieces, which
#: are quicker to read.
_WRITE_BYTES = 4 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_MEND = (
    "Free some space, with `eosin data cache --clear` for example, or set EOSIN_CACHE to a folder "
    "on another disk"
)


def open_index(folder: StoreFolder, settings: StoreSettings) -> Index | None:
    """Read a store's index; nothing where there is none that its rows bear out."""
    try:
        index = read_index(folder.index)
        size = folder.pixels(index.token).stat().st_size
    except (ArtifactError, OSError):
        return None
    return index if size >= index.n_rows * settings.row_bytes else None


class StoreWriter:
    """Appends rows to a store; the caller holds its lock.

    Args:
        folder: The store.
        settings: Shape and kind of an image.
        root: The folder of the files, for ``store.json``.
        flush_s: Seconds after which rows and index are brought to the disk; by default 20, or so
            many that it takes at most a twentieth of the time.

    Attributes:
        index: The table; its ``n_rows`` counts the rows on the disk.

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
        with explain_os_errors("make", folder.path, mend=ELSEWHERE):
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
        with explain_os_errors("write", path, mend=ELSEWHERE):
            # Unbuffered: what a full disk refused must not be tried again when it is closed.
            stream = io.FileIO(path, "r+" if path.exists() else "w+")
            end = self._rows * self.settings.row_bytes
            # Rows that a killed process wrote and no index names.
            stream.truncate(end)
            stream.seek(end)
        return stream

    def check_space(self, n_images: int) -> None:
        """Refuse, before the work, what will not fit.

        Raises:
            OutputError: The disk has too little room.
        """
        with explain_os_errors("look at", self.folder.path, mend=ELSEWHERE):
            free = shutil.disk_usage(self.folder.path).free
        needed = n_images * self.settings.row_bytes
        if needed > free:
            raise OutputError(
                f"{n_images} images need {mebibytes(needed)} in {self.folder.path.parent}, "
                f"{mebibytes(free)} are free",
                mend=_MEND,
            )

    def add(self, reading: Reading) -> ImageState:
        """Take an image in and return its state, with its row where it has one.

        Raises:
            OutputError: The disk is full, or the store cannot be written.
        """
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
        """Hand the pending rows to the system; where it refuses, forget those it did not take."""
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
        """Bring the rows to the disk, then the index that names them.

        Raises:
            OutputError: The disk is full, or the store cannot be written.
        """
        if not self._changed:
            return
        start = time.monotonic()
        self._write()
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            # Asked again, the system would say that all is well although it dropped the rows.
            self._changed = False
            raise self._explain(error) from error
        try:
            write_index(self.folder.index, replace(self.index, n_rows=self._rows))
        except OutputError as error:
            raise OutputError(error.message, mend=_MEND) from error
        self.index.n_rows = self._rows
        self._changed = False
        self._flushed = time.monotonic()
        if self._is_paced:
            self._pause_s = max(_FLUSH_S, _FLUSH_SHARE * (self._flushed - start))

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Keep what was read, whatever ended the work; its own error comes first."""
        try:
            self.flush()
        except OutputError:
            if error is None:
                raise
        finally:
            # A torn row and rows that no index names: room for others on a full disk.
            with suppress(OSError):
                self._stream.truncate(self.index.n_rows * self.settings.row_bytes)
            self._stream.close()

    def _explain(self, error: OSError) -> OutputError:
        reason = (error.strerror or str(error)).lower()
        return OutputError(
            f"could not write {self.folder.path}: {reason}",
            mend=_MEND if error.errno in _FULL else ELSEWHERE,
        )
