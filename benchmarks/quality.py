"""What quality control flags of real sets as they are, and of faults that are planted into them.

``python -m benchmarks.quality`` writes ``docs/results/tables/quality-flags.json`` and
``quality-planted.json``. Faults are planted into a few images of a set at a time, the rest being as
they are, since focus is evaluated within a set.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from benchmarks.tables import write_table
from eosin.core.types import Pixels, Samples
from eosin.data.quality import (
    FLAGS,
    Measures,
    decode_stored,
    flag_images,
    measure_image,
    measure_samples,
)
from eosin.images.references import list_images

DATA = Path(os.environ.get("EOSIN_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS = ("breakhis-200x-224", "breakhis-700x460", "lc25000", "pcam", "idc", "mcf7-fluorescence")
#: Images that a fault is planted into, and how many at a time.
PLANTED, AT_A_TIME = 40, 4
BLURS_PX = (1.0, 1.5, 2.0, 3.0, 6.0)
OVEREXPOSED = 1.6


def blur(sigma_px: float) -> Callable[[Pixels], Pixels]:
    """Return what takes an image out of focus."""

    def apply(image: Pixels) -> Pixels:
        soft = ndimage.gaussian_filter(image.astype(float), (sigma_px, sigma_px, 0))
        return np.rint(soft).astype(image.dtype)

    return apply


def expose(image: Pixels) -> Pixels:
    """Expose an image for too long."""
    top = np.iinfo(image.dtype).max
    return np.clip(image * OVEREXPOSED, 0, top).astype(image.dtype)


FAULTS = {
    **{f"blur, σ {sigma:g} px": ("blurred", blur(sigma)) for sigma in BLURS_PX},
    f"exposed × {OVEREXPOSED:g}": ("saturated", expose),
}


def find_planted(found: dict[str, Measures], flag: str, change: Callable[[Pixels], Pixels]) -> str:
    """Plant a fault into some images of a set; return how many of them are flagged for it."""
    cells = list(found)[:: max(1, len(found) // PLANTED)][:PLANTED]
    n_flagged = 0
    for start in range(0, len(cells), AT_A_TIME):
        planted = dict(found)
        for cell in cells[start : start + AT_A_TIME]:
            image, is_rgb = decode_stored(Path(cell))
            planted[cell] = measure_image(change(image), is_rgb=is_rgb)
        flagged = set(flag_images(planted).flagged(flag)["path"])  # type: ignore[arg-type]
        n_flagged += len(flagged & set(cells[start : start + AT_A_TIME]))
    return f"{n_flagged} of {len(cells)}"


def main() -> None:
    """Measure every set, and write both tables."""
    flags, planted = [], []
    for name in SETS:
        frame = pd.DataFrame({"path": list_images([DATA / name]).cells}, dtype=object)
        start = time.perf_counter()
        found = measure_samples(Samples(frame=frame, root=Path(), class_names=()))
        rate = len(frame) / (time.perf_counter() - start)
        report = flag_images(found)
        counts = [str(len(report.flagged(flag))) for flag in FLAGS]
        flags.append([name, str(len(frame)), *counts, f"{rate:.0f}"])
        known = {cell: one for cell, one in found.items() if isinstance(one, Measures)}
        planted.append([name, *(find_planted(known, *fault) for fault in FAULTS.values())])
    command = "python -m benchmarks.quality"
    write_table(
        "quality-flags",
        "Images of each data set with each flag (no data set is known to be free of faults), and "
        "images per second, measured with the command's number of threads.",
        command,
        ["set", "images", *(flag.replace("_", " ") for flag in FLAGS), "images/s"],
        flags,
    )
    write_table(
        "quality-planted",
        "Images with a planted fault that are flagged for it.",
        command,
        ["set", *FAULTS],
        planted,
    )


if __name__ == "__main__":
    main()
