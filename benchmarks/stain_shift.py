"""Tables that divide patients by their stain: train on one half of the spectrum, test on the other.

``python -m benchmarks.stain_shift FOLDER DATA`` writes into ``FOLDER/manifests`` a pair of tables
for IDC and one for the phantom, whose images it simulates there. In ``-shift`` the patients on one
side of the stain spectrum are trained on and those on the other side evaluated; in ``-random`` the
halves are drawn by chance, which is what the shift is held against. The spectrum is the first
principal component of the patients' stain vectors: on the phantom the true ones, on IDC Macenko's
of all of a patient's patches. ``benchmarks/effects.toml`` names the experiments over them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import eosin.data.sources.catalogue  # noqa: F401 -- registers the data sets
from eosin.artifacts.manifest import relocated, write_manifest
from eosin.core.errors import DataError
from eosin.core.seeding import generator
from eosin.core.types import FloatArray, Samples
from eosin.data.phantom import PhantomOptions, draw_patient
from eosin.data.sources.base import collect_samples
from eosin.images.decode import decode_image
from eosin.stain import Macenko

SEED = 0
#: Of the patients that are not evaluated, for stopping and the threshold.
VAL = 0.2
#: Twice the usual scatter of stains, so that the halves of the spectrum are apart.
PHANTOM = PhantomOptions(
    patients=100,
    images_per_patient=12,
    size_px=96,
    sections=1,
    magnifications=("200",),
    fingerprint=2.0,
    seed=SEED,
)


def phantom_stains(samples: Samples) -> dict[str, FloatArray]:
    """Return each simulated patient's true stain vectors, shape (6,)."""
    patients = [draw_patient(PHANTOM, number) for number in range(PHANTOM.patients)]
    true = {patient.id: patient.section_stain(0).matrix.ravel() for patient in patients}
    return {name: true[name] for name in sorted(set(samples.frame["patient"]))}


def estimated_stains(samples: Samples) -> dict[str, FloatArray]:
    """Return each patient's stain vectors by Macenko's method, shape (6,); none leaves one out."""
    found = {}
    for patient, rows in samples.frame.groupby("patient"):
        images = [decode_image(*samples.locate(cell)) for cell in rows["path"]]
        try:
            reference = Macenko().fit_many(images, [patient] * len(images)).reference_
        except DataError as error:  # a patient whose patches show no stain
            print(f"{patient} is left out: {error}")
            continue
        found[str(patient)] = np.ravel(reference.stain_matrix)
    return found


def along_spectrum(stains: dict[str, FloatArray]) -> list[str]:
    """Order patients along the first principal component of their stain vectors."""
    vectors = np.array(list(stains.values()))
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axis = axes[0] * np.sign(axes[0][np.abs(axes[0]).argmax()])
    order = np.argsort(centred @ axis, kind="stable")
    return [list(stains)[place] for place in order]


def write_pair(name: str, samples: Samples, stains: dict[str, FloatArray], folder: Path) -> None:
    """Write the table that divides by stain, and the one that divides by chance."""
    spectrum = along_spectrum(stains)
    shuffled = generator(SEED, "random halves").permutation(spectrum).tolist()
    for kind, order in (("shift", spectrum), ("random", shuffled)):
        half = len(order) // 2
        seen = generator(SEED, "validation", kind).permutation(order[:half]).tolist()
        n_val = round(VAL * half)
        split = dict.fromkeys(order[half:], "test")
        split |= dict.fromkeys(seen[:n_val], "val") | dict.fromkeys(seen[n_val:], "train")
        kept = samples.where(samples.frame["patient"].isin(split).to_numpy())
        kept.frame["split"] = kept.frame["patient"].map(split)
        path = folder / f"{name}-{kind}.csv"
        write_manifest(path, relocated(kept, folder))
        sizes = kept.frame.groupby("split")["patient"].agg(["size", "nunique"])
        shares = kept.frame.groupby("split")["label"].value_counts(normalize=True).unstack()
        print(f"{path.name}\n{sizes.join(shares.round(3)).to_string()}")


def main() -> None:
    """Parse the command line and write all four tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    folder = given.folder.resolve() / "manifests"
    folder.mkdir(parents=True, exist_ok=True)
    options = {key: getattr(PHANTOM, key) for key in PHANTOM.__dataclass_fields__}
    phantom = collect_samples("phantom", folder / "phantom", options, label="label", positive=None)
    write_pair("phantom", phantom, phantom_stains(phantom), folder)
    idc = collect_samples("idc", given.data.resolve() / "idc", {}, label="label", positive=None)
    write_pair("idc", idc, estimated_stains(idc), folder)


if __name__ == "__main__":
    main()
