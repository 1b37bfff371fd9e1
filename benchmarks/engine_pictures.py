"""Draws ``docs/engine.md``'s pictures, one a layer: ``python -m benchmarks.engine_pictures``.

Every number in them is what the engine itself gives for a few small arrays; no data is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks.engine_drawing import frame, keep_figure, new_panels, show_numbers
from eosin.core.types import FloatArray
from eosin.engine import (
    SGD,
    Adam,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    MaxPool2d,
    Network,
    Optimiser,
    ReLU,
    cross_entropy,
    softmax,
)
from eosin.engine.convolution import gather
from eosin.engine.layers import Layer
from eosin.reporting.style import COLOURS, INK, MUTED, house_style, look

BLUE, ORANGE, GREEN, PINK = COLOURS[:4]
#: Of each optimiser on its way down the valley.
STEPS = 40


def build(layer: Layer, shape: tuple[int, ...]) -> Network:
    """Return a network of one layer."""
    return Network([layer], shape, dtype=np.float64)


def draw_convolution() -> Figure:
    """Draw patches that become rows of a table, and the table times the kernel."""
    image = np.zeros((1, 6, 6, 1))
    image[0, :, 3:] = 1
    image[0, 4:, :] = 0
    network = build(Conv2d(1, 3), (6, 6, 1))
    kernel = np.array([[-1.0, 0, 1]] * 3)
    network.parameters["conv2d1.weight"][...] = kernel[:, :, None, None]
    patches = gather(image, 3, 1).reshape(16, 9)
    found = network.forward(image)[0, :, :, 0]
    figure, axes = new_panels(4, width_in=9.2, height_in=3.8, ratios=[15, 11, 4, 13])
    show_numbers(axes[0], image[0, :, :, 0], "image, 6 × 6", top=2)
    show_numbers(axes[1], patches, "its 16 patches, a row each", top=2, size=7)
    show_numbers(axes[2], kernel.reshape(9, 1), "× kernel")
    show_numbers(axes[3], found, "= 16 outputs, 4 × 4")
    for place, colour in ((1, GREEN), (14, PINK)):
        row, column = divmod(place, 4)
        frame(axes[0], row, column, 3, 3, colour)
        frame(axes[1], place, 0, 1, 9, colour)
        frame(axes[3], row, column, 1, 1, colour)
    return figure


def draw_padding() -> Figure:
    """Draw which pixels are the centres of patches, for strides and paddings."""
    cases = [("valid", 1), ("valid", 2), ("same", 1), ("same", 2)]
    figure, axes = new_panels(len(cases), width_in=9.2, height_in=2.6)
    for axis, (padding, stride) in zip(axes, cases, strict=True):
        layer = Conv2d(1, 3, stride=stride, padding=padding)  # type: ignore[arg-type]
        side = build(layer, (6, 6, 1)).shapes["conv2d1"][0]
        before, after = layer._pad(6)
        axis.set(xlim=(-1.6, 6.6), ylim=(6.6, -1.6), aspect="equal")
        axis.set_title(f"{padding}, stride {stride}: {side} × {side}", loc="center", pad=0)
        axis.set_axis_off()
        for row in range(-before, 6 + after):
            for column in range(-before, 6 + after):
                inside = 0 <= row < 6 and 0 <= column < 6
                fill = "#fbe4d5" if inside else "white"
                line = "-" if inside else ":"
                corner = (column - 0.5, row - 0.5)
                axis.add_patch(Rectangle(corner, 1, 1, lw=0.8, ls=line, fc=fill, ec=MUTED))
        centres = 1 - before + stride * np.arange(side)
        axis.plot(*(grid.ravel() for grid in np.meshgrid(centres, centres)), "o", color=INK, ms=4)
        for place, colour in ((0, GREEN), (1, PINK)):
            frame(axis, -before, stride * place - before, 3, 3, colour)
    return figure


def draw_relu() -> Figure:
    """Draw both kinds of ReLU as curves, and what they make of some numbers."""
    line = np.linspace(-3, 3, 121)[None, :]
    numbers = np.array([[1.5, -2.0, 0.5], [-0.5, 3.0, -1.0], [0.0, -3.0, 2.0]])
    layers: dict[str, Layer] = {"ReLU()": ReLU(), "LeakyReLU(0.1)": LeakyReLU(0.1)}
    figure, axes = new_panels(4, width_in=9.2, height_in=2.5, ratios=[1.5, 1, 1, 1])
    show_numbers(axes[1], numbers, "in", top=3)
    for index, (name, layer) in enumerate(layers.items()):
        made = layer.forward(line, training=False)[0]
        style: dict[str, Any] = {"color": (BLUE, ORANGE)[index], "linestyle": ("-", "--")[index]}
        axes[0].plot(line[0], made, label=name, **style)
        show_numbers(axes[2 + index], layer.forward(numbers, training=False), name, top=3)
    axes[0].set(xlabel="in", ylabel="out")
    axes[0].legend(loc="upper left")
    return figure


def draw_pool() -> Figure:
    """Draw windows and their largest numbers, and the way back."""
    image = np.array([[1.0, 3, 2, 0], [0, 2, 5, 1], [4, 0, 1, 1], [1, 2, 1, 0]])
    gradient = np.array([[0.5, -1.0], [2.0, 1.5]])
    pool = MaxPool2d(2)
    found = pool.forward(image[None, :, :, None], training=True)
    back = pool.backward(gradient[None, :, :, None])
    figure, axes = new_panels(4, width_in=9.2, height_in=2.7, ratios=[4, 2.6, 2.6, 4])
    show_numbers(axes[0], image, "in, 4 × 4")
    show_numbers(axes[1], found[0, :, :, 0], "out, 2 × 2", top=5)
    show_numbers(axes[2], gradient, "derivative\nby what came out")
    show_numbers(axes[3], back[0, :, :, 0], "goes to the largest;\nof equals, to the first", top=2)
    for axis, side in ((axes[0], 2), (axes[1], 1), (axes[2], 1), (axes[3], 2)):
        frame(axis, side, side, side, side, GREEN)
        frame(axis, 0, 0, side, side, PINK)
    return figure


def draw_norm() -> Figure:
    """Draw three channels before and after, and the running mean following the batches'."""
    random = np.random.default_rng(0)
    network, means, seen = build(BatchNorm(), (8, 8, 3)), list[FloatArray](), list[FloatArray]()
    for _ in range(60):
        batch = random.normal((-4, 2, 7), (0.6, 2.0, 1.0), (4, 8, 8, 3))
        batch += random.normal(0, 1.0, 3)
        made = network.forward(batch, training=True)
        means.append(network.layers["batchnorm1"].buffers["mean"].copy())
        seen.append(batch.mean(axis=(0, 1, 2)))
    figure, axes = new_panels(3, width_in=9.2, height_in=2.7)
    for channel in range(3):
        style = {"color": COLOURS[channel], "linestyle": look(channel)["linestyle"]}
        for axis, values in ((axes[0], batch), (axes[1], made)):
            axis.hist(values[..., channel].ravel(), bins=18, histtype="step", lw=1.6, **style)
        axes[2].plot(np.array(seen)[:, channel], ".", ms=3, color=COLOURS[channel])
        axes[2].plot(np.array(means)[:, channel], **style)
    axes[0].set(title="in: three channels", xlabel="value", ylabel="pixels of the batch")
    axes[1].set(title="out", xlabel="value")
    axes[2].set(title="mean kept for evaluation", xlabel="batches seen", ylabel="value")
    return figure


