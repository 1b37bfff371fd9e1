"""Images to predict as Python gives them: paths, tables, arrays, Pillow's images, bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image as PillowImage

from eosin.artifacts.tables import name_of
from eosin.core.errors import UsageError
from eosin.core.text import printable, quantity
from eosin.inference.reading import InMemory

#: What names or holds an image, several, or a table of them.
Images: TypeAlias = Path | str | pd.DataFrame | bytes | npt.NDArray[Any] | PillowImage.Image
_NAMED = (str, Path, pd.DataFrame)
_HELD = (bytes, np.ndarray, PillowImage.Image)


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
        several: Iterable[Any] = images if images.ndim == 4 else [images]
    elif isinstance(images, (*_NAMED, *_HELD)):
        several = [images]
    else:
        several = images
    entries: list[Path | pd.DataFrame | str] = []
    in_memory: dict[str, InMemory] = {}
    for one in several:
        if isinstance(one, str | Path):
            entries.append(Path(one))
        elif isinstance(one, pd.DataFrame):
            entries.append(one)
        elif isinstance(one, _HELD):
            name = f"image {len(in_memory)}"
            entries.append(name)
            in_memory[name] = one
        else:
            raise UsageError(
                "an image is a path, a pandas table, an array, a Pillow image or bytes, got "
                f"{type(one).__name__}"
            )
    if not entries:
        raise UsageError("no image was given", hint="Name image files, folders or tables")
    return Given(entries, in_memory)
