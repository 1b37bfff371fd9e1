"""Size and shape of a checkout's source: files, lines, levels of imports, files on a value's way.

``python -m benchmarks.layout CHECKOUT`` prints one row a figure. What a value meets on its way is
counted while the code runs: a manifest (`Samples`) through ``train`` of a light CNN on the phantom,
and an image (its path or its bytes) through ``predict``. "Functions" are those that receive it;
each is counted once.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from pathlib import Path

_TRACED = """
import json, sys, threading
from pathlib import Path
root, verb, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
import numpy as np
from eosin.core.types import Samples
import eosin
image = [None]
def is_value(value):
    if verb == "train":
        return isinstance(value, Samples)
    if isinstance(value, np.ndarray):
        return value.dtype == np.uint8 and value.ndim in (3, 4)
    return isinstance(value, (str, Path)) and Path(value).name == image[0]
seen = set()
def watch(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(root):
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if any(is_value(frame.f_locals.get(name)) for name in names):
            seen.add((code.co_filename, code.co_qualname))
values = {
    "name": "layout", "seed": 0,
    "data": {"dataset": "phantom", "root": str(folder / "phantom"), "positive": "malignant",
             "options": {"patients": 10, "images_per_patient": 4, "size_px": 64},
             "split": {"train": 0.5, "val": 0.2, "test": 0.3}},
    "model": {"name": "light_cnn", "input_px": 64, "preprocessing": "unit"},
    "train": {"epochs": 1, "batch_size": 8, "device": "cpu"},
    "evaluate": {"resamples": 100},
}
from eosin.recipe import recipe_from_dict
def run():
    if verb == "train":
        eosin.train(recipe_from_dict(values), output=folder / "run")
    else:
        paths = sorted((folder / "phantom").rglob("*.png"))[:1]
        image[0] = paths[0].name
        eosin.predict(folder / "run", paths, output=folder / "predicted.csv")
threading.setprofile(watch)
sys.setprofile(watch)
run()
sys.setprofile(None)
print("TRACE", json.dumps([len({file for file, _ in seen}), len(seen)]))
"""


def _count_lines(path: Path) -> Counter[str]:
    """Return lines of code, docstrings, comments and blanks of one file."""
    text = path.read_text(encoding="utf-8")
    counted: Counter[str] = Counter(total=text.count("\n"))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_text and isinstance(first.value.value, str):
                counted["docstrings"] += first.end_lineno - first.lineno + 1
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    alone = [token for token in tokens if token.type == tokenize.COMMENT]
    counted["comments"] = sum(token.line.lstrip().startswith("#") for token in alone)
    counted["blank"] = sum(not line.strip() for line in text.splitlines())
    counted["code"] = counted["total"] - counted["docstrings"] - counted["comments"]
    counted["code"] -= counted["blank"]
    return counted


def _count_levels(source: Path) -> int:
    """Return the levels of the import graph of modules."""
    code = (
        "import grimp, sys\n"
        "sys.setrecursionlimit(10000)\n"
        "graph = grimp.build_graph('eosin', cache_dir=None)\n"
        "known, open_ = {}, set()\n"
        "def level(module):\n"
        "    if module not in known:\n"
        "        open_.add(module)\n"
        "        below = graph.find_modules_directly_imported_by(module) - open_\n"
        "        known[module] = 1 + max((level(one) for one in below), default=0)\n"
        "        open_.discard(module)\n"
        "    return known[module]\n"
        "print(max(level(module) for module in sorted(graph.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def _trace(source: Path, verb: str, folder: Path) -> list[int]:
    """Return the files and the functions of a checkout that a value of a verb enters."""
    done = subprocess.run(
        [sys.executable, "-c", _TRACED, str(source / "eosin"), verb, str(folder)],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("TRACE")]
    if not lines:
        raise SystemExit(done.stderr)
    return json.loads(lines[0].removeprefix("TRACE"))


def measure(checkout: Path) -> dict[str, object]:
    """Return the figures of a checkout by name."""
    source = checkout / "src"
    files = sorted((source / "eosin").rglob("*.py"))
    counts = [_count_lines(path) for path in files]
    total = sum(counts, Counter())
    packages = Counter(path.relative_to(source / "eosin").parts[0] for path in files)
    lengths = [count["total"] for count in counts]
    named = sum("balanced_accuracy" in path.read_text(encoding="utf-8") for path in files)
    with tempfile.TemporaryDirectory() as folder:
        manifest = _trace(source, "train", Path(folder))
        image = _trace(source, "predict", Path(folder))
    return {
        "files": len(files),
        "lines": total["total"],
        "lines of code": total["code"],
        "lines of docstrings": total["docstrings"],
        "lines of comments": total["comments"],
        "lines of the median file": statistics.median(lengths),
        "files under 60 lines": sum(length < 60 for length in lengths),
        "files over 400 lines": sum(length > 400 for length in lengths),
        "modules of the largest packages": ", ".join(
            f"{name} {count}" for name, count in packages.most_common(6)
        ),
        "levels of the import graph": _count_levels(source),
        "files that a manifest enters in train": manifest[0],
        "functions that a manifest enters in train": manifest[1],
        "files that an image enters in predict": image[0],
        "functions that an image enters in predict": image[1],
        "files that name balanced_accuracy": named,
    }


def main() -> None:
    """Measure one checkout, or several side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, nargs="+")
    measured = [measure(checkout.resolve()) for checkout in parser.parse_args().checkout]
    for name in measured[0]:
        print(f"| {name} |", " | ".join(str(one[name]) for one in measured), "|")


if __name__ == "__main__":
    main()
