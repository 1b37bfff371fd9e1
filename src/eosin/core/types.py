"""Value types that stages exchange."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from eosin.core.errors import ImageError
from eosin.core.text import of_groups, unit_of

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]
#: Stored values, uint8 or uint16.
Pixels = npt.NDArray[np.unsignedinteger[Any]]
#: From an image to a square input; :class:`eosin.recipe.schema.ModelSection` explains them.
ResizeRule = Literal["stretch", "centre_crop", "none"]
#: Styles of preprocessing; :func:`eosin.images.preprocess.make_preprocessing` explains them.
InputStyle = Literal["unit", "centred", "caffe", "imagenet", "imagenet_twice"]


#: The subsets of a single split, in the order of reports.
SPLITS = ("train", "val", "test")
#: Separators of a magnification stack: of its images in ``path``, of the magnifications that it
#: has in ``magnification``.
STACKED, TOGETHER = "|", "+"
#: Larger than any index of an image; a larger number is read as this.
MOST_INDEX = 10**18
#: How the names of files of many images end.
CONTAINER_SUFFIXES = frozenset({".h5", ".hdf5", ".idx", ".idx.gz", "-ubyte", "-ubyte.gz"})


class ImageSource(Protocol):
    """Source of images of one size, read a few at a time: an array (N, H, W, C) or a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C."""

    def __len__(self) -> int:
        """Return N."""

    def __getitem__(self, rows: slice | IntArray, /) -> Image:
        """Return images, uint8, shape (B, H, W, C)."""


def parts_of(cell: str) -> list[str]:
    """Return the image references of a ``path`` value, one per magnification of a stack.

    A missing magnification is empty; a single image is its own only part.
    """
    return cell.split(STACKED)


def change_parts(cell: str, change: Callable[[str], str]) -> str:
    """Return a ``path`` value with every image reference changed, missing ones left empty."""
    return STACKED.join(change(part) if part else "" for part in parts_of(cell))


@dataclass(frozen=True, repr=False)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: The point estimate; ``None`` where it is undefined, never NaN.
        low: Lower end of the interval; ``None`` where there is none.
        reason: Why the value or the interval is missing, or what limits it.
        n: Number of counted units where they are not images (patients, for example).
        wilson: Wilson's interval of a share of independent units.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    n: int | None = None
    wilson: tuple[float, float] | None = None

    def __repr__(self) -> str:
        """Return value and interval, and the reason where one is missing."""
        value, low, high = (
            None if one is None else f"{one:.4g}" for one in (self.value, self.low, self.high)
        )
        shown = f"value={value}, low={low}, high={high}"
        return f"Estimate({shown}, reason={self.reason!r})" if self.reason else f"Estimate({shown})"


def is_container(name: str | Path) -> bool:
    """Return True if a file holds many images, by its name."""
    return str(name).lower().endswith(tuple(CONTAINER_SUFFIXES))


#: Column of the number of an augmented copy, from 1, where copies of images are divided.
COPY = "copy"
#: Column of the cluster of similar images, which are not patients, that a split keeps whole.
APPEARANCE = "appearance"


@dataclass(frozen=True)
class ImageReference:
    """One image: a file, or one of the images of a container, ``file#index``.

    Attributes:
        path: The file. Its name may hold a ``#`` that no whole number follows.
        digits: The index as it is written, from 0; empty where the file is one image.
    """

    path: str
    digits: str = ""

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Return the reference that a text is."""
        path, mark, digits = text.rpartition("#")
        is_index = mark and digits.isascii() and digits.isdecimal()
        return cls(path, digits) if is_index else cls(text)

    def __str__(self) -> str:
        return f"{self.path}#{self.digits}" if self.digits else self.path

    @property
    def index(self) -> int | None:
        """The image's position in its container, at most ``MOST_INDEX``."""
        if not self.digits:
            return None
        # Python reads no number of more than 4,300 digits.
        digits = self.digits.lstrip("0")
        return int(digits or 0) if len(digits) < len(str(MOST_INDEX)) else MOST_INDEX

    def resolve(self, root: Path = Path()) -> tuple[Path, int | None]:
        """Return the file, and the index of the image inside it.

        A name that ends in ``#1`` without a container is that of a file, unless only the file
        without it exists.

        Raises:
            ImageError: A container's ``#`` is not followed by an index.
        """
        # Unlike those of Path, without an error where a name is too long for a file.
        is_file, exists = os.path.isfile, os.path.exists
        file = root / self.path
        if self.digits:
            if is_container(self.path):
                return file, self.index
            whole = root / str(self)
            return (file, self.index) if is_file(file) and not exists(whole) else (whole, None)
        first, mark, _ = self.path.rpartition("#")
        if mark and is_container(first) and exists(root / first) and not exists(file):
            raise ImageError(
                f"{file} needs a whole number behind '#': the first image is {root / first}#0"
            )
        return file, None


