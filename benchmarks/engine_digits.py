"""P3's MNIST experiment in the NumPy engine: one epoch, SGD against Adam (P3, section 2.2).

``python -m benchmarks.engine_digits`` reads ``$EOSIN_DATA/mnist``, writes
``docs/results/tables/engine-digits.json`` and two pictures into ``docs/images``: the learning curve
(P3's figure 2.3) and digits that Adam's network evaluates rightly and wrongly (figure 2.4).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from benchmarks.engine_drawing import keep_figure, new_panels
from benchmarks.tables import write_table
from eosin.core.types import FloatArray, IntArray
from eosin.engine import SGD, Adam, Network, Optimiser, Plan, evaluate, mnist_cnn, shuffled
from eosin.engine.training import Row
from eosin.images.idx import IdxImages, read_idx_labels
from eosin.metrics.intervals import wilson
from eosin.reporting.style import COLOURS, house_style

DATA = Path(os.environ.get("EOSIN_DATA", Path(__file__).parents[2] / "shared" / "data"))
#: P3's table 2.2; its λ is 0.
LR, BATCH, EVALUATIONS, SEED = 0.01, 32, 20, 0
#: P3's table 2.3 and its time for an epoch, 13.1 minutes with either optimiser.
PAPER_ACCURACY, PAPER_S = {"SGD": 0.783, "Adam": 0.915}, 13.1 * 60
#: Threads of NumPy's matrix products; an epoch is timed with each, and the first one's is shown.
THREADS = (1, 2)
#: One validation digit for so many in the training files: 5,000 of 60,000.
VAL_SHARE = 12
#: Batches whose mean is one point of the curve, as in P3's figure 2.3.
WINDOW = 100
#: Digits of each kind in the picture.
SHOWN_ROWS, SHOWN_COLUMNS = 3, 6


@dataclass(frozen=True)
class Digits:
    """Digits as the network takes them: (N, 28, 28, 1) from 0 to 1, and what they are, (N,)."""

    images: FloatArray
    targets: IntArray

    @classmethod
    def read(cls, part: str) -> Digits:
        """Read ``train`` or ``t10k``."""
        found = IdxImages(DATA / "mnist" / f"{part}-images-idx3-ubyte.gz")
        pixels = np.stack([found.read(index) for index in range(found.shape[0])])
        targets = read_idx_labels(DATA / "mnist" / f"{part}-labels-idx1-ubyte.gz")
        return cls(pixels[..., None].astype(np.float32) / 255, targets)

    def cut(self, start: int, stop: int) -> Digits:
        """Return a part."""
        return Digits(self.images[start:stop], self.targets[start:stop])


@dataclass(frozen=True)
class Trained:
    """One training: the network in its best state, and how it went.

    Attributes:
        network: As it is after the epoch.
        rows: The evaluations.
        hits: Share of each training batch that was right.
        seconds: Of the epoch, its evaluations included.
    """

    network: Network
    rows: list[Row]
    hits: FloatArray
    seconds: float


def train(optimiser: Optimiser, train_part: Digits, val: Digits) -> Trained:
    """Train P3's network for one epoch."""
    network, hits = mnist_cnn(seed=SEED), list[float]()
    plan = Plan(
        epochs=1,
        steps=-(-len(train_part.targets) // BATCH),
        evaluations=EVALUATIONS,
        monitor="val_accuracy",
    )
    begin = time.perf_counter()
    rows = network.fit(
        shuffled(train_part.images, train_part.targets, BATCH, SEED),
        optimiser,
        plan,
        evaluate=lambda trained: evaluate(trained, val.images, val.targets),
        on_step=lambda logits, targets: hits.append((logits.argmax(1) == targets).mean()),
    )
    return Trained(network, rows, np.array(hits), time.perf_counter() - begin)


def write_results(trained: dict[str, list[Trained]], sizes: tuple[int, int], test: Digits) -> None:
    """Write the table, P3's numbers beside ours."""
    cells = []
    for name, runs in trained.items():
        one = runs[0]
        best = max(row["val_accuracy"] for row in one.rows)
        shown = one.network.predict(test.images, batch_size=256).argmax(axis=1)
        evaluated = wilson(int((shown == test.targets).sum()), len(shown))
        shown = f"{evaluated.value:.1%} ({100 * evaluated.low:.1f}–{100 * evaluated.high:.1f})"
        paper = f"{PAPER_ACCURACY[name]:.1%}"
        times = [*(f"{run.seconds:.1f}" for run in runs), f"{PAPER_S:.0f}"]
        row = [name, f"{LR:g}", f"{best:.1%}", paper, shown, *times]
        cells.append([cell.replace("%", " %") for cell in row])
    write_table(
        "engine-digits",
        f"MNIST, one epoch of {sizes[0]:,} digits in batches of {BATCH}, {EVALUATIONS} "
        f"evaluations, seed {SEED}: best accuracy on {sizes[1]:,} validation digits, accuracy of "
        f"that state on {len(test.targets):,} test digits with Wilson's 95 % interval, and seconds "
        "of the epoch, its evaluations included, on two cores.",
        "python -m benchmarks.engine_digits",
        ["optimiser", "lr", "validation", "in P3", "test"]
        + [f"s, {n} thread{'s' * (n > 1)}" for n in THREADS]
        + ["s in P3"],
        cells,
    )


def draw_curve(trained: dict[str, Trained]) -> Figure:
    """Draw accuracy over batches: lines on training batches, markers on validation digits."""
    figure, (axis,) = new_panels(1, width_in=6.6, height_in=3.3)
    for (name, one), colour, marker in zip(trained.items(), COLOURS[1::-1], "so", strict=False):
        summed = np.cumsum(np.concatenate([[0.0], one.hits]))
        ends = np.arange(1, len(one.hits) + 1)
        starts = np.maximum(ends - WINDOW, 0)
        means = (summed[ends] - summed[starts]) / (ends - starts)
        axis.plot(ends, means, color=colour, linewidth=1.3, label=f"{name}, last {WINDOW} batches")
        steps, found = zip(*((row["step"], row["val_accuracy"]) for row in one.rows), strict=True)
        axis.plot(steps, found, marker, color=colour, label=f"{name}, validation")
        shown = f"{name}, validation in P3: {PAPER_ACCURACY[name]:.1%}".replace("%", " %")
        axis.axhline(PAPER_ACCURACY[name], color=colour, linestyle=":", linewidth=1.3, label=shown)
    axis.set(xlabel="batches of 32", ylabel="accuracy", ylim=(0, 1), title="One epoch of MNIST")
    axis.legend(loc="lower right")
    return figure


def draw_digits(network: Network, test: Digits) -> Figure:
    """Draw the first digits of the test part that are evaluated rightly, and the first wrongly."""
    probabilities = network.predict(test.images, batch_size=256)
    right = probabilities.argmax(axis=1) == test.targets
    figure = Figure(figsize=(8.6, 3.3), layout="constrained")
    halves = figure.subfigures(1, 2, wspace=0.06)
    for half, title, chosen in zip(halves, ("right", "wrong"), (right, ~right), strict=True):
        half.suptitle(f"{title}: {chosen.sum():,} of {len(right):,}", fontsize=10.5, weight="bold")
        axes = half.subplots(SHOWN_ROWS, SHOWN_COLUMNS)
        for axis, index in zip(axes.flat, np.flatnonzero(chosen), strict=False):
            draw_digit(axis, test, int(index), probabilities[index])
    return figure


def draw_digit(axis: Axes, test: Digits, index: int, probabilities: FloatArray) -> None:
    """Draw a digit below what is said of it."""
    shown, true = int(probabilities.argmax()), int(test.targets[index])
    shown = f"{shown}" if shown == true else f"{true}, said {shown}"
    axis.imshow(test.images[index, :, :, 0], cmap="gray_r")
    shown = f"{shown}\n{probabilities[shown]:.0%}".replace("%", " %")
    axis.set_title(shown, fontsize=7.5, weight="normal", loc="center", pad=2)
    axis.set_axis_off()


def main() -> None:
    """Train with both optimisers, write the table, draw the pictures."""
    known, test = Digits.read("train"), Digits.read("t10k")
    n_train = len(known.targets) - len(known.targets) // VAL_SHARE
    train_part, val = known.cut(0, n_train), known.cut(n_train, len(known.targets))
    optimisers: dict[str, Callable[[float], Optimiser]] = {"SGD": SGD, "Adam": Adam}
    runs: dict[str, list[Trained]] = {name: [] for name in optimisers}
    for threads in THREADS:
        for name, make in optimisers.items():
            with threadpool_limits(threads):
                runs[name].append(train(make(LR), train_part, val))
    write_results(runs, (n_train, len(val.targets)), test)
    trained = {name: found[0] for name, found in runs.items()}
    with house_style():
        keep_figure(draw_curve(trained), "engine-digits-curve")
        keep_figure(draw_digits(trained["Adam"].network, test), "engine-digits-shown")


if __name__ == "__main__":
    main()
