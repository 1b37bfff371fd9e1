"""What a hostile item is, and damage that any format can take."""

import os
import random
from dataclasses import dataclass
from pathlib import Path

SEED = 20


@dataclass(frozen=True)
class Draft:
    """A hostile file that is yet to be written.

    Attributes:
        family: Kind of attack or format; one of each family is in the sample.
        name: Of the file, unique in its family.
        content: Bytes, or a function that makes what lies at the path it is given.
        sampled: Whether the sample has it, of a family that has none the first.
        refused: Whether a verb must refuse it, however it does so.
        names: What the refusal must name, if anything.
    """

    family: str
    name: str
    content: object
    sampled: bool = False
    refused: bool = False
    names: str = ""

    def write(self, folder):
        """Write the file below ``folder``; returns its path, or nothing where none can be made."""
        path = Path(folder) / self.family / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if callable(self.content):
                self.content(path)
            else:
                with open(path, "wb") as stream:  # noqa: PTH123 -- names that are bytes
                    stream.write(self.content)
        except (OSError, UnicodeEncodeError, NotImplementedError):
            return None  # a file system that takes no such name, hole or special file
        return path


def damaged(family, stem, suffix, data, *, n_flips=5, n_heads=4):
    """Yield a file cut, overwritten and with bits turned, each a draft."""
    chance = random.Random(f"{SEED}{family}{stem}")  # noqa: S311 -- no secret
    size = len(data)
    for cut in sorted({1, 4, 12, 30, size // 4, size // 2, 9 * size // 10, size - 1}):
        sampled = cut == size // 2
        yield Draft(family, f"{stem}-cut-{cut:06d}{suffix}", data[:cut], sampled=sampled)
    for number in range(n_flips):
        turned = turn(data, chance, 4**number, 0, size)
        yield Draft(family, f"{stem}-flip-{number}{suffix}", turned, sampled=number == 1)
    for number in range(n_heads):
        end = min(size, 96)
        yield Draft(family, f"{stem}-head-{number}{suffix}", turn(data, chance, 1 + number, 4, end))
    third = size // 3
    yield Draft(family, f"{stem}-zeros{suffix}", data[:third] + bytes(third) + data[2 * third :])
    yield Draft(family, f"{stem}-ones{suffix}", data[:third] + b"\xff" * third + data[2 * third :])
    yield Draft(family, f"{stem}-twice{suffix}", data + data)
    yield Draft(family, f"{stem}-tail{suffix}", data + chance.randbytes(5000))


def turn(data, chance, count, start, end):
    """Return bytes with ``count`` bits turned between two places."""
    turned = bytearray(data)
    for _ in range(count):
        turned[chance.randrange(start, end)] ^= 1 << chance.randrange(8)
    return bytes(turned)


def hole(head, size=1 << 40):
    """Return a maker of a sparse file that begins with ``head``."""

    def make(path):
        path.write_bytes(head)
        os.truncate(path, size)

    return make


def link(target):
    """Return a maker of a symbolic link."""
    return lambda path: path.symlink_to(target)
