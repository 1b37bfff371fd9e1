"""WSInfer itself on an exported model, and its probabilities beside Eosin's.

``make check-wsinfer`` installs WSInfer into an environment of its own and calls this with its
Python; ``$EOSIN_DATA/slides/cmu-1-small-region.svs`` is the slide. A small model is trained on the
phantom: what counts is that both programs say the same, not what.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import eosin
from eosin.recipe import recipe_from_dict

SLIDE = "slides/cmu-1-small-region.svs"
#: Largest difference of a probability.
LARGEST = 1e-4
SIDE = 64
RECIPE = {
    "name": "check-wsinfer",
    "data": {
        "dataset": "phantom",
        "options": {"patients": 10, "images_per_patient": 6, "size_px": SIDE},
        "split": {"train": 0.5, "val": 0.2, "test": 0.3},
    },
    "model": {"name": "light_cnn", "input_px": SIDE, "preprocessing": "caffe"},
    "train": {"epochs": 2, "batch_size": 8, "device": "cpu"},
    "evaluate": {"resamples": 100},
}
#: Run by WSInfer's Python: the patches as WSInfer reads them.
READ = """
import sys, numpy, openslide, pandas
slide, table, side, output = sys.argv[1:]
slide, side = openslide.OpenSlide(slide), int(side)
patches = [
    slide.read_region((row.minx, row.miny), 0, (row.width, row.height)).convert("RGB")
    for row in pandas.read_csv(table).itertuples()
]
numpy.save(output, numpy.stack([numpy.asarray(patch.resize((side, side))) for patch in patches]))
"""
#: Starts WSInfer. PyPI's torchvision is built for CUDA: beside a PyTorch for CPUs it can only be
#: imported where its operators, which WSInfer does not call, are declared (see eosin.runtime.door).
START = """
import sys, torch
library = torch.library.Library("torchvision", "FRAGMENT")
try:
    import torchvision
except RuntimeError:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in ("nms", "qnms"):
        library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from wsinfer.cli.cli import cli
cli()
"""


def run(*words: str | Path, env: dict[str, str] | None = None) -> None:
    """Run a program and show its last lines if it fails."""
    line = [*map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=env)
    if done.returncode != 0:
        sys.exit(f"{words[0]} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def check(python: Path, slide: Path, folder: Path) -> float:
    """Return the largest difference of a probability on the slide's patches."""
    recipe = {**RECIPE, "data": {**RECIPE["data"], "root": str(folder / "phantom")}}
    model = eosin.train(recipe_from_dict(recipe), output=folder / "run").run
    known = eosin.load(model).info.mpp
    given = 0.5 if known is None else None
    exported = eosin.export(model, to="wsinfer", mpp=given, output=folder / "export").folder
    # WSInfer reads its list of models there before anything else, and downloads a missing one.
    (folder / ".wsinfer-zoo").mkdir()
    shutil.copy(exported / "wsinfer-zoo-registry.json", folder / ".wsinfer-zoo")
    (folder / "slides").mkdir()
    shutil.copy(slide, folder / "slides" / slide.name)
    run(
        *(python, "-c", START, "run", "--wsi-dir", folder / "slides"),
        *("--results-dir", folder / "results", "--config", exported / "config.json"),
        *("--model-path", exported / "torchscript_model.pt"),
        env={**os.environ, "HOME": str(folder)},
    )
    (table,) = (folder / "results").glob("model-outputs*/*.csv")
    run(python, "-c", READ, folder / "slides" / slide.name, table, str(SIDE), folder / "patches")
    theirs = pd.read_csv(table)
    patches = np.load(folder / "patches.npy")
    ours = eosin.load(model).predict(patches).table
    names = [name for name in ours if name.startswith("prob_")]
    print(f"{len(patches)} patches of {slide.name}")
    return float(np.abs(theirs[names].to_numpy() - ours[names].to_numpy()).max())


def main() -> None:
    """Check, and exit with status 1 if the probabilities differ."""
    python = Path(sys.argv[1]).absolute()
    slide = Path(os.environ["EOSIN_DATA"]) / SLIDE
    with tempfile.TemporaryDirectory() as folder:
        gap = check(python, slide, Path(folder))
    print(f"largest difference of a probability: {gap:.2g} (at most {LARGEST:g} is allowed)")
    sys.exit(0 if gap <= LARGEST else 1)


if __name__ == "__main__":
    main()
