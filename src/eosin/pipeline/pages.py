"""The verb ``report``: a run's page, made again from its folder alone."""

from __future__ import annotations

from pathlib import Path

from eosin.artifacts.layout import AS_PUBLISHED, STRICT
from eosin.reporting import write_protocols_page, write_report


def report(run: Path | str) -> Path:
    """Write ``report.html`` and its figures.

    Args:
        run: A run folder, or a folder with the two protocols ``strict`` and ``as-published``.

    Returns:
        The page.

    Raises:
        ArtifactError: It is no run folder.
    """
    folder = Path(run)
    if (folder / STRICT).is_dir() and (folder / AS_PUBLISHED).is_dir():
        for name in (STRICT, AS_PUBLISHED):
            write_report(folder / name)
        return write_protocols_page(folder)
    return write_report(folder)
