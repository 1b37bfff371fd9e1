"""Fixed augmented copies that become samples before the split, as P4 and P5 publish.

Copies of one image then land on both sides of the split. A copy is a row with the image's path and
its own number in the column ``copy``; the cache keeps the image once. Its pixels are a function of
the run's seed, the image's content and that number, so that they stay the same wherever the image
lies and whatever other rows a table has.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace

import numpy as np

from eosin.augment import POLICIES, Policy, augment_bytes
from eosin.core.errors import DataError
from eosin.core.types import COPY, Image, IntArray, Samples, parts_of
from eosin.images.bank import ImageBank, StoredImages
from eosin.images.hashes import FileHashes
from eosin.recipe.schema import AugmentSection

#: Hexadecimal digits of an image's number: 48 bits leave room for that of the copy.
_DIGITS = 12


def count_copies(section: AugmentSection) -> int:
    """Return the number of fixed copies of each image, by policy or recipe; 0 without any."""
    return section.copies or POLICIES.get(section.policy).fixed_copies


def copy_samples(samples: Samples, n_copies: int) -> Samples:
    """Return a row for each copy of each image, numbered from 1 in the column ``copy``.

    A table that has the column is one of copies already, of a run for example.

    Raises:
        DataError: That column holds anything but numbers of copies.
    """
    numbers = [str(number) for number in range(1, n_copies + 1)]
    if COPY in samples.frame:
        odd = set(samples.frame[COPY]) - set(numbers)
        if odd:
            raise DataError(
                f"{samples.name}: the column `{COPY}` must contain the number of each copy, 1 to "
                f"{n_copies}, got {min(odd)!r}",
                hint="Remove the column: the copies are made from the images",
            )
        return samples
    frame = samples.frame.loc[samples.frame.index.repeat(n_copies)].reset_index(drop=True)
    copies = np.array(numbers * len(samples), dtype=object)
    return replace(samples, frame=frame.assign(**{COPY: copies}))


@dataclass(frozen=True, eq=False, kw_only=True)
class CopiedImages(StoredImages):
    """Copies of images, augmented on access."""

    policy: Policy
    seed: int
    index: IntArray  # of each copy, for the draw, shape (N,)

    def __getitem__(self, chosen: slice | IntArray) -> Image:
        """Return copies, uint8, shape (B, H, W, C)."""
        images = super().__getitem__(chosen)
        drawn = self.policy.draw(self.seed, 0, self.index[chosen], channels=self.shape[-1])
        return augment_bytes(images, drawn)


@dataclass(frozen=True, eq=False, kw_only=True)
class CopyBank(ImageBank):
    """Image bank of tables with the column ``copy``: their rows are copies of its images."""

    policy: Policy
    seed: int
    n_copies: int
    hashes: FileHashes

    def of(self, samples: Samples) -> StoredImages:
        """Return the copies of a table's rows; without the column ``copy`` the images."""
        images = super().of(samples)
        if COPY not in samples.frame:
            return images
        number = {path: self._number(path) for path in set(samples.frame["path"])}
        cells = zip(samples.frame["path"], samples.frame[COPY], strict=True)
        # Copies of one image follow each other: of a policy with fixed views each is another one.
        index = [number[path] * self.n_copies + int(copy) - 1 for path, copy in cells]
        own = {field.name: getattr(images, field.name) for field in fields(images)}
        return CopiedImages(**own, policy=self.policy, seed=self.seed, index=np.array(index))

    def _number(self, path: str) -> int:
        found = (self.hashes.files.get(part) for part in parts_of(path))
        content = "|".join((one and one.pixels) or "" for one in found)
        return int(hashlib.sha256(content.encode()).hexdigest()[:_DIGITS], 16)


def bank_of_copies(
    bank: ImageBank, hashes: FileHashes, section: AugmentSection, seed: int
) -> ImageBank:
    """Return a bank whose images are read as copies, by the pixel hashes of its images."""
    own = {field.name: getattr(bank, field.name) for field in fields(bank)}
    return CopyBank(
        **own,
        policy=POLICIES.get(section.policy),
        seed=seed,
        n_copies=count_copies(section),
        hashes=hashes,
    )
