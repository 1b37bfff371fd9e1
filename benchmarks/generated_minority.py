"""P3's future work, generated images of the minority class: do they help on BreakHis?

P3 names adversarial networks as a way to more benign images. Here the phantom's renderer is the
generator: each benign patient of a training part gives it stain vectors and strengths (Vahadane's
method) and the size, number and darkness of nuclei (haematoxylin above Otsu's threshold), and it
draws as many benign fields as the class lacks. They join the training part alone. Beside them stand
the same folds without balance, with class weights, and with the class oversampled.

``python -m benchmarks.generated_minority FOLDER DATA`` trains what is not there yet and writes
``docs/results/effects/minority-breakhis-lightcnn.json``; ``--look PNG`` draws real and generated
fields side by side instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as PillowImage
from scipy import ndimage

import eosin
from benchmarks.effects import ROOT, STORE
from benchmarks.pairing import paired_gain
from eosin.artifacts.manifest import read_manifest, relocated, write_manifest
from eosin.artifacts.metrics import Threshold
from eosin.core.files import write_json
from eosin.core.types import FloatArray, Image, Samples
from eosin.data.phantom import PhantomOptions, draw_patient, render_patch
from eosin.data.phantom.camera import Stain
from eosin.evaluation import Evaluated, evaluate_predictions
from eosin.images.decode import decode_image
from eosin.recipe import read_recipe
from eosin.stain import Vahadane

SEED = 0
SIDE = 224
#: The phantom's field whose nuclei are as large in pixels as those of BreakHis at 200×.
FIELD = "100"
RECIPE = "lightcnn-breakhis200"
SHORT = ("train.epochs=15",)
CONDITIONS = {
    "none": ("train.class_weights=none", *SHORT),
    "class weights": SHORT,
    "oversampled": ("train.balance=oversample", *SHORT),
    "generated": ("train.class_weights=none", *SHORT),
}
METRICS = ["auc", "balanced_accuracy", "specificity"]
#: The phantom's own habits may be bent by so much.
BOUNDS = (0.4, 2.5)
#: Real pixels of one nucleus, at least and at most.
NUCLEUS_PX = (20, 1500)


@dataclass(frozen=True)
class Look:
    """What the generator is told of a patient.

    Attributes:
        white: Light of the brightest pixels, R, G, B, in 0..1.
        matrix: Stain vectors against that white, shape (2, 3).
        strength: 99th percentile of each stain's concentration, shape (2,).
        nuclei: Median radius in pixels, number a field, mean haematoxylin, shape (3,).
    """

    white: FloatArray
    matrix: FloatArray
    strength: FloatArray
    nuclei: FloatArray


def look_at(images: list[Image]) -> Look:
    """Measure a patient's stain and nuclei."""
    white = np.percentile(np.stack(images).reshape(-1, 3), 99, axis=0)
    images = [np.minimum(image / white * 240, 255).astype(np.uint8) for image in images]
    reference = Vahadane().fit_many(images).reference_
    matrix = np.array(reference.stain_matrix)
    measured = np.array([_nuclei(image, matrix) for image in images])
    strength = np.array(reference.max_concentrations)
    return Look(white / 255, matrix, strength, np.nanmedian(measured, axis=0))


def _nuclei(image: Image, matrix: FloatArray) -> tuple[float, float, float]:
    density = -np.log((image.astype(np.float64) + 1) / 240)
    amount = (density.reshape(-1, 3) @ np.linalg.pinv(matrix))[:, 0].reshape(image.shape[:2])
    amount = np.maximum(ndimage.gaussian_filter(amount, 1.0), 0)
    dark = amount > _otsu(amount)
    labels, count = ndimage.label(ndimage.binary_opening(dark))
    sizes = ndimage.sum_labels(dark, labels, np.arange(1, count + 1))
    kept = sizes[(sizes >= NUCLEUS_PX[0]) & (sizes <= NUCLEUS_PX[1])]
    if not len(kept):
        return np.nan, np.nan, np.nan
    return float(np.sqrt(np.median(kept) / np.pi)), float(len(kept)), float(amount[dark].mean())


def _otsu(values: FloatArray) -> float:
    counts, edges = np.histogram(values, bins=128)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    mean_below = np.cumsum(counts * centres) / np.maximum(below, 1)
    total = (counts * centres).sum()
    mean_above = (total - np.cumsum(counts * centres)) / np.maximum(above, 1)
    return float(centres[np.argmax(below * above * (mean_below - mean_above) ** 2)])


