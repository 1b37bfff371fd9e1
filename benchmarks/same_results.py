"""Results of five recipes on the phantom, before and after a change of the code.

``python -m benchmarks.same_results train FOLDER`` trains them with the ``eosin`` of this
environment (``PYTHONPATH`` chooses another checkout's). ``compare BEFORE AFTER`` compares metrics,
predictions and the leak audit of all run folders, byte by byte, and ends with status 1 where one
differs. ``--without KEY`` leaves a key of the JSON files out, e.g. a metric that one side lacks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).parents[1] / "recipes"
#: What must be equal; predictions are `predictions.csv` of a run and of each of its folds.
FILES = ("metrics.json", "predictions.csv", "audit.json")
_FOLDS = ("data.split.protocol=folds", "data.split.k=3", "data.split.repeats=1")
_GROUPED = ("data.split.protocol=grouped", "data.split.train=0.5", "data.split.test=0.25")
_SMALL = "options={patients = 12, images_per_patient = 4, size_px = 64"
_STAGE = (
    f'{{dataset = "phantom", root = "phantom-stage", {_SMALL}, seed = 1}}, '
    "split = {train = 0.5, val = 0.25, test = 0.25}}"
)
#: Name, recipe, and what is changed besides the data.
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "lightcnn-folds": ("lightcnn-idc", _FOLDS),
    "lite0-chain": (
        "lite0-lc25000-breakhis200",
        (*_GROUPED, f"transfer.stage.0.data={_STAGE}", "transfer.stage.0.epochs=1"),
    ),
    "p1-quick": ("p1-cancervisionnet-pcam", _GROUPED),
    "numpy-backend": ("lightcnn-idc", (*_FOLDS, "model.backend=numpy")),
    "fusion": (
        "breakhis-fused",
        (*_GROUPED, "model.name=fusion:light_cnn", "transfer.source=none", "transfer.freeze=none"),
    ),
}


def train(folder: Path) -> None:
    """Train every recipe that is not finished in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (recipe, changes) in CASES.items():
        if (folder / name / "report.html").exists():
            continue
        magnifications = '["40", "100", "200", "400"]' if name == "fusion" else "[]"
        slides = f", magnifications = {magnifications}" if name == "fusion" else ""
        settings = [
            "data.dataset=phantom",
            f"data.root=phantom{'-slides' if slides else ''}",
            f"data.{_SMALL}{slides}}}",
            f"data.magnifications={magnifications}",
            "data.positive=malignant",
            "data.split.val=0.25",
            *changes,
            "model.input_px=64",
            "train.epochs=2",
            "train.batch_size=8",
            "train.device=cpu",
            "evaluate.resamples=100",
        ]
        line = [sys.executable, "-m", "eosin", "train", RECIPES / f"{recipe}.toml", "-o", name]
        line += [part for setting in settings for part in ("--set", setting)]
        subprocess.run(line, cwd=folder, check=True)


def _read(path: Path, without: str | None) -> Any:
    """Return the bytes of a file, or its document without a key; nothing where it is missing."""
    if not path.is_file():
        return None
    if without is None or path.suffix != ".json":
        return path.read_bytes()

    def leave_out(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key != without}

    return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=leave_out)


def compare(before: Path, after: Path, without: str | None = None) -> int:
    """Return how many files differ or are missing on one side."""
    names = {
        path.relative_to(folder).as_posix()
        for folder in (before, after)
        for path in folder.rglob("*")
        if path.name in FILES and path.relative_to(folder).parts[0] in CASES
    }
    unequal = 0
    for name in sorted(names):
        first, second = (_read(folder / name, without) for folder in (before, after))
        unequal += first != second
        print(f"{'equal' if first == second else 'DIFFERENT':9}  {name}")
    print(f"{len(names) - unequal} of {len(names)} files are equal")
    return unequal if names else 1


def main() -> None:
    """Train, or compare two folders of what was trained."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("train").add_argument("folder", type=Path)
    comparing = verbs.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("--without", metavar="KEY")
    given = parser.parse_args()
    if given.verb == "train":
        train(given.folder.resolve())
    else:
        sys.exit(compare(given.before, given.after, given.without) > 0)


if __name__ == "__main__":
    main()
