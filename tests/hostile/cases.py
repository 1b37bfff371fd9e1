"""Jobs over hostile items, and what each verb must leave behind."""

import csv
import itertools
import os
import shutil
from pathlib import Path

import pandas as pd

from tests.hostile.images import draw, save
from tests.hostile.runner import Job

_CONTAINERS = (".h5", ".idx", ".idx.gz")


def display(path, root):
    """Return the name of an item: its place below the corpus."""
    return os.path.relpath(path, root)


def rows_of(path):
    """Read a table in two ways, which must agree; returns its rows as dictionaries."""
    with open(path, encoding="utf-8", newline="") as stream:  # noqa: PTH123
        rows = list(csv.DictReader(stream, strict=True))
    assert not any(None in row or None in row.values() for row in rows), "a row of odd length"
    assert len(pd.read_csv(path, dtype=str, keep_default_na=False)) == len(rows)
    return rows


def _count(path):
    try:
        return len(rows_of(path)) if Path(path).exists() else 0
    except (AssertionError, csv.Error, ValueError) as error:
        return f"{Path(path).name} does not parse: {error}"


class FileJobs:
    """Jobs over hostile image files and containers.

    Args:
        root: The corpus.
        scratch: A folder for outputs.
        model: A model folder.
    """

    def __init__(self, root, scratch, model):
        self._root, self._scratch, self._model = root, Path(scratch), model
        self._numbers = itertools.count()
        self._good = self._scratch / "good"
        self._good.mkdir(parents=True)
        for number in range(2):
            (self._good / f"{number}.png").write_bytes(save(draw(seed=number), "PNG"))

    def of(self, path):
        """Return the jobs of one file."""
        return [self._check(path), self._predict(path), self._audit(path)]

    def _new(self):
        return self._scratch / f"out-{next(self._numbers)}"

    def _check(self, path):
        out = self._new()

        def check(answer):
            table = out / "quality.csv"
            if answer.status == 2 or not table.exists():
                # Nothing to list: a folder without images, a name that is no argument.
                return None if answer.status and "eosin: " in answer.err else "no quality.csv"
            rows = rows_of(table)
            reasons = [row for row in rows if row["reason"]]
            shutil.rmtree(out)
            if not is_container(path) and len(rows) != 1:
                return f"{len(rows)} rows in quality.csv"
            return None if answer.status == bool(reasons) else "status and reasons disagree"

        return Job(display(path, self._root), "check", ["data", "check", _arg(path), "-o", out], check)

    def _predict(self, path):
        out = self._new()
        table, skipped = out / "p.csv", out / "p.skipped.csv"

        def check(answer):
            found, lacking = _count(table), _count(skipped)
            shutil.rmtree(out, ignore_errors=True)
            if isinstance(found, str) or isinstance(lacking, str):
                return f"{found} / {lacking}"
            if not found:
                return None if answer.status and "eosin: " in answer.err else "no row and no word"
            if not is_container(path) and found + lacking != 1:
                return f"{found} rows and {lacking} skipped"
            return None if answer.status == bool(lacking) else "status and skipped.csv disagree"

        argv = ["predict", self._model, _arg(path), "-o", table]
        return Job(display(path, self._root), "predict", argv, check)

    def _audit(self, path):
        out = self._new()
        manifest = out.with_suffix(".csv")
        write_manifest(manifest, [(self._good / "0.png", "a"), (path, "a"), (self._good / "1.png", "b")])

        def check(answer):
            done = (out / "audit.json").exists()
            shutil.rmtree(out, ignore_errors=True)
            return None if done or "eosin: " in answer.err else "no audit.json"

        argv = ["data", "audit", manifest, "-o", out]
        return Job(display(path, self._root), "audit", argv, check)


def _arg(path):
    """Return a path as an argument that is taken for no option."""
    return path


def is_container(path):
    """Return whether a name is that of a file of many images."""
    return str(path).endswith(_CONTAINERS)


def write_manifest(path, rows):
    """Write a manifest of ``(path, label)`` rows; names keep their bytes."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:  # noqa: PTH123
        writer = csv.writer(stream)
        writer.writerow(["path", "label"])
        writer.writerows(rows)
