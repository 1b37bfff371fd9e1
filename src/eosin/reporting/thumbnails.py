"""Thumbnails of a run, as shown on its page."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from PIL import Image

from eosin.artifacts.integrity import damaged
from eosin.artifacts.run import SampleThumbnail
from eosin.core.files import read_file
from eosin.core.text import listing
from eosin.reporting.formatting import data_uri, number, shorten, times
from eosin.reporting.outline import Tile, Tiles
from eosin.runs.finished import FinishedRun

#: Larger thumbnails are scaled down: a page should fit into an e-mail.
_LARGEST_PX = 192
#: Largest accepted edge of a thumbnail in a run folder.
MOST_PX = 2048
#: Most thumbnails per role.
_MOST = 36
#: Characters of a file name below a thumbnail.
_NAME_WIDTH = 40
#: Names of the colours in which :func:`eosin.images.preprocess.to_thumbnail` overlays fluorescence
#: channels.
COLOUR_NAMES = ("blue", "red", "green", "yellow", "magenta", "cyan")


def colour_words(run: FinishedRun) -> str:
    """Describe the colours of the fluorescence channels; empty for brightfield images."""
    if run.model is None or run.model.preprocessing.planes is None:
        return ""
    channels = run.model.preprocessing.channels
    if len(channels) == 1:
        return f"One channel, {channels[0]}, shown in grey."
    shown = [f"{name} {colour}" for name, colour in zip(channels, COLOUR_NAMES, strict=False)]
    text = f"False colours: {listing(shown)}."
    left_out = channels[len(COLOUR_NAMES) :]
    return f"{text} Not shown: {listing(left_out)}." if left_out else text


def tiles(run: FinishedRun, role: str, look: str = "") -> Tiles:
    """Return the thumbnails of one role, in the look of :class:`Tiles`.

    Raises:
        ArtifactError: A thumbnail is damaged.
    """
    return Tiles([_tile(run, thumbnail) for thumbnail in run.role(role)[:_MOST]], look)


def read_thumbnail(path: Path) -> Image.Image:
    """Read a thumbnail of a run folder, RGB.

    Raises:
        ArtifactError: The file is no image, or too large.
    """
    try:
        with Image.open(io.BytesIO(read_file(path)), formats=("PNG", "JPEG")) as opened:
            if max(opened.size) > MOST_PX:
                raise damaged(path, f"it has {opened.width:,} x {opened.height:,} pixels")
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow's PNG reader raises SyntaxError for a damaged chunk.
        raise damaged(path, str(getattr(error, "strerror", None) or error)) from error


def _tile(run: FinishedRun, thumbnail: SampleThumbnail) -> Tile:
    image = read_thumbnail(run.folder.samples / thumbnail.file)
    title, lines = _words(thumbnail)
    return make_tile(image, alt=_alt(thumbnail), title=title, lines=lines)


def make_tile(image: Image.Image, *, alt: str, title: str, lines: Iterable[str]) -> Tile:
    """Build a thumbnail, scaled down if large; the text arguments are those of :class:`Tile`."""
    # Of two pictures side by side, each may be as large as a single one.
    image.thumbnail((_LARGEST_PX * max(1, round(image.width / image.height)), _LARGEST_PX))
    stream = io.BytesIO()
    # No chroma subsampling: these thumbnails are looked at for their stain.
    image.save(stream, format="JPEG", quality=90, subsampling=0)
    src = data_uri(stream.getvalue(), "jpeg")
    return Tile(src, image.width, image.height, alt, title, tuple(lines))


def _words(thumbnail: SampleThumbnail) -> tuple[str, list[str]]:
    where = _present(
        (thumbnail.patient, patient_words(thumbnail.patient)),
        (thumbnail.magnification, times(thumbnail.magnification)),
    )
    sure = "" if thumbnail.probability is None else number(thumbnail.probability)
    name = shorten(PurePosixPath(thumbnail.path).name, _NAME_WIDTH)
    if thumbnail.role == "correct":
        return thumbnail.label, [*_present((sure, f"probability {sure}"), (name, name)), *where]
    if thumbnail.role == "refused":
        return thumbnail.refused or "", [f"class {thumbnail.label}", name, *where]
    if thumbnail.role not in {"mistake", "evidence"}:
        return thumbnail.label, [*_present((sure, f"probability {sure}")), *where]
    decided = f"decision: {thumbnail.predicted or 'another class'}"
    title = f"{decided} ({sure})" if sure else decided
    flat = _present((thumbnail.is_flat, "flat map: it points nowhere"))
    return title, [f"true class {thumbnail.label}", *flat, name, *where]


def patient_words(name: str) -> str:
    """Return ``patient 7``; a name such as ``patient_7`` gets no second prefix."""
    return name if name.lower().startswith("patient") else f"patient {name}"


def _alt(thumbnail: SampleThumbnail) -> str:
    kinds = {
        "example": "Microscopy image",
        "before": "Microscopy image before stain normalisation",
        "augmented": "Augmented microscopy image",
        "mistake": "Misclassified microscopy image",
        "correct": "Correctly classified microscopy image",
        "refused": "Refused microscopy image",
        "evidence": "Microscopy image beside its evidence map",
    }
    words = [f"{kinds[thumbnail.role]} of class {thumbnail.label}"]
    if thumbnail.role in {"mistake", "correct", "evidence"} and thumbnail.predicted:
        sure = f" with probability {number(thumbnail.probability)}" if thumbnail.probability else ""
        words.append(f"decision {thumbnail.predicted}{sure}")
    words += _present(
        (thumbnail.refused or "", f"reason {thumbnail.refused}"),
        (thumbnail.patient, patient_words(thumbnail.patient)),
        (thumbnail.magnification, f"magnification {times(thumbnail.magnification)}"),
    )
    return ", ".join(words)


def _present(*pairs: tuple[object, str]) -> Iterable[str]:
    return [text for value, text in pairs if value]
