"""Command ``explain``: evidence maps of predictions, as overlays and as numbers."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.explanations import ExplanationRecord
from eosin.artifacts.layout import ExplanationFolder, ModelFolder
from eosin.artifacts.manifest import write_table
from eosin.artifacts.versioned import write_document
from eosin.commands.load import Chunk, Model, list_cells, none_readable, read_chunks, tabulate
from eosin.core.display import Shown
from eosin.core.errors import UnknownNameError, close_matches, end_with
from eosin.core.files import check_output, prepare_output, sha256_file, write_bytes
from eosin.core.progress import progress_bar
from eosin.core.text import printable, quantity
from eosin.core.types import FloatArray, Image, Samples
from eosin.experiment.environment import default_output
from eosin.explanation.evidence import Evidence, Explainer, log_odds
from eosin.explanation.methods import open_explainer
from eosin.images.preprocess import to_thumbnail
from eosin.images.references import ImageList, Skipped, write_skipped
from eosin.inference.classifier import Classifier
from eosin.inference.given import Given, Images, list_given
from eosin.privacy.identifiers import Identifiers
from eosin.privacy.pseudonymise import hide_document, hide_skipped, hide_table, know_samples
from eosin.reporting.formatting import data_uri, shorten
from eosin.reporting.outline import Tile
from eosin.reporting.overlays import draw_overlay
from eosin.reporting.rendering import write_page
from eosin.reporting.sections.explanations import describe_prediction, explanations_page

#: Images in memory at a time, and overlays on the page.
_CHUNK, _SHOWN = 32, 24
#: Characters of a file's name in those of its overlay and numbers.
_NAME_WIDTH = 60
#: Ending of an image file, before the index of an image inside it.
_ENDING = re.compile(r"\.\w+(?=$|#)")


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
    images: Images | Iterable[Images],
    *,
    method: str | None = None,
    target: str | None = None,
    output: Path | str | None = None,
    pseudonymise: bool = False,
    allow_skipped: bool = False,
) -> ExplanationResult:
    """Show which places of an image speak for a class, and which against it.

    Args:
        run_or_model: Model folder, or run folder with one.
        images: Paths and images in memory, as for :func:`eosin.load`'s ``predict``.
        method: ``cam``, ``gradcam``, ``integrated_gradients``, ``occlusion`` or ``rise``; by
            default ``cam`` where the network allows it, otherwise ``occlusion``.
        target: Class to explain; by default the decision for each image.
        output: New or empty folder; ``runs/explain-<UTC time>`` by default.
        pseudonymise: Replace paths by pseudonyms.
        allow_skipped: Return the result although files cannot be read.

    Raises:
        SkippedFilesError: Files cannot be read; all is written, and its ``result`` has the rest.
        ArtifactError: The model folder cannot be loaded, or a file in it fails its checksum.
        DataError: No image can be read.
        UsageError: The method does not fit the network, or the class is unknown.
        OutputError: The folder cannot be written.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    given = list_given(images)
    opened = Model(run_or_model)
    explainer = open_explainer(ModelFolder(opened.folder), opened.classifier, method)
    wanted = None if target is None else _find_class(target, opened.info.class_names)
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
        # A run's name may be that of a patient.
        members=[] if pseudonymise else [*explainer.members],
    )
    writer = _Writer(folder, record, opened.classifier, explainer, wanted, known)
    skipped = _explain_all(given, listed, units, writer)
    table = pd.DataFrame(writer.rows)
    if known is not None:
        table, skipped = hide_table(table, known), hide_skipped(skipped, known)
        record = hide_document(record, known)
    write_table(folder.table, table)
    write_skipped(folder.skipped, skipped)
    record = record.model_copy(
        update={
            "table": folder.table.name,
            "table_sha256": sha256_file(folder.table),
            "n_images": len(table),
            "n_skipped": len(skipped),
            "n_abstained": int(table["abstained"].sum()),
            "n_flat": int(table["flat"].sum()),
            "seconds": round(time.perf_counter() - clock, 3),
        }
    )
    write_document(folder.record, record)
    simulated = opened.info.simulated
    write_page(
        folder.page, explanations_page(record, table, writer.tiles, skipped, simulated=simulated)
    )
    result = ExplanationResult(folder.root, table, skipped, record)
    return end_with(result, len(skipped), [folder.skipped], allowed=allow_skipped)


