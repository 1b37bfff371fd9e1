"""Feature maps of P3's light CNN for an image predicted correctly and one that is not (figure 3.8).

The maps are those of the NumPy engine, whichever backend trained the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import PREFIX
from eosin.artifacts.weights import from_twin, read_arrays
from eosin.core.errors import DataError
from eosin.core.types import FloatArray, Image
from eosin.engine import Network, light_cnn
from eosin.images.preprocess import read_image, to_thumbnail
from eosin.reporting.feature_grids import lay_out
from eosin.reporting.formatting import number
from eosin.reporting.outline import RenderedFigure
from eosin.reporting.style import house_style, render_figure
from eosin.runs.finished import FinishedRun
from eosin.training.numpy_engine import to_channels_last

#: Layer whose maps are shown, and how many of them stand side by side.
LAYERS = {"relu1": 4, "relu2": 8, "relu3": 16}
_TITLE: dict[str, Any] = {"loc": "center", "fontsize": 9.5, "weight": "normal", "pad": 5}


@dataclass(frozen=True)
class Shown:
    """One image and what the network makes of it.

    Attributes:
        words: Truth, prediction and its probability.
        thumbnail: As one sees it, uint8 (H, W, 3).
        maps: By layer, (H', W', filters).
    """

    words: str
    thumbnail: Image
    maps: dict[str, FloatArray]


def feature_map_figures(run: FinishedRun) -> list[RenderedFigure]:
    """Draw the maps of a correctly and of a wrongly predicted test image of one class.

    Returns:
        Two figures; none if no fold has such a pair, or the images are not there any more.
    """
    for one in run.folds or (run,):
        rows = _choose(one)
        if rows is not None:
            try:
                return [_draw(name, _look_at(one, row)) for name, row in rows.items()]
            except DataError:
                return []
    return []


def _choose(run: FinishedRun) -> dict[str, Any] | None:
    """Return the most confident wrong prediction, and the most confident right one of its class."""
    if run.model is None or run.model.architecture != "light_cnn" or run.predictions is None:
        return None
    frame = run.rows.sort_values("path")
    frame["confidence"] = frame.filter(regex=f"^{PREFIX}").max(axis=1)
    wrong = frame[frame["predicted"] != frame["label"]]
    if wrong.empty:
        return None
    worst = wrong.loc[wrong["confidence"].idxmax()]
    right = frame[(frame["predicted"] == frame["label"]) & (frame["label"] == worst["label"])]
    return (
        None if right.empty else {"right": right.loc[right["confidence"].idxmax()], "wrong": worst}
    )


def _load_network(run: FinishedRun, info: ModelInfo) -> Network:
    network = light_cnn(
        num_classes=len(info.class_names),
        in_channels=len(info.preprocessing.channels),
        **info.arguments,
    )
    network.load_state(from_twin(read_arrays(run.model_folder.weights)))
    return network


def _look_at(run: FinishedRun, row: Any) -> Shown:
    info = run.info
    pixels = read_image(run.root / row["path"], None, info.preprocessing)
    maps = _load_network(run, info).feature_maps(to_channels_last(pixels[None], info.preprocessing))
    probability = number(float(row[f"{PREFIX}{row['predicted']}"]))
    words = f"{row['label']}, predicted {row['predicted']} ({probability})"
    shown = {layer: maps[layer][0] for layer in LAYERS}
    return Shown(words, to_thumbnail(pixels, info.preprocessing), shown)


def _draw(name: str, shown: Shown) -> RenderedFigure:
    with house_style():
        figure = Figure(figsize=(7.6, 4.8))
        figure.suptitle(shown.words, fontsize=11, weight="bold")
        halves: Any = figure.subfigures(2, 1)
        top, bottom = halves
        axes = top.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 2]})
        axes[0].imshow(shown.thumbnail)
        axes[0].set_title("input\n", **_TITLE)
        axes[0].set_axis_off()
        places = [*axes[1:], bottom.subplots()]
        for place, (axis, layer) in enumerate(zip(places, LAYERS, strict=True), start=1):
            _draw_maps(axis, shown.maps[layer], place, LAYERS[layer])
        return render_figure(
            figure,
            f"feature-maps-{name}",
            alt=f"Feature maps of three convolutions for an image: {shown.words}",
            caption=f"Feature maps after each convolution's ReLU: {shown.words}.",
        )


def _draw_maps(axis: Axes, maps: FloatArray, place: int, columns: int) -> None:
    """Draw all maps of a layer on one scale; black is zero."""
    top = float(np.quantile(maps, 0.995)) or 1.0
    laid = lay_out(np.moveaxis(maps, -1, 0), columns)
    axis.imshow(laid, cmap="inferno", vmin=0, vmax=top, interpolation="nearest")
    side, filters = maps.shape[0], maps.shape[2]
    dead = int((maps.max(axis=(0, 1)) <= 0).sum())
    text = f"convolution {place}\n{filters} maps of {side} × {side}"
    axis.set_title(text + (f", {dead} all zero" if dead else ""), **_TITLE)
    axis.set_axis_off()
