"""How much of a data set's classes colour alone tells, before and after stain normalisation.

``python -m benchmarks.colour_only FOLDER`` takes the splits and stain references of the light CNN's
runs in ``FOLDER`` (made by :mod:`benchmarks.effects`). In place of the network stands a balanced
logistic regression on six numbers an image: mean and standard deviation of red, green and blue. It
sees no nucleus and no gland. Writes ``docs/results/tables/stain-colour-only.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.effects import Experiment, read_experiments
from benchmarks.tables import write_table
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.manifest import read_manifest
from eosin.artifacts.metrics import SplitMetrics, Threshold
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.core.types import FloatArray, Samples
from eosin.evaluation import Evaluated, evaluate_predictions
from eosin.images.preprocess import normalise_stain, read_image
from eosin.recipe.schema import EvaluateSection

EXPERIMENTS = ("stain-breakhis-lightcnn", "stain-idc-lightcnn", "stain-pcam-lightcnn")
CONDITIONS = ("none", "Reinhard", "Macenko", "Vahadane")


def read_colours(samples: Samples, info: ModelInfo) -> FloatArray:
    """Return mean and standard deviation of each channel as the model reads it, shape (N, 6)."""
    found = []
    for cell in samples.frame["path"]:
        image = read_image(*samples.locate(cell), info.preprocessing)
        pixels = normalise_stain(image[None], info.preprocessing).images.reshape(-1, 3)
        found.append([*pixels.mean(axis=0), *pixels.std(axis=0)])
    return np.array(found)


def judge_colours(run: RunFolder) -> SplitMetrics:
    """Evaluate the regression on each image that a network of the run held out."""
    places = [RunFolder(path) for path in sorted(run.folds.iterdir())] if run.folds.is_dir() else []
    frames, probabilities = [], []
    for place in places or [run]:
        info = read_document(ModelFolder(place.model).info, ModelInfo)
        samples = read_manifest(place.manifest, allowed=info.class_names)
        train, test = samples.part("train"), samples.part("test")
        regression = LogisticRegression(class_weight="balanced", max_iter=1000)
        model = make_pipeline(StandardScaler(), regression)
        model.fit(read_colours(train, info), train.targets)
        probabilities.append(model.predict_proba(read_colours(test, info)))
        frames.append(test.frame)
    pooled = np.concatenate(probabilities)
    evaluated = Evaluated(
        samples=Samples(
            pd.concat(frames, ignore_index=True), Path(), info.class_names, info.positive
        ),
        probabilities=pooled,
        decided=pooled.argmax(axis=1),
        threshold=Threshold(value=None, source="none", target_recall=None),
    )
    return evaluate_predictions(evaluated, EvaluateSection(), 0)


def rows_of(experiment: Experiment, base: Path) -> list[list[str]]:
    """Return a row a condition."""
    rows = []
    for condition in CONDITIONS:
        metrics = judge_colours(RunFolder(experiment.folder(base, condition)))
        auc, accuracy = (metrics.image[name] for name in ("auc", "balanced_accuracy"))
        cells = [f"{m.value:.3f} ({m.low:.3f}–{m.high:.3f})" for m in (auc, accuracy)]
        units = [str(metrics.n_images), str(metrics.n_groups)]
        rows.append([experiment.name.split("-")[1], condition, *units, *cells])
    return rows


def main() -> None:
    """Parse the command line, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    experiments = read_experiments()
    write_table(
        "stain-colour-only",
        "A logistic regression on six numbers per image (mean and standard deviation of red, green "
        "and blue), with the same splits and references as the light CNN.",
        "python -m benchmarks.colour_only FOLDER",
        ["data", "stain", "images", "groups", "AUC", "balanced accuracy"],
        [row for name in EXPERIMENTS for row in rows_of(experiments[name], given.folder)],
    )


if __name__ == "__main__":
    main()
