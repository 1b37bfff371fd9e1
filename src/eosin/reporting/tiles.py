"""The small pictures of a run, as they stand on the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from eosin.artifacts.integrity import damaged
from eosin.artifacts.run import SamplePicture
from eosin.core.files import read_file
from eosin.reporting.formatting import listing, number, times
from eosin.runs.finished import Run

#: Larger pictures are made smaller: a page should go into an e-mail.
_LARGEST_PX = 192
#: Edge of a picture of a run folder, of which all are smaller.
MOST_PX = 2048
#: At most so many of one role.
_MOST = 36
#: What the colours are called in which :func:`eosin.images.preprocess.to_picture` lays
#: fluorescence channels over each other.
COLOUR_NAMES = ("blue", "red", "green", "yellow", "magenta", "cyan")


@dataclass(frozen=True)
class Tile:
    """A picture with its words.

    Attributes:
        src: The image as a ``data:`` URI.
        width: Pixels of the image.
        height: Pixels of the image.
        alt: What it shows.
        title: First line below it.
        lines: Further lines.
    """

    src: str
    width: int
    height: int
    alt: str
    title: str
    lines: tuple[str, ...]


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes as a ``data:`` URI of an image."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def colour_words(run: Run) -> str:
    """Say which colour shows which fluorescence channel; empty for brightfield images."""
    if run.model is None or run.model.preprocessing.planes is None:
        return ""
    channels = run.model.preprocessing.channels
    if len(channels) == 1:
        return f"One channel, {channels[0]}, in grey."
    shown = [f"{name} {colour}" for name, colour in zip(channels, COLOUR_NAMES, strict=False)]
    text = f"False colours: {listing(shown)}."
    left_out = channels[len(COLOUR_NAMES) :]
    return f"{text} Not shown: {listing(left_out)}." if left_out else text


def tiles(run: Run, role: str) -> list[Tile]:
    """Return the tiles of one role.

    Raises:
        ArtifactError: A picture is damaged.
    """
    return [_tile(run, picture) for picture in run.role(role)[:_MOST]]


def read_picture(path: Path) -> Image.Image:
    """Read a small picture of a run folder, RGB.

    Raises:
        ArtifactError: It is none, or a large one.
    """
    try:
        with Image.open(io.BytesIO(read_file(path)), formats=("PNG", "JPEG")) as opened:
            if max(opened.size) > MOST_PX:
                raise damaged(path, f"it has {opened.width:,} x {opened.height:,} pixels")
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow's reader of PNG raises SyntaxError for a damaged chunk.
        raise damaged(path, str(getattr(error, "strerror", None) or error)) from error


def _tile(run: Run, picture: SamplePicture) -> Tile:
    image = read_picture(run.folder.samples / picture.file)
    title, lines = _words(picture)
    return make_tile(image, alt=_alt(picture), title=title, lines=lines)


def make_tile(image: Image.Image, *, alt: str, title: str, lines: Iterable[str]) -> Tile:
    """Make a tile of a picture, which is made smaller where it is large; words as of a Tile."""
    image.thumbnail((_LARGEST_PX, _LARGEST_PX))
    stream = io.BytesIO()
    # Full colour resolution: stain is what these pictures are looked at for.
    image.save(stream, format="JPEG", quality=90, subsampling=0)
    return Tile(
        src=data_uri(stream.getvalue(), "jpeg"),
        width=image.width,
        height=image.height,
        alt=alt,
        title=title,
        lines=tuple(lines),
    )


def _words(picture: SamplePicture) -> tuple[str, list[str]]:
    where = _present(
        (picture.patient, f"patient {picture.patient}"),
        (picture.magnification, times(picture.magnification)),
    )
    if picture.role != "mistake":
        return picture.label, list(where)
    called = f"called {picture.predicted}" if picture.predicted else "called wrongly"
    if picture.probability is not None:
        called += f" at {number(picture.probability)}"
    return f"Is {picture.label}", [called, *where]


def _alt(picture: SamplePicture) -> str:
    kinds = {
        "example": "Microscopy image",
        "before": "Microscopy image before stain normalisation",
        "augmented": "Augmented microscopy image",
        "mistake": "Misjudged microscopy image",
    }
    words = [f"{kinds[picture.role]} of class {picture.label}"]
    if picture.role == "mistake" and picture.predicted:
        sure = f" with probability {number(picture.probability)}" if picture.probability else ""
        words.append(f"predicted {picture.predicted}{sure}")
    words += _present(
        (picture.patient, f"patient {picture.patient}"),
        (picture.magnification, f"magnification {times(picture.magnification)}"),
    )
    return ", ".join(words)


def _present(*pairs: tuple[str, str]) -> Iterable[str]:
    return [text for value, text in pairs if value]
