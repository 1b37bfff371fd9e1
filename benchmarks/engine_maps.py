"""Draws what P3's network sees in an image that it evaluates rightly and one that it does not.

``python -m benchmarks.engine_maps RUN`` takes a run of the light CNN on BreakHis, picks two test
images of one fold, and writes ``docs/images/engine-maps-right.png`` and ``engine-maps-wrong.png``:
the maps of all three convolutions after their ReLU (P3's figure 3.8). The wrong image is the one
whose wrong class is surest; the right one is the surest of the same truth.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.engine_drawing import keep_figure
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import PREFIX, read_predictions
from eosin.artifacts.versioned import read_document
from eosin.artifacts.weights import from_twin, read_arrays
from eosin.core.errors import ArtifactError, DataError
from eosin.core.types import FloatArray, Image
from eosin.engine import Network, light_cnn, softmax
from eosin.images.preprocess import read_image, to_thumbnail
from eosin.reporting.style import house_style
from eosin.training.numpy_engine import to_channels_last

#: Layer whose maps are shown, and how many of them stand side by side.
LAYERS = {"relu1": 4, "relu2": 8, "relu3": 16}
#: Above it, a probability is not told by its digits.
SURE = 0.999
#: Largest difference from the probability that the run wrote down.
MAX_GAP = 1e-3
#: How the parts are titled.
TITLE: dict[str, Any] = {"loc": "center", "fontsize": 9.5, "weight": "normal", "pad": 5}
#: White pixels between two maps, as a share of a map's side.
GAP_SHARE = 0.08


@dataclass(frozen=True)
class Shown:
    """One image and what the network makes of it.

    Attributes:
        title: Slide, truth, what was said and how surely.
        thumbnail: As one sees it, uint8 (H, W, 3).
        maps: By layer, (H', W', filters).
    """

    title: str
    thumbnail: Image
    maps: dict[str, FloatArray]


def choose_images(folder: RunFolder) -> dict[str, Any] | None:
    """Return the rows of ``right`` and ``wrong``; nothing where a fold has not got both."""
    frame = read_predictions(folder.predictions)
    frame = frame[frame["split"] == "test"].sort_values("path")
    frame["surest"] = frame.filter(regex=f"^{PREFIX}").max(axis=1)
    wrong = frame[frame["predicted"] != frame["label"]]
    if wrong.empty:
        return None
    worst = wrong.loc[wrong["surest"].idxmax()]
    right = frame[(frame["predicted"] == frame["label"]) & (frame["label"] == worst["label"])]
    return None if right.empty else {"right": right.loc[right["surest"].idxmax()], "wrong": worst}


def load_network(folder: RunFolder, info: ModelInfo) -> Network:
    """Build the network of a model folder."""
    network = light_cnn(
        num_classes=len(info.class_names),
        in_channels=len(info.preprocessing.channels),
        **info.arguments,
    )
    network.load_state(from_twin(read_arrays(ModelFolder(folder.model).weights)))
    return network


def look_at(folder: RunFolder, row: Any) -> Shown:
    """Run the network on an image, and hold it to what the run wrote down.

    Raises:
        ArtifactError: They say something else.
    """
    info = read_document(ModelFolder(folder.model).info, ModelInfo)
    network = load_network(folder, info)
    pixels = read_image(folder.root / row["path"], None, info.preprocessing)
    maps = network.feature_maps(to_channels_last(pixels[None], info.preprocessing))
    probabilities = softmax(maps["dense2"] / info.temperature)[0]
    probability = float(row[f"{PREFIX}{row['predicted']}"])
    if abs(probabilities[info.class_names.index(row["predicted"])] - probability) > MAX_GAP:
        raise ArtifactError(f"{folder.root}: {row['path']} is evaluated otherwise than it was")
    manifest = pd.read_csv(folder.manifest, dtype=str).set_index("path")
    probable = "over 99.9%" if probability > SURE else f"{probability:.1%}"
    title = (
        f"slide {manifest.loc[row['path'], 'slide']} · {row['label']}, "
        f"said {row['predicted']}, {probable}"
    ).replace("%", " %")
    shown = {layer: maps[layer][0] for layer in LAYERS}
    return Shown(title, to_thumbnail(pixels, info.preprocessing), shown)


def lay_out(maps: FloatArray, columns: int) -> FloatArray:
    """Lay the maps (H, W, filters) out as one picture, white in between (NaN)."""
    side, filters = maps.shape[0], maps.shape[2]
    gap = max(1, round(GAP_SHARE * side))
    step, rows = side + gap, filters // columns
    thumbnail = np.full((rows * step - gap, columns * step - gap), np.nan, np.float32)
    for index in range(filters):
        top, left = (step * place for place in divmod(index, columns))
        thumbnail[top : top + side, left : left + side] = maps[:, :, index]
    return thumbnail


def draw_maps(axis: Axes, maps: FloatArray, number: int, columns: int) -> None:
    """Draw all maps of a layer on one scale, black where nothing answers."""
    top = float(np.quantile(maps, 0.995)) or 1.0
    axis.imshow(lay_out(maps, columns), cmap="inferno", vmin=0, vmax=top, interpolation="nearest")
    side, filters = maps.shape[0], maps.shape[2]
    dead = int((maps.max(axis=(0, 1)) <= 0).sum())
    shown = f"convolution {number}\n{filters} maps of {side} × {side}"
    axis.set_title(shown + (f", {dead} all zero" if dead else ""), **TITLE)
    axis.set_axis_off()


def draw_image(shown: Shown) -> Figure:
    """Draw the image and the maps of its three convolutions."""
    figure = Figure(figsize=(7.6, 4.8))
    figure.suptitle(shown.title, fontsize=11, weight="bold")
    top, bottom = figure.subfigures(2, 1)
    axes = top.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 2]})
    axes[0].imshow(shown.thumbnail)
    axes[0].set_title("the image\n", **TITLE)
    axes[0].set_axis_off()
    places = [*axes[1:], bottom.subplots()]
    for number, (axis, layer) in enumerate(zip(places, LAYERS, strict=True), start=1):
        draw_maps(axis, shown.maps[layer], number, LAYERS[layer])
    return figure


def main() -> None:
    """Draw both images of the first fold that has a right and a wrong one of one truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run = RunFolder(parser.parse_args().run)
    folds = [RunFolder(path) for path in sorted(run.folds.glob("*-*"))] or [run]
    chosen = ((folder, rows) for folder in folds if (rows := choose_images(folder)) is not None)
    folder, rows = next(chosen, (run, None))
    if rows is None:
        raise DataError(f"{run.root} has no fold with a right and a wrong test image of one class")
    for kind, row in rows.items():
        shown = look_at(folder, row)
        print(f"{kind}: {folder.root.name}, {shown.title}, {Path(row['path']).name}")
        with house_style():
            keep_figure(draw_image(shown), f"engine-maps-{kind}")


if __name__ == "__main__":
    main()
