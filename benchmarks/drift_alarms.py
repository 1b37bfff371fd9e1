"""How often ``evaluate --data`` calls a drift that is none, and finds one that is there.

No drift: the groups of one data set drawn into two parts, one the training, one the outside. A
drift: another data set, another scanner of the phantom, or the outside part blurred, darkened or
tinted. An alarm is a quantity that is ``shifted`` or ``far off``, among all but the size of files
and the predictions; of runs that are named, the predictions. Beside it stands how often the
distance alone, without a look at chance, would have alarmed.

``python -m benchmarks.drift_alarms DATA [--run RUN]…`` prints the tables of ``docs/external.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageFilter

import eosin.data.sources.catalogue  # noqa: F401 -- registers the data sets
from benchmarks.stain_shift import PHANTOM, phantom_stains
from eosin.artifacts.model import Planes
from eosin.artifacts.predictions import PREFIX, read_predictions
from eosin.artifacts.profile import Shift
from eosin.core.seeding import generator
from eosin.core.types import BoolArray, FloatArray, Samples
from eosin.data.sources.base import collect_samples
from eosin.evaluation.drift import SHIFTED, compare, describe_values, measure_images
from eosin.images.bank import load_bank
from eosin.images.preprocess import make_preprocessing
from eosin.images.spacing import choose_some

INPUT_PX, DRAWS = 96, 300
FOLDERS = {
    "breakhis": "breakhis-200x-224",
    "idc": "idc",
    "pcam": "pcam",
    "lc25000": "lc25000",
    "mcf7": "mcf7-fluorescence",
}
#: One plate has no further plates to differ from.
OPTIONS = {"mcf7": {"group": "field"}}
#: Which share of the groups is the training, and how many of the others are outside.
PARTS = {
    "halves": (0.5, None),
    "15 % against the rest": (0.15, None),
    "70 % against three": (0.7, 3),
    "70 % against one": (0.7, 1),
}
CHANGES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "blurred (σ = 1 px)": lambda image: _filtered(image),
    "darker by a fifth": lambda image: image * 0.8,
    "green × 0.88, blue × 1.08": lambda image: image * (1.0, 0.88, 1.08),
}
SCANNERS = {"patients": 40, "images_per_patient": 6, "sites": 2, "magnifications": ["200"]}


@dataclass(frozen=True)
class Measured:
    """Numbers of a set's images, and the group of each."""

    columns: dict[str, FloatArray]
    groups: FloatArray

    def where(self, rows: BoolArray) -> Measured:
        """Return some of them."""
        return Measured({n: v[rows] for n, v in self.columns.items()}, self.groups[rows])

    def against(self, outside: Measured) -> dict[str, Shift]:
        """Compare others with these as the training."""
        pairs = {
            name: [describe_values(one.columns[name], one.groups) for one in (self, outside)]
            for name in self.columns
        }
        return {name: compare(name, *pair) for name, pair in pairs.items() if None not in pair}


