"""Command ``explain``: evidence maps of predictions, as overlays and as numbers."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts.explanation_checks import ExplanationChecks
from eosin.artifacts.explanations import ExplanationRecord
from eosin.artifacts.layout import ExplanationFolder, ModelFolder
from eosin.artifacts.manifest import write_table
from eosin.artifacts.predictions import Tally
from eosin.artifacts.versioned import write_document
from eosin.commands.explanation_writer import ExplanationWriter
from eosin.commands.listed import list_cells, map_chunks, none_readable
from eosin.commands.load import Model
from eosin.commands.subjects import choose_subjects
from eosin.core.display import Shown
from eosin.core.errors import UnknownNameError, close_matches, end_with
from eosin.core.files import check_output, sha256_file
from eosin.core.progress import LEAST_LOGGED_S, progress_bar
from eosin.core.text import approximate_time, printable, quantity
from eosin.core.types import Samples
from eosin.experiment.environment import default_output
from eosin.explanation.feature_maps import FeatureMaps
from eosin.explanation.methods import open_explainer
from eosin.images.references import ImageList, Skipped, write_skipped
from eosin.inference.given import Given, Images
from eosin.privacy.identifiers import Identifiers
from eosin.privacy.pseudonymise import hide_document, hide_skipped, hide_table, know_samples
from eosin.reporting.rendering import write_page
from eosin.reporting.sections.explanations import describe_checks, explanations_page

_LOG = logging.getLogger(__name__)

#: Images in memory at a time; images after which the time for the rest is logged.
_TIMED = 2


@dataclass(frozen=True, repr=False)
class ExplanationResult(Shown):
    """Result of ``explain``.

    Attributes:
        folder: Folder with ``explanations.csv``, ``overlays``, ``maps`` and ``report.html``.
        table: A pandas table: the prediction, the ``explained`` class, its ``log_odds``, the
            largest evidence ``for`` and ``against`` it, whether the map is ``flat``, and the name
            of the ``file`` in both folders (under pseudonyms that of the image).
        skipped: ``(path, reason)`` of unreadable files.
        record: Model, method, settings, counts and time.
    """

    folder: Path
    table: Any
    skipped: Skipped
    record: ExplanationRecord

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        return {
            "folder": self.folder,
            "method": self.record.method,
            "images": len(self.table),
            "flat maps": self.record.n_flat,
            "skipped": len(self.skipped),
        }


def explain(
    run_or_model: Path | str,
    images: Images | Iterable[Images] | None = None,
    *,
    method: str | None = None,
    target: str | None = None,
    masks: int | None = None,
    feature_maps: bool = False,
    output: Path | str | None = None,
    pseudonymise: bool = False,
    allow_skipped: bool = False,
) -> ExplanationResult:
    """Show which places of an image speak for a class, and which against it.

    Args:
        run_or_model: Model folder, or run folder with one.
        images: Paths and images in memory, as for :func:`eosin.load`'s ``predict``; by default the
            most confident wrong and right decisions of the run's own test images. Where a table has
            a column ``label``, or folders are classes, the result marks right and wrong decisions.
        method: ``cam``, ``gradcam``, ``integrated_gradients``, ``occlusion`` or ``rise``; by
            default ``cam`` where the network allows it, otherwise ``occlusion``.
        target: Class to explain; by default the decision for each image.
        masks: Random masks of ``rise``; 500 by default.
        feature_maps: Draw the feature maps of each image, layer by layer, too.
        output: New or empty folder; ``runs/explain-<UTC time>`` by default.
        pseudonymise: Replace paths by pseudonyms.
        allow_skipped: Return the result although files cannot be read.

    Raises:
        SkippedFilesError: Files cannot be read; all is written, and its ``result`` has the rest.
        ArtifactError: The model folder cannot be loaded, or a file in it fails its checksum.
        DataError: No image can be read.
        UsageError: The method does not fit the network, the class is unknown, or no image was
            given and the run has none.
        MissingPartError: The method needs PyTorch, which is not installed.
        OutputError: The folder cannot be written.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    opened = Model(run_or_model)
    place = ModelFolder(opened.folder)
    explainer = open_explainer(place, opened.classifier, method, n_masks=masks)
    layers = FeatureMaps(place, opened.info) if feature_maps else None
    wanted = None if target is None else _find_class(target, opened.info.class_names)
    subjects = choose_subjects(Path(run_or_model), images, opened.info)
    given = subjects.given
    listed, units = list_cells(given, opened.info)
    folder = ExplanationFolder(Path(output or default_output("explain")))
    check_output(folder.root)
    known = _know(listed) if pseudonymise else None
    record = ExplanationRecord(
        **{
            **dict(opened.record),
            "started": started.isoformat(timespec="seconds"),
            "inputs": None if pseudonymise else given.names,
        },
        method=explainer.method,
        settings=explainer.settings,
        n_masks=explainer.n_masks,
        n_flat=0,
        chosen=subjects.rule,
        layers=[] if layers is None else layers.names,
        # A run's name may be that of a patient.
        members=[] if pseudonymise else [*explainer.members],
        checks=_find_checks(opened, explainer.method),
    )
    writer = ExplanationWriter(
        folder,
        record,
        opened.classifier,
        explainer,
        subjects,
        target=wanted,
        layers=layers,
        known=known,
    )
    skipped = _explain_all(given, listed, units, writer)
    table = pd.DataFrame(writer.rows)
    if known is not None:
        table, skipped = hide_table(table, known), hide_skipped(skipped, known)
        record = hide_document(record, known)
    write_table(folder.table, table)
    write_skipped(folder.skipped, skipped)
    tally = Tally()
    tally.add(table)
    record = record.model_copy(
        update={
            "table": folder.table.name,
            "table_sha256": sha256_file(folder.table),
            **tally.counts(),
            "n_skipped": len(skipped),
            "n_flat": int(table["flat"].sum()),
            "seconds": round(time.perf_counter() - clock, 3),
        }
    )
    write_document(folder.record, record)
    simulated = opened.info.simulated
    write_page(
        folder.page, explanations_page(record, table, writer.pictures, skipped, simulated=simulated)
    )
    result = ExplanationResult(folder.root, table, skipped, record)
    return end_with(result, len(skipped), [folder.skipped], allowed=allow_skipped)