def _find_class(name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        hint = close_matches(name, names) or f"Its classes are {', '.join(names)}"
        raise UnknownNameError(f"the model has no class {name!r}", hint=hint)
    return names.index(name)


def _know(listed: ImageList) -> Identifiers:
    """Return the identifiers of the listed images."""
    cells = [*listed.cells, *(path for path, _ in listed.skipped)]
    return know_samples(Samples(pd.DataFrame({"path": cells}, dtype=object), Path(), ()))


class _Writer:
    """Explains one image after the other, and writes each at once: only rows stay in memory."""

    def __init__(
        self,
        folder: ExplanationFolder,
        record: ExplanationRecord,
        classifier: Classifier,
        explainer: Explainer,
        target: int | None,
        known: Identifiers | None,
    ) -> None:
        self.rows: list[dict[str, Any]] = []
        self.tiles: list[Tile] = []
        self.classifier = classifier
        self._folder, self._record, self._explainer = folder, record, explainer
        self._target, self._known = target, known
        prepare_output(folder.root)

    def add_chunk(self, chunk: Chunk) -> Iterator[int]:
        """Explain the images of a chunk; yield how many are done after each."""
        logits = self.classifier.logits(chunk.done.images)
        rows = tabulate(self.classifier, chunk.cells, logits).to_dict("records")
        calibrated = logits / self.classifier.info.temperature
        for number, (cell, row) in enumerate(zip(chunk.cells, rows, strict=True)):
            self._add(cell, row, calibrated[number : number + 1], chunk.done.images[number])
            yield number + 1

    def _add(self, cell: str, row: dict[str, Any], logits: FloatArray, image: Image) -> None:
        names = self.classifier.info.class_names
        target = names.index(row["decision"]) if self._target is None else self._target
        evidence = self._explainer.explain(image, target)
        row |= {
            "explained": names[target],
            "log_odds": float(log_odds(logits, target)[0]),
            "for": max(0.0, float(evidence.map.max())),
            "against": min(0.0, float(evidence.map.min())),
            "flat": evidence.is_flat,
        }
        self.rows.append(row)
        shown = printable(cell) if self._known is None else self._known.cell("image", cell)
        stem = re.sub(r"[^\w.-]+", "_", _ENDING.sub("", PurePath(shown).name))[:_NAME_WIDTH]
        # Under pseudonyms a number would be the order of the names.
        file = row["file"] = f"{len(self.rows):05d}-{stem}" if self._known is None else stem
        row |= evidence.numbers
        arrays: dict[str, Any] = {"map": evidence.map, **evidence.parts, **evidence.numbers}
        if self._record.members:
            arrays["names"] = np.array(self._record.members)
        numbers = io.BytesIO()
        np.savez_compressed(numbers, **arrays)
        write_bytes(self._folder.numbers(file), numbers.getvalue(), durable=False)
        self._draw(shown, file, row, evidence, image)

    def _draw(
        self, shown: str, file: str, row: dict[str, Any], evidence: Evidence, image: Image
    ) -> None:
        picture = to_thumbnail(image, self.classifier.info.preprocessing)
        lines = (PurePath(shown).name, *describe_prediction(row, self._record))
        drawn = draw_overlay(picture, evidence.map, (lines[1], lines[0], *lines[2:]))
        stream = io.BytesIO()
        drawn.save(stream, "PNG")
        write_bytes(self._folder.overlay(file), stream.getvalue(), durable=False)
        if len(self.tiles) < _SHOWN:
            alt = f"Image {lines[0]} and its evidence map; {'; '.join(lines[1:])}"
            src = data_uri(stream.getvalue(), "png")
            title = shorten(lines[0], _NAME_WIDTH)
            self.tiles.append(Tile(src, drawn.width, drawn.height, alt, title, lines[1:]))


def _explain_all(given: Given, listed: ImageList, units: list[str], writer: _Writer) -> Skipped:
    """Explain the listed images one after the other; return those that cannot be read."""
    skipped, done = listed.skipped, 0
    with progress_bar("Explaining") as advance:
        preprocessing = writer.classifier.info.preprocessing
        for chunk in read_chunks(given, listed, units, preprocessing, _CHUNK):
            for n_more in writer.add_chunk(chunk):
                advance(done + n_more, len(listed.cells))
            skipped += chunk.skipped
            done = chunk.n_done
    if not writer.rows:
        raise none_readable(given, skipped)
    return [(printable(cell), reason) for cell, reason in skipped]


def format_explanations(result: ExplanationResult) -> tuple[str, list[str]]:
    """Return the terminal output: the page, and what was done."""
    folder, record = ExplanationFolder(result.folder), result.record
    notes = [
        f"{record.method}: {record.settings}",
        f"{quantity(len(result.table), 'image')} explained, {record.n_flat} with a flat map",
    ]
    return f"report {folder.page}", notes