def draw_dense() -> Figure:
    """Draw an image laid out as a row, and the row times a weight."""
    image = np.array([[[1.0, 2.0], [0.0, 3.0]], [[2.0, -1.0], [1.0, 0.0]]])
    network = Network([Flatten(), Dense(3)], (2, 2, 2), dtype=np.float64)
    weight = np.array([[1, 0, -1], [0, 1, 0], [1, 1, 0], [0, 0, 1]] * 2, float)
    network.parameters["dense1.weight"][...] = weight
    network.parameters["dense1.bias"][...] = (0.5, 0, -1)
    made = network.feature_maps(image[None])
    figure, axes = new_panels(6, width_in=9.2, height_in=2.9, ratios=[2, 2, 8, 3, 3, 3])
    for channel in range(2):
        show_numbers(axes[channel], image[:, :, channel], f"channel {channel}", top=3)
    show_numbers(axes[2], made["flatten1"], "Flatten: one row, pixel by pixel", top=3)
    show_numbers(axes[3], weight, "× weight,\n8 × 3")
    show_numbers(axes[4], network.parameters["dense1.bias"][None], "+ bias")
    show_numbers(axes[5], made["dense1"], "= out")
    return figure


def draw_dropout() -> Figure:
    """Draw two training passes and one in evaluation."""
    network, ones = build(Dropout(0.5), (4, 6)), np.ones((1, 4, 6))
    figure, axes = new_panels(3, width_in=9.2, height_in=2.3)
    for number, axis in enumerate(axes[:2], start=1):
        made = network.forward(ones, training=True)
        show_numbers(axis, made[0], f"ones, training step {number}", top=2)
    show_numbers(axes[2], network.forward(ones)[0], "ones, evaluation", top=2)
    return figure


