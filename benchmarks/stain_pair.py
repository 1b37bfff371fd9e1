"""Draws two fields of different stain before and after normalisation: ``docs/images``.

``python -m benchmarks.stain_pair DATA`` reads ``DATA/stain-pair`` (torchstain's sample, MIT)
and writes ``docs/images/stain-pair.jpg``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

from eosin.images.decode import decode_image
from eosin.stain import METHODS

mpl.use("Agg")
from matplotlib import pyplot as plt

TARGET = Path(__file__).parents[1] / "docs" / "images" / "stain-pair.jpg"
#: Side of the corner that is shown, of fields of some 700 pixels.
SIDE = 360


def main() -> None:
    """Normalise the source to the target by every method and lay all beside each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    folder = parser.parse_args().data / "stain-pair"
    source, target = (decode_image(folder / f"{name}.png", None) for name in ("source", "target"))
    shown = {"the image": source, "the reference": target}
    for name in METHODS:
        done = METHODS.get(name)().fit(target).apply(source)
        changed = np.abs(done.images.astype(float) - source).mean()
        print(f"{name}: {done.reasons[0] or 'normalised'}, mean change {changed:.1f} grey levels")
        shown[name.capitalize()] = done.images
    figure, axes = plt.subplots(1, len(shown), figsize=(12, 2.75), layout="constrained")
    for axis, (title, image) in zip(axes, shown.items(), strict=True):
        axis.imshow(image[:SIDE, :SIDE])
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    figure.savefig(TARGET, dpi=110, pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
