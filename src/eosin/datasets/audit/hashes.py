"""Hashes of files and of their decoded pixels, each file read once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from eosin.core.errors import ImageError
from eosin.core.files import sha256_file
from eosin.core.progress import Advance
from eosin.core.types import Samples
from eosin.inference.decode import decode_image

#: Hashing and decoding release the interpreter's lock.
_THREADS = 2


@dataclass(frozen=True)
class FileHash:
    """One file.

    Attributes:
        content: SHA-256 of its bytes.
        pixels: SHA-256 of its shape and decoded 8-bit RGB pixels; nothing where it does not
            decode, or holds many images.
    """

    content: str
    pixels: str | None


@dataclass(frozen=True)
class FileHashes:
    """Hashes by the file that a ``path`` cell names (without ``#index``); absent files have none.

    Attributes:
        files: From file to hashes.
    """

    files: dict[str, FileHash] = field(default_factory=dict)

    def of_file(self, path: str) -> FileHash | None:
        """Return the hashes of the file that holds ``path``, be it a container or an image."""
        return self.files.get(path.partition("#")[0])

    def of_image(self, path: str) -> FileHash | None:
        """Return the hashes of a readable image; nothing for images inside containers."""
        found = None if "#" in path else self.files.get(path)
        return found if found is not None and found.pixels is not None else None


def hash_files(
    samples: Samples, *, known: FileHashes | None = None, progress: Advance | None = None
) -> FileHashes:
    """Hash every file of a table once.

    Files that cannot be read get no hash of pixels, absent files none at all: other checks tell
    of them.

    Args:
        samples: The table.
        known: Hashes of an earlier call for the same root; their files are not read again.
        progress: Told how many files are done.

    Returns:
        The hashes of all files, the known ones included.
    """
    files = dict(known.files) if known is not None else {}
    todo = _new_files(samples.frame["path"], files)

    def hash_one(name: str) -> FileHash | None:
        return _hash_file(samples.root / name, decode=todo[name])

    with ThreadPoolExecutor(_THREADS) as pool:
        for done, (name, result) in enumerate(
            zip(todo, pool.map(hash_one, todo), strict=True), start=1
        ):
            if result is not None:
                files[name] = result
            if progress is not None:
                progress(done, len(todo))
    return FileHashes(files)


def _new_files(cells: Iterable[str], known: dict[str, FileHash]) -> dict[str, bool]:
    """Return the files that are still to be read, and whether each is a single image."""
    found: dict[str, bool] = {}
    for cell in cells:
        name, hash_mark, _ = cell.partition("#")
        if name not in known:
            found[name] = not hash_mark
    return found


def _hash_file(path: Path, *, decode: bool) -> FileHash | None:
    try:
        content = sha256_file(path)
    except OSError:
        return None
    return FileHash(content=content, pixels=_hash_pixels(path) if decode else None)


def _hash_pixels(path: Path) -> str | None:
    try:
        image = decode_image(path)  # (H, W, 3)
    except ImageError:
        return None
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def fingerprint(samples: Samples, hashes: FileHashes | None = None) -> str:
    """Return a SHA-256 over paths, labels, groups and files, whatever the order of the rows.

    Args:
        samples: The table.
        hashes: Of its files; without them only the table's own text counts.
    """
    digest = hashlib.sha256()
    columns = (samples.frame[name] for name in ("path", "label", "group"))
    for row in sorted(zip(*columns, strict=True)):
        found = hashes.of_file(row[0]) if hashes is not None else None
        cells = (*row, found.content if found is not None else "")
        # Lengths keep ("ab", "c") and ("a", "bc") apart.
        digest.update("".join(f"{len(cell)}:{cell}" for cell in cells).encode())
    return digest.hexdigest()