def _filtered(image: FloatArray) -> FloatArray:
    thumbnail = Image.fromarray(image.astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    return np.asarray(thumbnail, dtype=np.float64)


def measure(samples: Samples, change: Callable[[FloatArray], FloatArray] | None = None) -> Measured:
    """Measure up to 1,000 images of a set, after a change of each."""
    samples = choose_some(samples)
    is_cells = samples.name == "mcf7"
    planes = Planes(chosen=(0, 1, 2), n_stored=3, bits=16) if is_cells else None
    names = ("dna", "actin", "tubulin") if is_cells else ("R", "G", "B")
    bank, _ = load_bank(
        samples, make_preprocessing("unit", INPUT_PX, channels=names, planes=planes)
    )
    bank = bank.reading(bank.fit_window(samples, (0.1, 99.9)))
    images = bank.of(samples)[:]
    if change is not None:
        changed = [np.clip(change(image.astype(np.float64)), 0, 255) for image in images]
        images = np.stack(changed).astype(np.uint8)
    return Measured(measure_images(images, names if is_cells else None), samples.groups)


def divide(
    groups: FloatArray, share: float, most: int | None, random: np.random.Generator
) -> tuple[BoolArray, BoolArray]:
    """Draw the groups of the training, and those outside."""
    units = random.permutation(np.unique(groups))
    n_train = max(3, round(share * len(units)))
    outside = units[n_train:] if most is None else units[n_train : n_train + most]
    return np.isin(groups, units[:n_train]), np.isin(groups, outside)


def is_alarm(shifts: dict[str, Shift]) -> bool:
    """Tell whether a drift is called."""
    return any(one.verdict in {"shifted", "far off"} for one in shifts.values())


def tell_false_alarms(name: str, measured: Measured) -> None:
    """Print how often a drift is called between groups of one set."""
    for part, (share, most) in PARTS.items():
        alarms, alone, sizes = [], [], (0, 0)
        for draw in range(DRAWS):
            rows = divide(measured.groups, share, most, generator(0, "drift", name, part, draw))
            training, outside = (measured.where(one) for one in rows)
            shifts = training.against(outside)
            alarms.append(is_alarm(shifts))
            alone.append(any(one.distance >= SHIFTED for one in shifts.values()))
            sizes = (len(set(training.groups)), len(set(outside.groups)))
        print(f"| {name} | {part} | {sizes[0]} | {sizes[1]} | "
              f"{np.mean(alarms):.1%} | {np.mean(alone):.0%} |", flush=True)  # fmt: skip


def tell_found(name: str, training: Measured, outside: Measured, halves: bool) -> None:
    """Print how often a drift is called that is there, and in what."""
    found, quantities = [], set()
    for draw in range(100 if halves else 1):
        rows = divide(training.groups, 0.5, None, generator(0, "found", name, draw))
        mine, theirs = (
            (training.where(rows[0]), outside.where(rows[1])) if halves else (training, outside)
        )
        shifts = mine.against(theirs)
        found.append(is_alarm(shifts))
        quantities |= {n for n, one in shifts.items() if one.verdict in {"shifted", "far off"}}
    print(f"| {name} | {np.mean(found):.0%} | {', '.join(sorted(quantities)) or 'none'} |",
          flush=True)  # fmt: skip


def predictions_of(run: Path) -> Measured:
    """Return what a run said of the images that it held out."""
    table = read_predictions(run / "predictions.csv")
    table = table[table["split"].isin(["oof", "test"])]
    last = [column for column in table if column.startswith(PREFIX)][-1]
    return Measured({"prediction": table[last].to_numpy(float)}, table["group"].to_numpy(str))


def simulate(folder: Path) -> dict[str, tuple[Samples, Samples]]:
    """Simulate two scanners, and patients at the two ends of the stain spectrum."""
    options = {**asdict(PHANTOM), "patients": 60, "images_per_patient": 4}
    scanners, stains = (
        collect_samples("phantom", folder / name, chosen, label="label", positive=None)
        for name, chosen in (("scanners", SCANNERS), ("stains", options))
    )
    first = (scanners.frame["site"] == "site-0").to_numpy()
    vectors = phantom_stains(stains)
    table = np.array(list(vectors.values()))
    place = (table - table.mean(axis=0)) @ np.linalg.svd(table - table.mean(axis=0))[2][0]
    pale = {name for name, one in zip(vectors, place, strict=True) if one < np.median(place)}
    low = stains.frame["patient"].isin(pale).to_numpy()
    return {
        "phantom, another scanner": (scanners.where(first), scanners.where(~first)),
        "phantom, the other half of the stains": (stains.where(low), stains.where(~low)),
    }


def main() -> None:
    """Measure, divide, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--run", type=Path, action="append", default=[])
    options = parser.parse_args()
    samples = {
        name: collect_samples(
            name, options.data / folder, OPTIONS.get(name, {}), label="label", positive=None
        )
        for name, folder in FOLDERS.items()
    }
    sets = {name: measure(one) for name, one in samples.items()}
    for name, one in sets.items():
        tell_false_alarms(name, one)
    for run in options.run:
        tell_false_alarms(f"predictions of {run.name}", predictions_of(run))
    for one, other in (
        ("pcam", "breakhis"),
        ("breakhis", "pcam"),
        ("idc", "breakhis"),
        ("breakhis", "lc25000"),
    ):
        tell_found(f"{one} against {other}", sets[one], sets[other], halves=False)
    for name in ("breakhis", "idc"):
        for what, change in CHANGES.items():
            tell_found(f"{name}, {what}", sets[name], measure(samples[name], change), halves=True)
    with TemporaryDirectory() as folder:
        for what, parts in simulate(Path(folder)).items():
            tell_found(what, *map(measure, parts), halves=False)


if __name__ == "__main__":
    main()
