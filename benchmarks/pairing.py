"""What one run has more than another on the same images, with intervals of the difference."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.metrics.comparison import difference, draw
from eosin.metrics.predictions import Predictions, encode

#: Splits whose predictions are compared, the first that a run has.
PREFERRED = ("oof", "test", "external")
#: Metrics that are compared unless others are asked for.
GAINS = {"auc": "AUC", "accuracy": "accuracy"}


def paired_gain(run: Path, before: Path, metrics: Iterable[str] = GAINS) -> dict[str, Any]:
    """Compare two runs that were evaluated on the same images.

    Args:
        run: A run folder.
        before: Another.
        metrics: Names, as in ``metrics.json``.

    Returns:
        Numbers of images and groups; for each metric the difference, and its 95 % interval from
        resamples of whole groups, the same for both runs; no interval where nothing varies.

    Raises:
        SystemExit: They were evaluated on other images, or tell more than two classes.
    """
    (after_paths, after_it), (before_paths, before_it) = map(_read_predictions, (run, before))
    if after_it.positive is None:
        raise SystemExit("gains are computed for two classes only")
    if after_paths != before_paths:
        raise SystemExit(f"{run} and {before} were not evaluated on the same images")
    after, ago = (draw(each, list(metrics)) for each in (after_it, before_it))
    found: dict[str, Any] = {"n_images": len(after_it), "n_groups": after_it.n_groups}
    for metric in metrics:
        gap = difference(after, ago, metric)
        found[metric] = {"value": gap.value, "low": gap.low, "high": gap.high}
    return found


def _read_predictions(run: Path) -> tuple[list[str], Predictions]:
    """Return a run's evaluated images in the order of their paths, so that two runs' rows agree."""
    frame = pd.read_csv(run / "predictions.csv", dtype={"group": str})
    frame = frame[frame["split"] == next(s for s in PREFERRED if s in set(frame["split"]))]
    frame = frame.sort_values("path")
    info = json.loads((run / "model" / "model.json").read_text(encoding="utf-8"))
    names = info["class_names"]
    targets = frame["label"].map(names.index).to_numpy()
    # Run folders may lie at different depths.
    paths = [str((run / path).resolve()) for path in frame["path"]]
    return paths, Predictions(
        probabilities=frame[[f"prob_{name}" for name in names]].to_numpy(),
        targets=targets,
        predicted=frame["predicted"].map(names.index).to_numpy(),
        groups=encode(frame["group"]),
        positive=names.index(info["positive"]),
    )