def draw_loss() -> Figure:
    """Draw logits, probabilities and the derivative by the logits."""
    logits, target = np.array([[2.0, 0.5, -1.0, 1.0]]), np.array([1])
    loss, gradient = cross_entropy(logits, target)
    shown = {
        "logits": logits[0],
        "softmax: probabilities": softmax(logits)[0],
        f"derivative; the loss is {loss:.2f}": gradient[0],
    }
    figure, axes = new_panels(3, width_in=9.2, height_in=2.5)
    for axis, (title, values) in zip(axes, shown.items(), strict=True):
        colours = [GREEN if index == target[0] else MUTED for index in range(4)]
        bars = axis.bar([f"class {index}" for index in range(4)], values, color=colours, width=0.6)
        axis.bar_label(bars, fmt=lambda value: f"{value:.2f}".replace("-", "−"), padding=2, size=8)
        axis.axhline(0, color=INK, linewidth=0.8)
        axis.margins(y=0.2)
        axis.set_title(title)
    axes[0].text(1, 1.3, "the truth", ha="center", color=GREEN, size=9)
    return figure


def walk_down(optimiser: Optimiser, steps: int) -> FloatArray:
    """Return the places (steps + 1, 2) on the way down a valley that is narrow in its second."""
    place = {"w": np.array([-4.0, 1.5])}
    visited = [place["w"].copy()]
    for _ in range(steps):
        optimiser.step(place, {"w": place["w"] * (0.1, 4.0)})
        visited.append(place["w"].copy())
    return np.array(visited)


def draw_optimisers() -> Figure:
    """Draw three optimisers on their way down a narrow valley."""
    cases: dict[str, Optimiser] = {
        "SGD(0.4)": SGD(0.4),
        "SGD(0.1, momentum=0.8)": SGD(0.1, momentum=0.8),
        "Adam(0.3)": Adam(0.3),
    }
    across, along = np.meshgrid(np.linspace(-4.6, 2, 200), np.linspace(-1.8, 1.8, 120))
    height = 0.05 * across**2 + 2 * along**2
    figure, axes = new_panels(3, width_in=9.2, height_in=2.6)
    for axis, (name, optimiser), colour in zip(axes, cases.items(), COLOURS, strict=False):
        axis.contour(across, along, np.sqrt(height), levels=9, colors="#c9c6d0", linewidths=0.8)
        axis.plot(*walk_down(optimiser, STEPS).T, "o-", color=colour, ms=3, lw=1.1)
        axis.plot(0, 0, "+", color=INK, ms=9)
        axis.set(title=name, xlabel="first weight")
        axis.grid(visible=False)
    axes[0].set_ylabel("second weight")
    return figure


PICTURES = {
    "engine-convolution": draw_convolution,
    "engine-padding": draw_padding,
    "engine-relu": draw_relu,
    "engine-pool": draw_pool,
    "engine-norm": draw_norm,
    "engine-dense": draw_dense,
    "engine-dropout": draw_dropout,
    "engine-loss": draw_loss,
    "engine-optimisers": draw_optimisers,
}


def main() -> None:
    """Draw all pictures."""
    for name, draw in PICTURES.items():
        with house_style():
            keep_figure(draw(), name)


if __name__ == "__main__":
    main()
