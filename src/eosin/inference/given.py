"""Images to predict as Python gives them: paths, tables, arrays, Pillow's images, files' bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image as PillowImage

from eosin.artifacts.tables import name_of
from eosin.core.errors import UsageError
from eosin.core.text import printable, quantity
from eosin.inference.reading import InMemory

#: What names or holds an image, several, or a table of them.
Images: TypeAlias = (
    Path | str | pd.DataFrame | bytes | IO[bytes] | npt.NDArray[Any] | PillowImage.Image
)
_NAMED = (str, Path, pd.DataFrame)
_BYTES = (bytes, bytearray, memoryview)
_PIXELS = (np.ndarray, PillowImage.Image)


@dataclass(frozen=True)
class Given:
    """Images to predict.

    Attributes:
        entries: Paths, tables, and names of images in memory, in order.
        in_memory: Images in memory by name.
    """

    entries: list[Path | pd.DataFrame | str]
    in_memory: Mapping[str, InMemory] = field(default_factory=dict)

    @property
    def paths(self) -> list[Path]:
        """The paths alone."""
        return [entry for entry in self.entries if isinstance(entry, Path)]

    @property
    def names(self) -> list[str]:
        """Return the recorded form: paths, and that there were tables or images in memory."""
        named = [entry for entry in self.entries if not isinstance(entry, str)]
        n_held = len(self.in_memory)
        held = [f"{quantity(n_held, 'image')} in memory"] if n_held else []
        shown = (name_of(one) if isinstance(one, pd.DataFrame) else str(one) for one in named)
        return [*map(printable, shown), *held]


def list_given(images: Images | Iterable[Images]) -> Given:
    """List what was given; a single image, path or table needs no list around it.

    Raises:
        UsageError: There is none, or something else.
    """
    if isinstance(images, np.ndarray):
        # Of a table's column of paths, `.to_numpy()` makes an array of texts.
        is_list = images.ndim == 4 or (images.ndim == 1 and images.dtype.kind in "OU")
        several: Iterable[Any] = images if is_list else [images]
    elif isinstance(images, (*_NAMED, *_BYTES, *_PIXELS)) or _is_open(images):
        several = [images]
    else:
        # What is neither an image nor a list of them is refused below.
        several = images if isinstance(images, Iterable) else [images]
    entries: list[Path | pd.DataFrame | str] = []
    in_memory: dict[str, InMemory] = {}
    for number, one in enumerate(several):
        if isinstance(one, str | Path):
            if not str(one):
                raise UsageError("a path is empty", hint="'.' is the working folder")
            entries.append(Path(one))
        elif isinstance(one, pd.DataFrame):
            entries.append(one)
        else:
            name = f"image {number}"
            entries.append(name)
            in_memory[name] = _hold(one)
    if not entries:
        raise UsageError("no image was given", hint="Name image files, folders or tables")
    return Given(entries, in_memory)


def _is_open(one: object) -> bool:
    return hasattr(one, "read")


def _hold(one: Any) -> InMemory:
    """Return an image in memory; an open file is read from where it is."""
    if _is_open(one):
        if getattr(one, "closed", False) is True:
            raise UsageError("an open file is needed, got a closed one")
        content = one.read()
        if not isinstance(content, bytes):
            raise UsageError(
                f"an open file must give bytes, got {type(content).__name__}",
                hint="Open it with open(PATH, 'rb')",
            )
        return content
    if isinstance(one, _BYTES):
        return bytes(one)
    if isinstance(one, _PIXELS):
        return one
    raise UsageError(
        "an image is a path, a pandas table, an array, a Pillow image, bytes or an open file, got "
        f"{type(one).__name__}"
    )
