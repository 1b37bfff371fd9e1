"""Jobs over hostile items, and what each verb must leave behind."""

import csv
import itertools
import os
import shutil
from pathlib import Path

import pandas as pd
from tests.hostile.images import draw, save
from tests.hostile.runner import Job

from eosin.images.decode import IMAGE_SUFFIXES

#: Processor time of a verb over all files.
MOST_SECONDS_TOGETHER = 600.0
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
        found: The corpus.
        scratch: A folder for outputs.
        model: A model folder.
    """

    def __init__(self, found, scratch, model):
        self._root, self._paths = found.root, [path for _, path in found.files]
        self._scratch, self._model = Path(scratch), model
        self._numbers = itertools.count()
        self._good = self._scratch / "good"
        self._good.mkdir(parents=True)
        for number in range(2):
            (self._good / f"{number}.png").write_bytes(save(draw(seed=number), "PNG"))

    def each(self):
        """Yield the jobs of each file by itself."""
        for path in self._paths:
            yield from (self._check(path), self._predict(path), self._audit(path))

    def together(self):
        """Yield a job of each verb over all files at once, none of which may be lost."""
        out = self._new()
        out.mkdir()
        listed = sum(map(is_listed, self._paths))
        rows = [*filter(is_nameable, self._paths), *sorted(self._good.iterdir())]
        manifest = out / "m.csv"
        write_manifest(manifest, [(path, "benign") for path in rows])
        yield self._whole(
            "check", ["data", "check", self._root, "-o", out / "q"], [out / "q/quality.csv"], listed
        )
        table = out / "p.csv"
        yield self._whole(
            "predict",
            ["predict", self._model, self._root, "-o", table],
            [table, table.with_suffix(".skipped.csv")],
            listed,
        )
        yield self._whole(
            "audit", ["data", "audit", manifest, "--quick", "-o", out / "a"], [out / "a/audit.json"]
        )
        yield self._whole(
            "evaluate",
            ["evaluate", self._model, "--data", manifest, "-o", out / "e"],
            [out / "e" / name for name in ("predictions.csv", "skipped.csv")],
            len(rows),
        )

    def _whole(self, verb, argv, written, n_rows=None):
        def check(answer):
            if answer.status != 1:
                return f"status {answer.status}"
            if not all(path.exists() for path in written):
                return f"not all of {[path.name for path in written]} are there"
            if n_rows is None:
                return None
            tables = [rows_of(path) for path in written]
            if sum(map(len, tables)) != n_rows:
                return f"{list(map(len, tables))} rows of {n_rows}"
            lacking = [row for row in tables[-1] if not row["reason"]] if len(tables) > 1 else []
            return f"{len(lacking)} skipped without a reason" if lacking else None

        return Job("all files", verb, argv, check, MOST_SECONDS_TOGETHER)

    def _new(self):
        return self._scratch / f"out-{next(self._numbers)}"

    def _check(self, path):
        out = self._new()

        def check(answer):
            table = out / "quality.csv"
            if answer.status == 2 or not table.exists():
                # Nothing to list: a folder without images, a name that is no argument.
                return None if answer.status and "eosin: " in answer.err else "no quality.csv"
            if isinstance(_count(table), str):
                return _count(table)
            rows = rows_of(table)
            reasons = [row for row in rows if row["reason"]]
            shutil.rmtree(out)
            if not is_container(path) and len(rows) != 1:
                return f"{len(rows)} rows in quality.csv"
            return None if answer.status == bool(reasons) else "status and reasons disagree"

        return Job(display(path, self._root), "check", ["data", "check", path, "-o", out], check)

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

        argv = ["predict", self._model, path, "-o", table]
        return Job(display(path, self._root), "predict", argv, check)

    def _audit(self, path):
        out = self._new()
        manifest = out.with_suffix(".csv")
        write_manifest(
            manifest, [(self._good / "0.png", "a"), (path, "a"), (self._good / "1.png", "b")]
        )

        def check(answer):
            done = (out / "audit.json").exists()
            shutil.rmtree(out, ignore_errors=True)
            return None if done or "eosin: " in answer.err else "no audit.json"

        argv = ["data", "audit", manifest, "--quick", "-o", out]
        return Job(display(path, self._root), "audit", argv, check)


def is_container(path):
    """Return whether a path is that of a file, or a folder, of many images."""
    return str(path).endswith(_CONTAINERS) or path.is_dir()


def is_listed(path):
    """Return whether a walk of the folder lists a path: whatever it is but a folder or hidden."""
    is_image = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    return is_image and not os.path.isdir(path)  # noqa: PTH112 -- links to themselves


def is_nameable(path):
    """Return whether a manifest's cell stands for a file of this name, and for nothing else."""
    return str(path).isprintable() and not set(str(path)) & set("|#")


