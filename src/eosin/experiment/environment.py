"""Environment record of a run: packages, machine, commit, times."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from eosin.artifacts.run import Environment
from eosin.core.files import open_file

PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "pillow",
    "torch",
    "torchvision",
    "timm",
    "imbalanced-learn",
    "onnx",
    "onnxruntime",
    "matplotlib",
)


def version_of(package: str) -> str | None:
    """Return a package's installed version, or ``None``."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def package_versions() -> dict[str, str]:
    """Return the versions of the installed packages that affect results."""
    found = {name: version_of(name) for name in PACKAGES}
    return {name: version for name, version in found.items() if version is not None}


def describe(*, seconds: dict[str, float], **shown: Any) -> Environment:
    """Collect the contents of ``environment.json``."""
    return Environment(
        eosin=version_of("eosin") or "unknown",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        packages=package_versions(),
        git=read_commit(Path()),
        seconds={stage: round(value, 2) for stage, value in seconds.items()},
        **shown,
    )


def default_output(name: str) -> Path:
    """Return ``runs/<name>-<UTC time>``, with a number behind it if that was taken this second."""
    first = Path("runs") / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    others = (first.with_name(f"{first.name}-{number}") for number in count(2))
    return next(path for path in chain([first], others) if not path.exists())


def read_commit(folder: Path) -> str | None:
    """Return the commit at HEAD of the git working tree that contains a folder.

    Only files are read: running git could run programs named in the configuration of a
    repository that may be someone else's. Uncommitted changes therefore stay unknown.

    Returns:
        The first 12 hexadecimal digits; empty without a working tree or a commit.
    """
    try:
        top = folder.absolute()
    except OSError:  # the working folder was removed
        return None
    for place in (top, *top.parents):
        own = _find_repository(place / ".git")
        head = _read_text(own / "HEAD") if own is not None else None
        if own is not None and head is not None:
            found = _resolve(head, (own, *_find_common(own)))
            return found[:12] if found else None
    return None


#: Most bytes read of a repository's files; of ``packed-refs``, some 500,000 references.
_MOST_BYTES, _MOST_PACKED = 4096, 32 << 20
#: Greatest depth of references to references, as in git.
_MOST_LINKS = 5
_COMMIT = re.compile("[0-9a-f]{40}(?:[0-9a-f]{24})?")


def _find_repository(marker: Path) -> Path | None:
    """Return the repository of ``.git``: itself, or its target in a worktree or submodule."""
    text = _read_text(marker)
    if text is None:
        return marker  # a folder; if absent, it has no HEAD either
    named = text.partition("gitdir: ")[2]
    return marker.parent / named if named else None


def _find_common(repository: Path) -> list[Path]:
    """Return the repository whose references a worktree shares, if this is a worktree."""
    named = _read_text(repository / "commondir")
    return [repository / named] if named else []


def _resolve(text: str, repositories: Sequence[Path]) -> str | None:
    """Resolve a reference to a commit, through files, then ``packed-refs``."""
    for _ in range(_MOST_LINKS):
        if _COMMIT.fullmatch(text):
            return text
        name = text.removeprefix("ref: ").strip()
        if name == text or not name.startswith("refs/") or ".." in name:
            return None
        loose = (_read_text(place / name) for place in repositories)
        found = next((ref for ref in loose if ref is not None), None)
        if found is None:
            return _find_packed(name, repositories)
        text = found
    return None


def _find_packed(name: str, repositories: Sequence[Path]) -> str | None:
    for place in repositories:
        for line in (_read_text(place / "packed-refs", _MOST_PACKED) or "").splitlines():
            commit, _, packed = line.partition(" ")
            if packed == name and _COMMIT.fullmatch(commit):
                return commit
    return None


def _read_text(path: Path, most: int = _MOST_BYTES) -> str | None:
    """Return a file's stripped text; empty if it is no such file."""
    try:
        with open_file(path) as stream:
            return os.fsdecode(stream.read(most)).strip()
    except OSError:
        return None
