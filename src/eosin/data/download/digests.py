"""Sums over files and folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

from eosin.core.files import hash_file
from eosin.core.progress import Advance


def hash_tree(root: Path, advance: Advance | None = None) -> tuple[str, int, int]:
    """Return one SHA-256 over the names and contents of all files, their number and bytes.

    Args:
        root: A file or a folder.
        advance: Told how many bytes are done and how many there are.
    """
    if root.is_file():
        size = root.stat().st_size
        return hash_file(root, "sha256", advance), 1, size
    files = sorted(path for path in root.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    total, done = sum(sizes), 0
    digest = hashlib.sha256()
    for path, size in zip(files, sizes, strict=True):
        line = f"{hash_file(path, 'sha256')}  {path.relative_to(root).as_posix()}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
        done += size
        if advance is not None:
            advance(done, total)
    return digest.hexdigest(), len(files), total
