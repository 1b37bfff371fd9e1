"""Measuring every image of a table in one pass; only the numbers are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from eosin.core.errors import ImageError
from eosin.core.progress import Advance
from eosin.core.types import Samples
from eosin.datasets.quality.measures import Measures, decode_stored, measure_image

#: Decoding, hashing and most of NumPy release the interpreter's lock.
_THREADS = 2


def measure_samples(
    samples: Samples, *, advance: Advance | None = None
) -> dict[str, Measures | str]:
    """Decode and measure every image once.

    Args:
        samples: The table; of bundles every image by itself.
        advance: Told how many images are done.

    Returns:
        By the image's cell, in the table's order: its numbers, or why it cannot be read.
    """
    cells = samples.image_cells

    def measure(cell: str) -> Measures | str:
        try:
            image, is_rgb = decode_stored(*samples.locate(cell))
        except ImageError as error:
            return str(error)
        return measure_image(image, is_rgb=is_rgb)

    found: dict[str, Measures | str] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, (cell, result) in enumerate(
            zip(cells, pool.map(measure, cells), strict=True), start=1
        ):
            found[cell] = result
            if advance is not None:
                advance(done, len(cells))
    return found