class Generator:
    """The phantom's renderer, bent to look like given patients."""

    def __init__(self) -> None:
        self._options = PhantomOptions(patients=400, subtypes=True, fingerprint=0.0, seed=SEED)
        numbers = range(self._options.patients)
        self._benign = [n for n in numbers if draw_patient(self._options, n).label == "benign"]
        plain = [self._render(draw_patient(self._options, n), 0) for n in self._benign[:24]]
        #: What the same measures say of the phantom as it is.
        self._own = look_at(plain)
        print("the phantom:", self._own)

    def draw(self, look: Look, number: int) -> Image:
        """Draw a benign field of a patient who looks so, uint8, shape (SIDE, SIDE, 3)."""
        patient = draw_patient(self._options, self._benign[number % len(self._benign)])
        size, count, chromatin = np.clip(look.nuclei / self._own.nuclei, *BOUNDS)
        strength = np.clip(look.strength / self._own.strength, *BOUNDS)
        stain = Stain(
            haematoxylin=tuple(look.matrix[0].tolist()),
            eosin=tuple(look.matrix[1].tolist()),
            strength=(float(strength[0]), float(strength[1])),
            white=tuple(look.white.tolist()),
        )
        habit = replace(
            patient.habit,
            nuclear_scale=float(size),
            # The strength of the stain has made nuclei darker already.
            chromatin=float(np.clip(chromatin / strength[0], *BOUNDS)),
            cellularity=float(count),
        )
        return self._render(replace(patient, stain=stain, habit=habit), number)

    def _render(self, patient: Any, index: int) -> Image:
        return render_patch(patient, 0, FIELD, index, SIDE)


def generated_rows(train: Samples, generator: Generator, folder: Path) -> pd.DataFrame:
    """Draw what the benign class lacks in a training part; return its rows."""
    counts = train.frame["label"].value_counts()
    lacking = int(counts["malignant"] - counts["benign"])
    benign = train.frame[train.frame["label"] == "benign"]
    looks = {
        patient: look_at([decode_image(*train.locate(cell)) for cell in rows["path"]])
        for patient, rows in benign.groupby("patient")
    }
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(lacking):
        patient = list(looks)[number % len(looks)]
        path = folder / f"{patient}-{number:04d}.png"
        if not path.exists():
            PillowImage.fromarray(generator.draw(looks[patient], number)).save(path)
        name = f"generated-{patient}"
        rows.append({"path": str(path), "label": "benign", "patient": name, "group": name})
    return pd.DataFrame(rows, dtype=object).assign(split="train", magnification="200")


def write_tables(base: Path, data: Path) -> list[Path]:
    """Write each fold's table, with and without generated images; return the plain ones."""
    plain = sorted((base / "tables").glob("plain-*.csv"))
    if plain:
        return plain
    split = base / "split"
    if not (split / "metrics.json").exists():
        settings = [f"data.root={data}/breakhis-200x-224", "train.epochs=1"]
        eosin.train(ROOT / "recipes" / f"{RECIPE}.toml", overrides=settings, output=split)
    generator = Generator()
    for fold in sorted((split / "folds").iterdir()):
        samples = read_manifest(fold / "manifest.csv", positive="malignant")
        columns = ["path", "label", "patient", "group", "magnification", "split"]
        samples = replace(samples, frame=samples.frame[columns])
        absolute = relocated(samples, base / "tables")
        more = generated_rows(samples.part("train"), generator, base / "images" / fold.name)
        more["path"] = relocated(Samples(more, Path(), ()), base / "tables").frame["path"]
        both = pd.concat([absolute.frame, more], ignore_index=True)
        (base / "tables").mkdir(exist_ok=True)
        write_manifest(
            base / "tables" / f"generated-{fold.name}.csv", replace(absolute, frame=both)
        )
        write_manifest(base / "tables" / f"plain-{fold.name}.csv", absolute)
    return sorted((base / "tables").glob("plain-*.csv"))


