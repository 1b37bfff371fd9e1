"""Files of explained images, written one after the other: only rows of the table stay in memory."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from eosin.artifacts.explanations import ExplanationRecord
from eosin.artifacts.layout import ExplanationFolder
from eosin.commands.listed import Chunk
from eosin.commands.load import tabulate
from eosin.commands.subjects import Subjects
from eosin.core.files import prepare_output, write_bytes
from eosin.core.text import printable
from eosin.core.types import FloatArray, Image
from eosin.explanation.evidence import Evidence, Explainer, log_odds
from eosin.explanation.feature_maps import FeatureMaps
from eosin.images.preprocess import to_thumbnail
from eosin.inference.classifier import Classifier
from eosin.privacy.identifiers import Identifiers
from eosin.reporting.feature_grids import draw_feature_maps
from eosin.reporting.formatting import data_uri, shorten
from eosin.reporting.outline import Tile
from eosin.reporting.overlays import draw_overlay
from eosin.reporting.sections.explanations import Pictures, describe_prediction, group_of

#: Overlays on the page, of labelled images half of them wrong; of these, with feature maps.
_SHOWN, _WITH_MAPS = 24, 2
#: Characters of a file's name in those of its overlay and numbers.
_NAME_WIDTH = 60
#: Effort of PNG's compression: the default takes three times as long to save an eighth, which with
#: CAM and Grad-CAM is most of an image's time.
_EFFORT = 2
#: Ending of an image file, before the index of an image inside it.
_ENDING = re.compile(r"\.\w+(?=$|#)")


class ExplanationWriter:
    """Explains one image after the other, and writes its files at once.

    Args:
        folder: Where to write.
        record: Method and model.
        classifier: The model.
        explainer: The method.
        subjects: The images' labels.
        target: Class to explain; None for the decision.
        layers: The feature maps to draw; None for none.
        known: Identifiers to hide; None to hide none.

    Attributes:
        rows: Of the table, by column.
        pictures: Of the page.
    """

    def __init__(
        self,
        folder: ExplanationFolder,
        record: ExplanationRecord,
        classifier: Classifier,
        explainer: Explainer,
        subjects: Subjects,
        *,
        target: int | None,
        layers: FeatureMaps | None,
        known: Identifiers | None,
    ) -> None:
        self.rows: list[dict[str, Any]] = []
        self.pictures = Pictures()
        self.classifier = classifier
        self._folder, self._record, self._explainer = folder, record, explainer
        self._subjects, self._target, self._layers = subjects, target, layers
        self._known = known
        prepare_output(folder.root)

    def add_chunk(self, chunk: Chunk) -> Iterator[int]:
        """Explain the images of a chunk; yield how many are done after each."""
        images = chunk.done.images
        logits, refused = self.classifier.logits(images), self.classifier.refuse(images)
        rows = tabulate(self.classifier, chunk.cells, logits, refused).to_dict("records")
        calibrated = logits / self.classifier.info.temperature
        for number, (cell, row) in enumerate(zip(chunk.cells, rows, strict=True)):
            self._add(cell, row, calibrated[number : number + 1], chunk.done.images[number])
            yield number + 1

    def _add(self, cell: str, row: dict[str, Any], logits: FloatArray, image: Image) -> None:
        names = self.classifier.info.class_names
        target = names.index(row["decision"]) if self._target is None else self._target
        evidence = self._explainer.explain(image, target)
        if self._subjects.labels:
            label = self._subjects.label_of(cell)
            row |= {"label": label, "correct": row["decision"] == label if label else ""}
        row |= {
            "explained": names[target],
            "log_odds": float(log_odds(logits, target)[0]),
            "for": max(0.0, float(evidence.map.max())),
            "against": min(0.0, float(evidence.map.min())),
            "flat": evidence.is_flat,
            **evidence.numbers,
        }
        self.rows.append(row)
        shown = printable(cell) if self._known is None else self._known.cell("image", cell)
        stem = re.sub(r"[^\w.-]+", "_", _ENDING.sub("", PurePath(shown).name))[:_NAME_WIDTH]
        # Under pseudonyms a number would be the order of the names.
        file = row["file"] = f"{len(self.rows):05d}-{stem}" if self._known is None else stem
        self._write_numbers(file, evidence)
        lines = (PurePath(shown).name, *describe_prediction(row, self._record))
        picture = to_thumbnail(image, self.classifier.info.preprocessing)
        drawn = draw_overlay(picture, evidence.map, (lines[1], lines[0], *lines[2:]))
        self._write_picture(drawn, row, lines)
        if self._layers is not None:
            self._draw_layers(self._layers, picture, image, row, lines)

    def _write_numbers(self, file: str, evidence: Evidence) -> None:
        arrays: dict[str, Any] = {"map": evidence.map, **evidence.parts, **evidence.numbers}
        if self._record.members:
            arrays["names"] = np.array(self._record.members)
        numbers = io.BytesIO()
        np.savez_compressed(numbers, **arrays)
        write_bytes(self._folder.numbers(file), numbers.getvalue(), durable=False)

    def _write_picture(
        self, drawn: PillowImage.Image, row: dict[str, Any], lines: tuple[str, ...]
    ) -> None:
        content = _encode(drawn, "PNG", compress_level=_EFFORT)
        write_bytes(self._folder.overlay(row["file"]), content, durable=False)
        alt = f"Image {lines[0]} and its evidence map; {'; '.join(lines[1:])}"
        most = _SHOWN if not self._subjects.labels else _SHOWN // 2
        tiles = self.pictures.overlays.setdefault(group_of(row), [])
        if len(tiles) < most:
            tiles.append(_tile(drawn, data_uri(content, "png"), alt, lines))

    def _draw_layers(
        self,
        layers: FeatureMaps,
        picture: Image,
        image: Image,
        row: dict[str, Any],
        lines: tuple[str, ...],
    ) -> None:
        member = "the first member" if self._known is not None else layers.member
        member = f"; feature maps of {member}" if layers.member else ""
        drawn = draw_feature_maps(picture, layers.find(image), (lines[0], f"{lines[1]}{member}"))
        content = _encode(drawn, "PNG", compress_level=_EFFORT)
        write_bytes(self._folder.layers(row["file"]), content, durable=False)
        alt = f"Feature maps of the image {lines[0]}, layer by layer"
        tiles = self.pictures.feature_maps.setdefault(group_of(row), [])
        if len(tiles) < _WITH_MAPS:
            # Noise takes a tenth of the space of a PNG.
            src = data_uri(_encode(drawn, "JPEG", quality=80), "jpeg")
            tiles.append(_tile(drawn, src, alt, lines[:2]))


def _encode(drawn: PillowImage.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    drawn.save(stream, kind, **options)
    return stream.getvalue()


def _tile(drawn: PillowImage.Image, src: str, alt: str, lines: tuple[str, ...]) -> Tile:
    title = shorten(lines[0], _NAME_WIDTH)
    return Tile(src, drawn.width, drawn.height, alt, title, lines[1:])
