"""Containers: images inside one HDF5 or idx file, the ``file#index`` of a manifest.

A few opened files, with what was inflated of them, are kept for the next read; a file that has
changed since is opened anew. One that cannot be read is remembered with its reason, so that a
table of 60,000 images in one broken file does not inflate it 60,000 times. Reading is safe from
several threads, and in a process that is forked while others read.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Protocol

from eosin.core.errors import ImageError
from eosin.core.files import check_file
from eosin.core.types import CONTAINER_SUFFIXES, MOST_INDEX, IntArray, Pixels, is_container
from eosin.images.failures import reserve_memory
from eosin.images.hdf5 import Hdf5Images, read_hdf5_labels
from eosin.images.idx import IdxImages, read_idx_labels

_HDF5_SUFFIXES = (".h5", ".hdf5")
_MAX_KEPT = 8
_MAX_KEPT_BYTES = 512 * 1024**2
#: Values of an image from which on its memory is reserved before it is read.
_LARGE = 1_000_000


class _Images(Protocol):
    shape: tuple[int, ...]

    @property
    def kept_bytes(self) -> int: ...

    def read(self, index: int) -> Pixels: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class _Kept:
    """State of a file when it was opened: its images, or the reason for none."""

    size: int
    mtime_ns: int
    images: _Images | ImageError

    @property
    def kept_bytes(self) -> int:
        return 0 if isinstance(self.images, ImageError) else self.images.kept_bytes


class OpenedFiles:
    """Cache of recently read files; all but the newest take at most ``most_bytes``."""

    def __init__(self, most_bytes: int = _MAX_KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self.lock = RLock()
        self._files: OrderedDict[Path, _Kept] = OrderedDict()

    def __contains__(self, path: Path) -> bool:
        return path in self._files

    def get(self, path: Path) -> _Images:
        """Return the images of a file; the lock must be held."""
        state = _look(path)
        kept = self._files.get(path)
        if kept is None or (kept.size, kept.mtime_ns) != (state.st_size, state.st_mtime_ns):
            self.drop(path)
            if not _is_hdf5(path):  # unpacked as soon as it is opened
                self.shrink(keep=0, most_bytes=self._most_bytes // 4)
            kept = _Kept(state.st_size, state.st_mtime_ns, _open(path))
            self._files[path] = kept
            self.shrink()
        self._files.move_to_end(path)
        if isinstance(kept.images, ImageError):
            # A new one each time: a raised error keeps the frames that it passed through.
            raise ImageError(kept.images.message, hint=kept.images.hint)
        return kept.images

    def shrink(self, keep: int = 1, most_bytes: int | None = None) -> None:
        """Close the least recently read files, but for the newest ``keep``."""
        most_bytes = self._most_bytes if most_bytes is None else most_bytes
        while len(self._files) > keep and (
            len(self._files) > _MAX_KEPT or self._kept_bytes() > most_bytes
        ):
            self.drop(next(iter(self._files)))

    def _kept_bytes(self) -> int:
        return sum(kept.kept_bytes for kept in self._files.values())

    def drop(self, path: Path) -> None:
        """Close a file, if it is open."""
        kept = self._files.pop(path, None)
        if kept is not None and not isinstance(kept.images, ImageError):
            kept.images.close()


_opened = OpenedFiles()


def count_items(path: Path) -> int:
    """Count the images of an HDF5 or idx file, which is not kept open.

    Raises ImageError if it is absent, damaged, or contains no images.
    """
    with _opened.lock:
        held = path in _opened
        try:
            count = _opened.get(path).shape[0]
        except MemoryError:
            raise _short_of_memory(path) from None
        if not held:
            # No read is running: an HDF5 file that is held open cannot be written anew.
            _opened.drop(path)
        return count


def read_item(path: Path, index: int) -> Pixels:
    """Read the image ``index``, from 0, of an HDF5 or idx file.

    Returns uint8 or uint16, shape (H, W) or (H, W, C); a copy, contiguous. Raises ImageError if the
    file is absent, damaged or contains no images, or not so many.
    """
    try:
        with _opened.lock:
            images = _opened.get(path)
            count, *sides = images.shape
            if not 0 <= index < count:
                asked = index if index < MOST_INDEX else f"{MOST_INDEX} or more"
                raise ImageError(f"{path} contains {count} images and has no index {asked}")
            if math.prod(sides) < _LARGE:
                return images.read(index)
        # Outside the lock: another thread may wait for the lock while this one waits for memory.
        reserve_memory(4 * math.prod(sides))
        with _opened.lock:
            return _opened.get(path).read(index)
    except MemoryError:
        raise _short_of_memory(path) from None


def read_labels(path: Path) -> IntArray:
    """Read the labels of an HDF5 or idx file, one an image: shape (N,), int64.

    Raises ImageError if it is absent, damaged, or holds something else.
    """
    with _opened.lock:
        _check_known(path)
        try:
            return read_hdf5_labels(path) if _is_hdf5(path) else read_idx_labels(path)
        except MemoryError:
            raise _short_of_memory(path) from None


def _short_of_memory(path: Path) -> ImageError:
    """Close a file, and return its failure, which may not occur again."""
    _opened.drop(path)
    return ImageError(f"{path} needs more memory than is free")


def _is_hdf5(path: Path) -> bool:
    return path.name.lower().endswith(_HDF5_SUFFIXES)


def _check_known(path: Path) -> None:
    if not is_container(path):
        raise ImageError(
            f"{path} is not a file of many images",
            hint=f"Names of such files end in {', '.join(sorted(CONTAINER_SUFFIXES))}",
        )
    try:
        check_file(path)
    except OSError as error:
        raise _explain(path, error) from error


def _look(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: OSError | ValueError) -> ImageError:
    """Return an operating system's error on a file as an ImageError."""
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{path} does not exist")
    # Otherwise a NUL, or a surrogate that stands for no byte.
    reason = error.strerror if isinstance(error, OSError) else "it is not a valid file name"
    return ImageError(f"{path} cannot be read: {reason}")


def _open(path: Path) -> _Images | ImageError:
    try:
        _check_known(path)
        return Hdf5Images(path) if _is_hdf5(path) else IdxImages(path)
    except ImageError as error:
        return error


def _forget() -> None:
    """Start anew in a forked process, which must not read from its parent's files."""
    global _inherited, _opened
    _inherited, _opened = _opened, OpenedFiles()


# Kept, never closed, in a forked process: closing would act upon the parent's files.
_inherited: OpenedFiles | None = None

if hasattr(os, "register_at_fork"):
    # No thread is inside HDF5 while a process forks, so its lock is not inherited held. h5py has
    # such a hook, too, and must be imported before: the last that was registered is called first,
    # and a thread that reads takes this lock before h5py's.
    os.register_at_fork(
        before=lambda: _opened.lock.acquire(),
        after_in_parent=lambda: _opened.lock.release(),
        after_in_child=_forget,
    )