def train(base: Path, table: Path, condition: str) -> Path:
    """Train one fold under one condition, if it is not there; return its run folder."""
    name = table.stem.partition("-")[2]
    if condition == "generated":
        table = table.with_name(f"generated-{name}.csv")
    run = base / condition.replace(" ", "-") / name
    if not (run / "report.html").exists():
        settings = [f"data.manifest={table}", "data.split.protocol=column", *CONDITIONS[condition]]
        command = [sys.executable, "-m", "eosin", "train"]
        command += [str(ROOT / "recipes" / f"{RECIPE}.toml"), "-o", str(run)]
        command += [part for setting in settings for part in ("--set", setting)]
        resume = ["--resume", str(run)] if (run / "recipe.toml").exists() else []
        subprocess.run([*command[:4], *resume] if resume else command, check=True)
    return run


def pool(runs: list[Path], folder: Path) -> dict[str, Any]:
    """Join the held-out predictions of all folds; return their metrics."""
    frames = []
    for run in runs:
        frame = pd.read_csv(run / "predictions.csv", dtype=str)
        frame = frame[frame["split"] == "test"]
        frame["path"] = [str((run / path).resolve()) for path in frame["path"]]
        frames.append(frame.assign(split="oof"))
    table = pd.concat(frames, ignore_index=True)
    (folder / "model").mkdir(parents=True, exist_ok=True)
    info = (runs[0] / "model" / "model.json").read_text(encoding="utf-8")
    (folder / "model" / "model.json").write_text(info, encoding="utf-8")
    table.to_csv(folder / "predictions.csv", index=False)
    names = tuple(json.loads(info)["class_names"])
    probabilities = table[[f"prob_{name}" for name in names]].astype(float).to_numpy()
    evaluated = Evaluated(
        samples=Samples(table, folder, names, "malignant"),
        probabilities=probabilities,
        decided=probabilities.argmax(axis=1),
        threshold=Threshold(value=None, source="none", target_recall=None),
    )
    section = read_recipe(runs[0] / "recipe.toml").evaluate
    metrics: dict[str, Any] = evaluate_predictions(evaluated, section, SEED).model_dump(mode="json")
    return metrics


def run_all(base: Path, data: Path) -> None:
    """Train every fold under every condition, and write what came of it."""
    tables = write_tables(base, data)
    rows, pooled = [], {}
    for condition, settings in CONDITIONS.items():
        runs = [train(base, table, condition) for table in tables]
        pooled[condition] = base / "pooled" / condition.replace(" ", "-")
        metrics = pool(runs, pooled[condition])
        shown = [json.loads((run / "environment.json").read_text()) for run in runs]
        against = pooled["none"]
        gain = paired_gain(pooled[condition], against, METRICS) if condition != "none" else None
        added = ("generated images",) if condition == "generated" else settings
        rows.append(
            {
                "condition": condition,
                "settings": list(added),
                **{metric: metrics["image"][metric] for metric in METRICS},
                "gain": gain,
                "unchanged": None,
                "seconds": sum(sum(one["seconds"].values()) for one in shown),
                "git": shown[0]["git"],
            }
        )
    kept = {
        "recipe": RECIPE,
        "metrics": METRICS,
        "seed": SEED,
        "device": shown[0]["device"],
        **{key: metrics[key] for key in ("n_images", "n_groups", "n_patients")},
        "rows": rows,
    }
    STORE.mkdir(parents=True, exist_ok=True)
    write_json(STORE / "minority-breakhis-lightcnn.json", kept)


def draw_sheet(base: Path, path: Path) -> None:
    """Lay real benign fields over generated ones of the same patients."""
    table = read_manifest(base / "tables" / "generated-0-0.csv", positive="malignant")
    frame = table.frame[(table.frame["label"] == "benign") & (table.frame["split"] == "train")]
    names = [name for name in dict.fromkeys(frame["patient"]) if not name.startswith("generated")]
    rows = []
    for kind in ("{}", "generated-{}"):
        chosen = [frame[frame["patient"] == kind.format(name)]["path"].iloc[:2] for name in names]
        cells = [cell for part in chosen for cell in part]
        rows.append(np.concatenate([decode_image(*table.locate(cell)) for cell in cells], axis=1))
    PillowImage.fromarray(np.concatenate(rows)).save(path)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--look", type=Path)
    given = parser.parse_args()
    base, data = (path.resolve() for path in (given.folder, given.data))
    if given.look is None:
        run_all(base, data)
    else:
        write_tables(base, data)
        draw_sheet(base, given.look)


if __name__ == "__main__":
    main()
