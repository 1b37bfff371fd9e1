"""Read side of a store: rows are copied out of its file, and none stays in memory.

The rows have one size, so that a row's position in the file is its number times that size, and the
system's page cache keeps what is read often. The file is read by position rather than mapped:
mapped pages count as this process's memory, how many a touch brings in is the kernel's choice (two
MiB for one row, measured), and handing them back all the time made a batch twice as slow.
"""

from __future__ import annotations

import os
import threading
from io import FileIO
from typing import Any

import numpy as np
import numpy.typing as npt

from eosin.core.errors import ArtifactError
from eosin.core.types import IntArray
from eosin.images.cache.folders import Marker, StoreFolder
from eosin.images.cache.index import StoreSettings

_HINT = "Was the cache cleared or damaged meanwhile? Run it again: what is missing is read anew"


class ImageStore:
    """Images of a store when it was opened; rows added later are not seen.

    Threads may share one; a forked process may go on using it; pickled, it opens the file again.

    Args:
        folder: The store.
        token: Names the file of the rows.
        n_rows: Number of visible rows.
        settings: Shape and dtype of an image.

    Attributes:
        shape: N, H, W, C.
        dtype: ``uint8`` or ``uint16``.

    Raises:
        ArtifactError: The rows are not there.
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
        """Copy rows.

        Args:
            rows: Shape (B,), 0 … N − 1, in any order, repeats allowed.

        Returns:
            Shape (B, H, W, C), of the store's dtype.

        Raises:
            ArtifactError: The file is shorter than it was, or cannot be read.
            IndexError: A row is out of range.
            ValueError: The store is closed.
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
        """Fill ``target`` with the file's bytes from ``start`` on."""
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