@dataclass(frozen=True)
class Samples:
    """A manifest in memory: one row per image or magnification stack.

    A stack is one image of a slide at each magnification, ``a.png|b.png||d.png``; see
    :mod:`eosin.images.stacks`.

    Attributes:
        frame: A pandas table with at least ``path``, ``label``, ``patient``, ``group`` (all text;
            ``patient`` may be empty); see :mod:`eosin.artifacts.manifest` for the optional ones.
        root: The folder that relative paths start from.
        class_names: The labels in the order of the network's outputs.
        positive: The positive class of a binary task, if it has one.
        name: Name of the table in messages and reports.
        notes: Sentences on what was changed or left out when the table was read.
    """

    frame: Any
    root: Path
    class_names: tuple[str, ...]
    positive: str | None = None
    name: str = "samples"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def targets(self) -> IntArray:
        """Class index of every row, shape (N,)."""
        index = {name: position for position, name in enumerate(self.class_names)}
        return np.array([index[label] for label in self.frame["label"]], dtype=np.int64)

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Group of every row, shape (N,)."""
        return np.asarray(self.frame["group"], dtype=object)

    @property
    def unit(self) -> str:
        """Unit of the groups: ``patient``, ``image`` where each is its own, else ``group``."""
        n_groups = self.frame["group"].nunique()
        are_patients = bool((self.frame["group"] == self.frame.get("patient", "")).all())
        return unit_of(len(self), n_groups, n_groups if are_patients else None)

    @property
    def of_groups(self) -> str:
        """`` of 29 patients`` after a number of images; empty where each is its own group."""
        return of_groups(self.frame["group"].nunique(), self.unit)

    @property
    def image_cells(self) -> list[str]:
        """All image references without repeats, in the table's order; stacks are split."""
        parts = (part for cell in self.frame["path"] for part in parts_of(cell))
        return list(dict.fromkeys(part for part in parts if part))

    def resolve(self, path: str) -> Path:
        """Return the file of an image reference (without ``#index``)."""
        return self.locate(path)[0]

    def locate(self, path: str) -> tuple[Path, int | None]:
        """Return the file of an image reference, and the index of the image inside it."""
        return ImageReference.parse(path).resolve(self.root)

    def where(self, mask: BoolArray) -> Samples:
        """Return the rows that ``mask`` (N,) selects, with a fresh index."""
        return replace(self, frame=self.frame[mask].reset_index(drop=True))

    def part(self, split: str) -> Samples:
        """Return the rows of one subset; needs the column ``split``."""
        return self.where(np.asarray(self.frame["split"] == split))


@dataclass(frozen=True)
class DeviceSettings:
    """A device and a precision.

    Attributes:
        accelerator: ``cpu``, ``cuda`` or ``mps``.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        description: For people, e.g. ``"cpu (2 threads)"``.
    """

    accelerator: str
    precision: str
    description: str

    @property
    def can_compile(self) -> bool:
        """True if ``torch.compile`` needs no compiler of the machine's."""
        return self.accelerator == "cuda"
