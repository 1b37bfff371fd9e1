"""Signatures of files that bear an image's name and are something else."""

from __future__ import annotations

from pathlib import Path

from eosin.core.files import open_file

_HEIC = frozenset({b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"})
_HEAD_BYTES = 512


def describe_foreign(path: Path) -> str:
    """Return what a file is by its first bytes, as the end of a sentence; empty if unknown."""
    with open_file(path) as stream:
        head = stream.read(_HEAD_BYTES)
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS; `git lfs pull` fetches the file"
    if head.lstrip()[:1] == b"<":
        return "is a web page or XML, not an image file; download it again"
    if head.startswith(b"\x1f\x8b"):
        return "is packed with gzip; unpack it"
    if head.startswith(b"PK\x03\x04"):
        return "is a ZIP archive; unpack it"
    if head[4:12] in _HEIC:
        return "is a HEIC or AVIF image, which is not read; save it as PNG or TIFF"
    return ""
