"""What a run notes of the circumstances under which it was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eosin.artifacts.run import Environment
from eosin.recipe.schema import Recipe

if TYPE_CHECKING:  # preparation imports torch, which `evaluate` and `predict` do without
    from eosin.pipeline.preparation import Prepared

PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "pillow",
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "imbalanced-learn",
    "onnx",
    "onnxruntime",
    "matplotlib",
)


def version_of(package: str) -> str | None:
    """Return an installed package's version, or ``None``."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def package_versions() -> dict[str, str]:
    """Return the version of each package that computes something and is there."""
    found = {name: version_of(name) for name in PACKAGES}
    return {name: version for name, version in found.items() if version is not None}


def describe_run(
    recipe: Recipe,
    prepared: Prepared,
    *,
    command: str,
    device: str,
    precision: str,
    seconds: dict[str, float],
) -> Environment:
    """Collect the contents of ``environment.json`` of a training."""
    return describe(
        command=command,
        device=device,
        precision=precision,
        seed=recipe.seed,
        data_root=str(prepared.samples.root),
        data_fingerprint=prepared.fingerprint,
        dataset=prepared.facts,
        seconds=seconds,
    )


def describe(*, seconds: dict[str, float], **told: Any) -> Environment:
    """Collect the contents of ``environment.json``.

    Args:
        seconds: Wall time of each stage.
        told: What the machine does not tell: command, device, precision, seed, data.
    """
    return Environment(
        eosin=version_of("eosin") or "unknown",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        packages=package_versions(),
        git=_git_commit(),
        seconds={stage: round(value, 2) for stage, value in seconds.items()},
        **told,
    )


def default_output(name: str) -> Path:
    """Return ``runs/<name>-<UTC time>``."""
    return Path("runs") / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def _git_commit() -> str | None:
    commit = _git("rev-parse", "--short=12", "HEAD")
    if commit is None:
        return None
    return f"{commit}+changes" if _git("status", "--porcelain") else commit


def _git(*arguments: str) -> Any:
    try:
        done = subprocess.run(  # noqa: S603 -- fixed arguments, no shell
            # Without its locks: a training writes nothing into the user's own repository.
            ["git", "--no-optional-locks", *arguments],  # noqa: S607 -- whichever git the user has
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
