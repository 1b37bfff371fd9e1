"""What is to be held, how, and what became of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Item:
    """One image to hold.

    Attributes:
        cell: The manifest's ``path`` cell (``a.png`` or ``x.h5#12``); only for messages.
        file: The file.
        index: Which image of a container; nothing for a file of one image.
    """

    cell: str
    file: Path
    index: int | None = None


@dataclass(frozen=True)
class StoreSettings:
    """What an image looks like in the store.

    Attributes:
        shape: H, W, C of every image.
        dtype: Of its values.
        reading: Everything else that changes the pixels: the decoder's version, the resize rule,
            the channels, …; must be what JSON can hold.
    """

    shape: tuple[int, int, int]
    dtype: Literal["uint8", "uint16"]
    reading: Mapping[str, Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def as_text(self) -> str:
        """Return the settings as JSON, the same text for the same settings."""
        values = {"shape": list(self.shape), "dtype": self.dtype, "reading": dict(self.reading)}
        return json.dumps(values, sort_keys=True, allow_nan=False)


@dataclass(frozen=True)
class Entry:
    """What became of one item.

    Attributes:
        row: Its row in the store; nothing where it could not be read.
        reason: Why it could not be read.
        content: SHA-256 of its file's bytes; nothing where the file is absent or unreadable.
        pixels: SHA-256 of the shape and the bytes of the decoded image before it is resized;
            nothing where it does not decode.
    """

    row: int | None
    reason: str | None
    content: str | None
    pixels: str | None
