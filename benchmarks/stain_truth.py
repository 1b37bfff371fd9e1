"""How right stain normalisation is: on the phantom, on real tiles, and applied twice.

``python -m benchmarks.stain_truth`` writes two tables of ``docs/results/tables``. ``stain-angles``:
degrees between the stain vectors found on simulated tiles and the true ones. ``stain-real``: of
tiles spread over each data set, how many are left alone, how many agree with torchstain's NumPy
normalisers within two grey levels on 99 % of their pixels (reference: the target of the pair of
fields), and what a second pass changes (reference: the tiles themselves).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torchstain.numpy.normalizers.macenko import NumpyMacenkoNormalizer
from torchstain.numpy.normalizers.reinhard import NumpyReinhardNormalizer

from benchmarks.tables import write_table
from eosin.core.types import FloatArray, Image
from eosin.data.phantom import PhantomOptions, draw_patient, render_patch
from eosin.images.decode import decode_image
from eosin.stain import METHODS, Source

DATA = Path(os.environ.get("EOSIN_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS = {"breakhis-200x-224": ".png", "lc25000": ".jpeg", "pcam": ".jpg", "idc": ".png"}
TILES = 200
PATIENTS, TILES_PER_PATIENT = 40, 5
TOLERANCE, SHARE = 2, 0.99


def find_angles(method: str, *, pooled: bool) -> Iterator[tuple[float, float]]:
    """Yield the errors of haematoxylin and eosin, in degrees, a tile or a section of tiles."""
    normaliser = METHODS.get(method)()
    for number in range(PATIENTS):
        patient = draw_patient(PhantomOptions(), number)
        tiles = [render_patch(patient, 0, "200", index, 224) for index in range(TILES_PER_PATIENT)]
        truth = patient.section_stain(0).matrix
        for part in [tiles] if pooled else [[tile] for tile in tiles]:
            source = normaliser.estimate(part)
            if not source.reason:
                yield _angles_between(source, truth)


def _angles_between(source: Source, truth: FloatArray) -> tuple[float, float]:
    found = source.stain_matrix  # type: ignore[attr-defined]
    angles = np.rad2deg(np.arccos(np.clip((found * truth).sum(axis=1), -1, 1)))
    return float(angles[0]), float(angles[1])


def angle_rows() -> Iterator[list[str]]:
    """Yield a row a method and unit."""
    for method in ("macenko", "vahadane"):
        for pooled in (False, True):
            errors = np.array(list(find_angles(method, pooled=pooled)))
            mean, high = errors.mean(axis=0), np.percentile(errors, 95, axis=0)
            unit = f"{TILES_PER_PATIENT} tiles of a section" if pooled else "a tile"
            cells = [f"{mean[stain]:.1f} ({high[stain]:.1f})" for stain in (0, 1)]
            yield [method, unit, str(len(errors)), *cells]


def read_tiles(folder: str) -> list[Image]:
    """Return tiles spread over a data set, uint8, shape (H, W, 3) each."""
    paths = sorted(path for path in (DATA / folder).rglob("*") if path.suffix == SETS[folder])
    if not paths:
        raise SystemExit(f"no images under {DATA / folder}: set EOSIN_DATA")
    return [decode_image(path, None) for path in paths[:: max(1, len(paths) // TILES)][:TILES]]


def real_rows(folder: str) -> Iterator[list[str]]:
    """Yield a row a method for one data set."""
    tiles = read_tiles(folder)
    target = decode_image(DATA / "stain-pair" / "target.png", None)
    peers: dict[str, Any] = {
        "macenko": NumpyMacenkoNormalizer(),
        "reinhard": NumpyReinhardNormalizer(),
    }
    for method in METHODS:
        normaliser = METHODS.get(method)().fit_many(tiles)
        changes, left = [], 0
        for tile in tiles:
            once, (reason,) = normaliser.apply(tile)
            left += bool(reason)
            if not reason:
                change = np.abs(once.astype(int) - normaliser.apply(once).images)
                changes.append(np.percentile(change, (50, 99)))
        moved = np.array(changes)
        near_duplicates = _count_alike(method, peers.get(method), target, tiles)
        yield [
            folder,
            method,
            str(len(tiles)),
            str(left),
            near_duplicates,
            f"{np.median(moved[:, 1]):.0f}",
            f"{np.count_nonzero(moved[:, 0] > 1)} of {len(moved)}",
        ]


def _count_alike(method: str, peer: Any, target: Image, tiles: list[Image]) -> str:
    if peer is None:
        return ""
    peer.fit(target)
    normaliser = METHODS.get(method)().fit(target)
    found = []
    for tile in tiles:
        ours, (reason,) = normaliser.apply(tile)
        if not reason:
            theirs = peer.normalize(tile)
            theirs = np.asarray(theirs[0] if isinstance(theirs, tuple) else theirs, dtype=int)
            found.append((np.abs(theirs - ours).max(axis=-1) <= TOLERANCE).mean() >= SHARE)
    return f"{sum(found)} of {len(found)}"


def main() -> None:
    """Measure, and write both tables."""
    command = "python -m benchmarks.stain_truth"
    write_table(
        "stain-angles",
        f"Degrees between estimated and true stain vectors on {PATIENTS} simulated patients, 224 "
        "px at 200×: mean (95th percentile).",
        command,
        ["method", "fitted on", "n", "haematoxylin", "eosin"],
        list(angle_rows()),
    )
    write_table(
        "stain-real",
        f"{TILES} tiles spread over each data set. Alike: within {TOLERANCE} grey levels of "
        f"torchstain on {SHARE:.0%} of the pixels, of the tiles that are normalised (not left "
        "alone). Twice: change in grey levels by a second pass at the 99th percentile of the "
        "values, median over tiles. Moved: tiles of which it changes half of the values by more "
        "than one level.",
        command,
        ["data set", "method", "tiles", "left alone", "alike", "twice, 99th percentile", "moved"],
        [row for folder in SETS for row in real_rows(folder)],
    )


if __name__ == "__main__":
    main()