def write_manifest(path, rows):
    """Write a manifest of ``(path, label)`` rows; names keep their bytes."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:  # noqa: PTH123
        writer = csv.writer(stream)
        writer.writerow(["path", "label"])
        writer.writerows(rows)


class FolderJobs:
    """Jobs over hostile model folders, run folders, recipes and tables.

    Args:
        root: The corpus.
        scratch: A folder for outputs.
        model: A sound model folder.
        images: A folder of sound images.
    """

    def __init__(self, root, scratch, model, images):
        self._root, self._scratch = root, Path(scratch)
        self._model, self._images = model, images
        self._numbers = itertools.count()

    def of(self, draft, path):
        """Return the jobs of one item."""
        kind = draft.family.partition("-")[0]
        return {"model": self._models, "run": self._runs, "recipe": self._recipes}.get(
            kind, self._tables
        )(draft, path)

    def _new(self):
        return self._scratch / f"folder-{next(self._numbers)}"

    def _job(self, draft, path, verb, argv, done, statuses=(1,)):
        def check(answer):
            explained = answer.status and "eosin: " in answer.err
            wrong = None if explained else done(answer)
            if draft.refused and answer.status not in statuses:
                return wrong or f"accepted without a word (status {answer.status})"
            if draft.refused and draft.names not in answer.err:
                return f"{draft.names} is not named"
            return wrong

        return Job(display(path, self._root), verb, argv, check)

    def _models(self, draft, path):
        table = self._new() / "p.csv"
        n_images = len(list(self._images.iterdir()))

        def done(answer):
            del answer
            rows = rows_of(table)
            shutil.rmtree(table.parent)
            sums = [sum(float(row[key]) for key in row if key.startswith("prob_")) for row in rows]
            if len(rows) != n_images:
                return f"{len(rows)} rows"
            return None if all(abs(one - 1) < 1e-6 for one in sums) else f"sums {sums}"

        argv = ["predict", path, self._images, "-o", table]
        return [self._job(draft, path, "predict", argv, done)]

    def _runs(self, draft, path):
        before = snapshot(path)

        def done(answer):
            del answer
            changed = {name for name, state in snapshot(path).items() if before.get(name) != state}
            # A new card has another checksum, which model.json lists.
            written = (
                "report.html",
                "errors.csv",
                "figures",
                "tables",
                "model/card",
                "model/model.json",
            )
            foreign = [name for name in changed if not name.startswith(written)]
            return f"also wrote {foreign}" if foreign else None

        return [self._job(draft, path, "report", ["report", path], done)]

    def _recipes(self, draft, path):
        argv = ["train", path, "--plan"]
        return [self._job(draft, path, "train --plan", argv, lambda answer: None, statuses=(2,))]

    def _tables(self, draft, path):
        for verb, argv in (
            ("check", ["data", "check", path]),
            ("audit", ["data", "audit", path, "--quick"]),
            ("evaluate", ["evaluate", self._model, "--data", path]),
        ):
            out = self._new()  # of one job alone: jobs run at the same time

            def done(answer, out=out):
                del answer
                if not out.exists():
                    return "nothing written"
                for table in out.glob("*.csv"):
                    rows_of(table)
                return shutil.rmtree(out)

            yield self._job(draft, path, verb, [*argv, "-o", out], done)


def snapshot(folder):
    """Return size and time of change of all that lies below a folder, by its name."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(place, name)  # noqa: PTH118
            state = os.lstat(path)
            size = 0 if name in folders else state.st_size
            when = 0 if name in folders else state.st_mtime_ns
            found[os.path.relpath(path, folder)] = (state.st_mode, size, when)
    return found
