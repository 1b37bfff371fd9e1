"""Small images of raw bytes, a decoder that counts its calls, stores in a folder of the test."""

import os
import threading
import time
from pathlib import Path

# pyarrow imports pandas at the first write, which would take longer than a killed process lives.
import numpy as np
import pandas  # noqa: F401

from eosin.core.errors import ImageError
from eosin.images.cache import Item, StoreSettings, fill_store

SHAPE = (4, 6, 3)
SETTINGS = StoreSettings(SHAPE, "uint8", {"decoder": 1})
LONG_AGO_NS = 1_600_000_000_000_000_000


def pixels_of(seed, shape=SHAPE, dtype=np.uint8):
    """The image that belongs to a number."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


class Decoder:
    """Reads the raw bytes of images, one after the other in a file; counts what it reads."""

    def __init__(self):
        self.calls = []
        self._lock = threading.Lock()

    def __call__(self, path, index):
        with self._lock:
            self.calls.append((Path(path).name, index))
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ImageError(f"{path} cannot be read: {error.strerror}") from error
        size = int(np.prod(SHAPE))
        start = (index or 0) * size
        if len(data) < start + size:
            raise ImageError(f"{path} holds no image {index or 0}")
        return np.frombuffer(data, np.uint8, size, start).reshape(SHAPE)


class Workshop:
    """A folder of images beside a folder of stores."""

    def __init__(self, folder):
        self.data = folder / "data"
        self.stores = folder / "stores"
        self.decoder = Decoder()
        self.data.mkdir()

    def draw(self, name, *seeds):
        """Write the images of some numbers into a file that looks old enough to be trusted."""
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(pixels_of(seed).tobytes() for seed in seeds))
        self.age(path)
        return path

    def age(self, path, seconds=0):
        """Set a file's time of change to long ago and some seconds."""
        when = LONG_AGO_NS + seconds * 1_000_000_000
        os.utime(path, ns=(when, when))

    def items(self, *cells):
        """One item a cell (``name`` or ``name#index``)."""
        found = []
        for cell in cells:
            name, mark, index = cell.partition("#")
            found.append(Item(cell, self.data / name, int(index) if mark else None))
        return found

    def fill(self, *cells, settings=SETTINGS, **options):
        """Open the store of some cells."""
        options = {"decode": self.decoder, "fit": np.ascontiguousarray, **options}
        return fill_store(self.items(*cells), settings, folder=self.stores, **options)

    def read(self, *cells, **options):
        """The images of some cells, and their entries."""
        store, entries = self.fill(*cells, **options)
        with store:
            rows = np.array([entry.row for entry in entries if entry.row is not None], dtype=int)
            return store.take(rows), entries

    @property
    def place(self):
        """The folder of the only store."""
        (found,) = [path for path in self.stores.iterdir() if path.is_dir()]
        return found


def read_item(item):
    """The image that an item stands for, without the store."""
    return Decoder()(item.file, item.index)


def fill_numbers(folder, n_images, delay_s, flush_s):
    """Fill a store with the images 0 … n − 1, in a process of its own."""
    decoder = Decoder()

    def decode(path, index):
        time.sleep(delay_s)
        return decoder(path, index)

    items = [Item(f"{i}.raw", folder / "data" / f"{i}.raw", None) for i in range(n_images)]
    store, entries = fill_store(
        items,
        SETTINGS,
        decode=decode,
        fit=np.ascontiguousarray,
        folder=folder / "stores",
        flush_s=flush_s,
    )
    with store:
        images = store.take(np.array([entry.row for entry in entries]))
    wanted = np.stack([pixels_of(i) for i in range(n_images)])
    return len(decoder.calls), bool(np.array_equal(images, wanted))


def fill_and_tell(connection, *arguments):
    """Send what :func:`fill_numbers` returns."""
    connection.send("begun")
    connection.send(fill_numbers(*arguments))
    connection.close()
