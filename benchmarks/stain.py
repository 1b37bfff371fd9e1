"""Stain normalisation beside its peers, on real tiles.

Both sides normalise the same 224-pixel tiles (BreakHis, LC25000) in one process and one thread, a
turn each in alternation, each tile's own stain fitted and taken away; the reference is fitted on
one image before the clock starts. ``ratio`` is the median over the turns of the peer's time
over ours of the same turn. The peers are torchstain's NumPy normalisers, told to leave out the
pictures of single stains that they otherwise make too, and torch-staintools' Vahadane, compiled as
it comes. The latter's licence is non-commercial: it is no dependency, and where it is absent its
case is left out.

``python -m benchmarks.stain --json`` prints, last, one line of JSON. How right the methods are is
:mod:`benchmarks.stain_truth`'s to tell.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pictures
from threadpoolctl import threadpool_limits

from benchmarks.tables import write_table
from eosin.core.types import Image
from eosin.runtime.door import import_companion
from eosin.stain import METHODS

DATA = Path(os.environ.get("EOSIN_DATA", Path(__file__).parents[2] / "shared" / "data"))
FOLDERS = ("breakhis-200x-224", "lc25000")
ENDINGS = (".png", ".jpg", ".jpeg")

Normalise = Callable[[Image], Any]


@dataclass(frozen=True)
class Case:
    """One method beside its peer.

    Attributes:
        method: Registered name.
        peer_name: In the table.
        package: That the peer needs.
        make_peer: From the reference image to what normalises a tile.
        tiles: A turn.
        turns: Of each side, after one to warm up.
        goal: Least ratio.
    """

    method: str
    peer_name: str
    package: str
    make_peer: Callable[[Image], Normalise]
    tiles: int
    turns: int
    goal: float

    @property
    def name(self) -> str:
        """In the table and the JSON."""
        return f"{self.method}_224"


def make_macenko(reference: Image) -> Normalise:
    from torchstain.numpy.normalizers.macenko import NumpyMacenkoNormalizer

    peer = NumpyMacenkoNormalizer()
    peer.fit(reference)
    return lambda tile: peer.normalize(tile, stains=False)


def make_reinhard(reference: Image) -> Normalise:
    from torchstain.numpy.normalizers.reinhard import NumpyReinhardNormalizer

    peer = NumpyReinhardNormalizer()
    peer.fit(reference)
    return lambda tile: peer.normalize(tile)


def make_vahadane(reference: Image) -> Normalise:
    import_companion("torchvision")  # which the peer imports, and which may need help
    import torch
    from torch_staintools.normalizer import NormalizerBuilder

    torch.set_num_threads(1)
    torch.manual_seed(0)
    peer = NormalizerBuilder.build("vahadane")
    peer.fit(_as_tensor(reference))

    def normalise(tile: Image) -> Any:
        with torch.inference_mode():
            return peer(_as_tensor(tile))

    return normalise


def _as_tensor(image: Image) -> Any:
    import torch

    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255


CASES = (
    Case("macenko_224", "torchstain (NumPy)", "torchstain", make_macenko, 20, 15, goal=4.0),
    Case("reinhard_224", "torchstain (NumPy)", "torchstain", make_reinhard, 20, 15, goal=3.0),
    Case("vahadane_224", "torch-staintools", "torch_staintools", make_vahadane, 2, 3, goal=20.0),
)


def read_tiles(count: int) -> list[Image]:
    """Return tiles spread over the data sets, uint8, shape (224, 224, 3) each."""
    tiles = []
    for folder in FOLDERS:
        paths = sorted(path for path in (DATA / folder).rglob("*") if path.suffix in ENDINGS)
        if not paths:
            raise SystemExit(f"no images under {DATA / folder}: set EOSIN_DATA")
        share = -(-count // len(FOLDERS))
        tiles += [_decode(path) for path in paths[:: len(paths) // share][:share]]
    return tiles[:count]


def _decode(path: Path) -> Image:
    with Pictures.open(path) as thumbnail:
        return np.asarray(thumbnail.convert("RGB"))


def measure(case: Case) -> dict[str, list[float]]:
    """Let each side have its turns; return what each took, in seconds a tile."""
    reference = _decode(DATA / "stain-pair" / "target.png")[:224, :224]
    tiles = read_tiles(case.tiles)
    sides = {
        "ours": METHODS.get(case.method)().fit(reference).apply,
        "peer": case.make_peer(reference),
    }
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(case.turns + 1):
        for name, normalise in sides.items():
            start = time.perf_counter()
            for tile in tiles:
                normalise(tile)
            spent[name].append((time.perf_counter() - start) / len(tiles))
    return {name: turns[1:] for name, turns in spent.items()}


def summarise(case: Case, spent: dict[str, list[float]]) -> dict[str, Any]:
    """Print one case, and return its row."""
    ours, peer = (1 / statistics.median(spent[name]) for name in ("ours", "peer"))
    pairs = zip(spent["ours"], spent["peer"], strict=True)
    ratio = statistics.median(theirs / mine for mine, theirs in pairs)
    print(
        f"{case.name:14} {ours:8.1f} img/s   {case.peer_name} {peer:8.1f} img/s   "
        f"ratio {ratio:.2f} (goal {case.goal:.0f})"
    )
    return {
        "case": case.name,
        "ours": round(ours, 1),
        "peer": round(peer, 1),
        "peer_name": case.peer_name,
        "unit": "img/s",
        "ratio": round(ratio, 3),
    }


def keep(rows: list[dict[str, Any]]) -> None:
    """Keep the table for the pages of results."""
    write_table(
        "stain-speed",
        "Real 224-pixel tiles (BreakHis, LC25000), one thread, both implementations in turns: "
        "images per second, and the median ratio.",
        "python -m benchmarks.stain --save",
        ["method", "ours", "peer", "", "ratio", "goal"],
        [
            [
                case.method,
                f"{row['ours']:.0f}",
                f"{row['peer']:.1f}",
                case.peer_name,
                f"{row['ratio']:.1f}",
                f"{case.goal:.0f}",
            ]
            for case in CASES
            for row in rows
            if row["case"] == case.name
        ],
    )


def main() -> None:
    """Time the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, last")
    parser.add_argument("--case", choices=[case.name for case in CASES], help="only this one")
    parser.add_argument(
        "--save", action="store_true", help="keep the table for the pages of results"
    )
    arguments = parser.parse_args()
    rows = []
    for case in CASES:
        if arguments.case not in {None, case.name}:
            continue
        if importlib.util.find_spec(case.package) is None:
            print(f"{case.name} is left out: {case.package} is not installed", file=sys.stderr)
            continue
        with threadpool_limits(1):
            rows.append(summarise(case, measure(case)))
    if arguments.save:
        keep(rows)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
