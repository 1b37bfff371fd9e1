"""Hashes of files and of their decoded pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from eosin.core.errors import ImageError
from eosin.core.files import sha256_file
from eosin.core.progress import progress_bar
from eosin.core.threads import map_threads
from eosin.core.types import ImageReference, Pixels, Samples, parts_of
from eosin.images.failures import isolated
from eosin.images.limits import Limits, read_limits
from eosin.images.planes import decode_any

#: Bytes of a file over those of an image, above which it is not hashed: a slide.
_FILE_PER_IMAGE = 8


@dataclass(frozen=True)
class FileHash:
    """Hashes of one image."""

    #: SHA-256 of its file's bytes, be it the image's own or a container; None without a file.
    content: str | None
    pixels: str | None  # SHA-256 of its shape and decoded pixels; None if it does not decode
    reason: str | None = None  # why it does not decode


@dataclass(frozen=True)
class FileHashes:
    """Hashes by image reference."""

    files: dict[str, FileHash] = field(default_factory=dict)  # from image reference to hashes

    def of_file(self, path: str) -> FileHash | None:
        """Return the hashes of a reference; of an image inside a container, with the container's.

        Of a magnification stack, one ``content`` for all its files.
        """
        parts = parts_of(path)
        if len(parts) == 1:
            return self.files.get(path)
        found = [self.files.get(part) for part in parts]
        contents = repr([one and one.content for one in found])
        return FileHash(hashlib.sha256(contents.encode()).hexdigest(), None)

    def of_image(self, path: str) -> FileHash | None:
        """Return the hashes of a readable image; ``content`` differs between images of a file."""
        found = self.files.get(path)
        if found is None or found.pixels is None:
            return None
        inside = ImageReference("", ImageReference.parse(path).digits)
        return replace(found, content=f"{found.content}{inside}")

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """``(path, reason)`` of the images that do not decode."""
        return [(cell, f.reason) for cell, f in self.files.items() if f.reason is not None]


def hash_files(
    samples: Samples, *, look: Callable[[str, Pixels], None] | None = None
) -> FileHashes:
    """Read, hash and decode every image of a table once.

    ``look`` is called with the reference and pixels of each decoded image, on one of several
    threads. Unreadable images have a reason.
    """
    files: dict[str, FileHash] = {}
    todo = samples.image_cells
    containers: dict[Path, str | None] = {}
    limits = read_limits()

    def hash_one(cell: str) -> FileHash:
        content = pixels = None
        try:
            with isolated(cell):
                path, index = samples.locate(cell)
                if index is None:
                    content = _hash_content(path, limits)
                elif path not in containers:
                    containers[path] = _hash_content(path)
                content = content if index is None else containers[path]
                image = decode_any(path, index)
                if look is not None:
                    look(cell, image)
                pixels = hash_pixels(image)
        except ImageError as error:
            return FileHash(content, None, str(error))
        return FileHash(content, pixels)

    results = zip(todo, map_threads(hash_one, todo), strict=True)
    with progress_bar("Reading images", estimate="Reading {total} images") as advance:
        for done, (cell, result) in enumerate(results, start=1):
            files[cell] = result
            advance(done, len(todo))
    return FileHashes(files)


def _hash_content(path: Path, limits: Limits | None = None) -> str | None:
    """Return the hash of a file's bytes; None for one that is too large for an image."""
    try:
        if limits is not None and path.stat().st_size > _FILE_PER_IMAGE * limits.max_bytes:
            return None
        return sha256_file(path)
    except (OSError, ValueError):
        return None


def hash_pixels(image: Pixels) -> str:
    """Return the SHA-256 of an image's shape and values."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def fingerprint(samples: Samples, hashes: FileHashes | None = None) -> str:
    """Return a SHA-256 over paths, labels, groups and file hashes, whatever the row order."""
    digest = hashlib.sha256()
    columns = (samples.frame[name] for name in ("path", "label", "group"))
    for row in sorted(zip(*columns, strict=True)):
        found = hashes.of_file(row[0]) if hashes is not None else None
        cells = (*row, (found.content if found is not None else None) or "")
        # Lengths keep ("ab", "c") and ("a", "bc") apart.
        digest.update("".join(f"{len(cell)}:{cell}" for cell in cells).encode())
    return digest.hexdigest()