def _find_checks(opened: Model, method: str) -> ExplanationChecks | None:
    """Return the checks of a method on a model, if the model has some of this method."""
    checks = opened.info.explanation
    return checks if checks is not None and checks.method == method else None


def _find_class(name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        hint = close_matches(name, names) or f"Its classes are {', '.join(names)}"
        raise UnknownNameError(f"the model has no class {name!r}", hint=hint)
    return names.index(name)


def _know(listed: ImageList) -> Identifiers:
    """Return the identifiers of the listed images."""
    cells = [*listed.cells, *(path for path, _ in listed.skipped)]
    return know_samples(Samples(pd.DataFrame({"path": cells}, dtype=object), Path(), ()))


def _explain_all(
    given: Given, listed: ImageList, units: list[str], writer: ExplanationWriter
) -> Skipped:
    """Explain the listed images one after the other; return those that cannot be read."""
    skipped, done, n = listed.skipped, 0, len(listed.cells)
    with progress_bar("Explaining") as advance:
        preprocessing = writer.classifier.info.preprocessing
        for chunk in map_chunks(lambda chunk: chunk, given, listed, units, preprocessing):
            clock = time.monotonic()
            for n_more in writer.add_chunk(chunk):
                advance(done + n_more, n)
                if done + n_more == _TIMED:
                    _log_time((time.monotonic() - clock) / n_more, n - _TIMED)
            skipped += chunk.skipped
            done = chunk.n_done
    if not writer.rows:
        raise none_readable(given, skipped)
    return [(printable(cell), reason) for cell, reason in skipped]


def _log_time(seconds_per_image: float, n_left: int) -> None:
    if (seconds := seconds_per_image * n_left) >= LEAST_LOGGED_S:
        left = quantity(n_left, "more image")
        _LOG.info(f"Explaining {left}: about {approximate_time(seconds)}")


def format_explanations(result: ExplanationResult) -> tuple[str, list[str]]:
    """Return the terminal output: the page, and what was done."""
    folder, record = ExplanationFolder(result.folder), result.record
    table = result.table
    done = f"{quantity(len(table), 'image')} explained, {record.n_flat} with a flat map"
    if "correct" in table:
        n_wrong = int((table["correct"] == False).sum())  # noqa: E712 - or empty without a label
        done += f"; {n_wrong} decided wrongly"
    notes = [
        f"{record.method}: {record.settings}",
        done,
        "checks of this method on this model:",
        *(f"  {name}: {text}" for name, text in describe_checks(record)),
    ]
    if record.chosen:
        notes.insert(0, f"images: {record.chosen}")
    return f"report {folder.page}", notes
