"""How much of a model is colour: the same networks on grey images.

``python -m benchmarks.grey_images TITLE=RUN…`` lets each fold's network of finished runs predict
the images that it held out, as they are and with the luminance (ITU-R BT.601) in all three
channels. Prints AUC with its 95 % interval by patient, and the paired difference; ``--save NAME``
keeps the table for ``docs/results``. A model that lost nothing would not use colour; one that falls
to 0.5 would use nothing else. Grey images are unlike any in training, so that part of the loss is
of their strangeness: the numbers bound the share of colour from above.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import eosin
from benchmarks.effects import interval_text
from benchmarks.tables import write_table
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import read_manifest
from eosin.images.decode import decode_image
from eosin.metrics.comparison import difference, draw
from eosin.metrics.predictions import Predictions, encode


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Return an image, uint8 (H, W, 3), with its luminance in all channels."""
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def predict(run: RunFolder) -> tuple[Predictions, Predictions]:
    """Return the held-out predictions of all folds for the images as they are, and grey."""
    frames, found = [], ([], [])
    for place in sorted(run.folds.iterdir()):
        fold = RunFolder(place)
        model = eosin.load(fold.model)
        names = model.info.class_names
        samples = read_manifest(fold.manifest, allowed=names).part("test")
        images = [decode_image(*samples.locate(cell)) for cell in samples.frame["path"]]
        for probabilities, shown in zip(found, (images, map(to_grey, images)), strict=True):
            table = model.predict(list(shown)).table
            probabilities.append(table[[f"prob_{name}" for name in names]].to_numpy())
        frames.append(samples.frame)
    frame = pd.concat(frames, ignore_index=True)
    common = {
        "targets": frame["label"].map(names.index).to_numpy(),
        "groups": encode(frame["group"].tolist()),
        "positive": names.index(model.info.positive),
    }
    coloured, grey = (
        Predictions(probabilities=pooled, predicted=pooled.argmax(axis=1), **common)
        for pooled in map(np.concatenate, found)
    )
    return coloured, grey


def main() -> None:
    """Compare the runs that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="TITLE=RUN")
    parser.add_argument("--save", metavar="NAME", help="keep the table for docs/results")
    given = parser.parse_args()
    rows = []
    for title, _, place in (one.rpartition("=") for one in given.runs):
        coloured, grey = predict(RunFolder(Path(place)))
        drawn = [draw(one, ["auc"]) for one in (coloured, grey)]
        values = [one.points["auc"] for one in drawn]
        gap = difference(drawn[1], drawn[0], "auc")
        loss = interval_text({"value": gap.value, "low": gap.low, "high": gap.high}, "+.3f")
        rows.append([title, *(f"{value:.3f}" for value in values), loss])
        print(*rows[-1], sep="  ")
    if given.save:
        write_table(
            given.save,
            "AUC of held-out images as they are, and grey; difference with its 95 % interval.",
            "python -m benchmarks.grey_images TITLE=RUN…",
            ["run", "AUC", "grey", "difference"],
            rows,
        )


if __name__ == "__main__":
    main()
