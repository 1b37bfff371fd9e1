"""Command ``report``: page and model card of a run, written again from its folder alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eosin.artifacts.layout import AS_PUBLISHED, STRICT
from eosin.artifacts.pseudonyms import load_pseudonyms
from eosin.core.errors import UsageError
from eosin.core.files import check_output
from eosin.experiment.environment import default_output
from eosin.privacy.release import release
from eosin.reporting import write_protocols_page, write_report


def report(
    run: Path | str,
    *,
    pseudonymise: bool = False,
    output: Path | str | None = None,
) -> Path:
    """Write ``report.html``, its figures and the model card.

    Args:
        run: Run folder, or folder of the two protocols ``strict`` and ``as-published``.
        pseudonymise: Leave the folder unchanged and write a copy for use elsewhere: with pseudonyms
            for patients, groups and paths, and without checkpoints.
        output: New or empty folder for the copy; ``runs/report-<UTC time>`` by default.

    Returns:
        The page.

    Raises:
        ArtifactError: ``run`` is no run folder.
        UsageError: ``output`` is given without ``pseudonymise``.
    """
    folder = Path(run)
    if pseudonymise:
        copy = Path(output or default_output("report"))
        return release(folder, copy, load_pseudonyms(), report)
    if output is not None:
        raise UsageError(
            "the report of a run is written into the run folder",
            hint="To write a copy without names into another folder, add --pseudonymise",
        )
    if (folder / STRICT).is_dir() and (folder / AS_PUBLISHED).is_dir():
        for name in (STRICT, AS_PUBLISHED):
            write_report(folder / name)
        return write_protocols_page(folder)
    return write_report(folder)


@contextmanager
def leaving(output: Path) -> Iterator[Path]:
    """Yield a temporary folder; on exit its pseudonymised copy is written to ``output``.

    Raises:
        OutputError: It cannot be written, or would still hold an identifier.
    """
    check_output(output)
    pseudonyms = load_pseudonyms()
    with tempfile.TemporaryDirectory() as private:
        folder = Path(private) / output.name
        yield folder
        release(folder, output, pseudonyms, report)
