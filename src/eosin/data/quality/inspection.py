"""Measuring every image of a table in one pass; only the numbers are kept."""

from __future__ import annotations

from collections.abc import Sequence

from eosin.core.errors import ImageError
from eosin.core.progress import Advance
from eosin.core.threads import map_threads
from eosin.core.types import Samples
from eosin.data.quality.measures import Measures, decode_stored, measure_image
from eosin.images.failures import isolated


def measure_samples(
    samples: Samples, *, cells: Sequence[str] | None = None, advance: Advance | None = None
) -> dict[str, Measures | str]:
    """Decode and measure every image once.

    Args:
        samples: The table; of bundles every image by itself.
        cells: Path cells of single images; those of the table by default.
        advance: Told how many images are done.

    Returns:
        By the image's cell, in the table's order: its numbers, or why it cannot be read.
    """
    cells = samples.image_cells if cells is None else cells

    def measure(cell: str) -> Measures | str:
        try:
            with isolated(cell):
                image, is_rgb = decode_stored(*samples.locate(cell))
                return measure_image(image, is_rgb=is_rgb)
        except ImageError as error:
            return str(error)

    found: dict[str, Measures | str] = {}
    results = zip(cells, map_threads(measure, cells), strict=True)
    for done, (cell, result) in enumerate(results, start=1):
        found[cell] = result
        if advance is not None:
            advance(done, len(cells))
    return found
