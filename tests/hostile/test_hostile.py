"""Whatever files and folders Eosin is pointed at: no crash, no hang, one line of cause."""

import os
import subprocess
import sys

import pytest
from tests.hostile.cases import is_nameable, rows_of, snapshot, write_manifest
from tests.hostile.runner import run_jobs

from eosin.images.decode import IMAGE_SUFFIXES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches processes through /proc")

_MOST_SHOWN = 60


def run(places, jobs, n_workers):
    """Run jobs; nothing may be written beside their output folders."""
    outcomes = run_jobs(jobs, places / "cwd", n_workers)
    failed = sorted(str(outcome) for outcome in outcomes if outcome.faults)
    text = "\n".join(line.encode("unicode_escape").decode() for line in failed[:_MOST_SHOWN])
    assert not failed, f"{len(failed)} of {len(jobs)} failed:\n{text}"
    assert [list((places / name).iterdir()) for name in ("cwd", "home")] == [[], []]


def command(places, *arguments, seconds):
    """Run ``eosin`` as a user does; it must end with status 1 and finish its work."""
    line = [sys.executable, "-m", "eosin", *map(str, arguments)]
    done = subprocess.run(line, cwd=places / "cwd", capture_output=True, timeout=seconds)
    text = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 1, text[-2000:]
    assert "internal error" not in text
    assert "Traceback" not in text
    assert "INJECTED" not in {line[:8] for line in text.splitlines()}
    return text


def is_listed(path):
    """Return whether a walk of the folder lists a path: no special file, no hidden one."""
    return (
        path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and (path.is_file() or not os.path.exists(path))  # noqa: PTH110 -- links to themselves
    )


def run_batches(places, found, model, sound, seconds):
    """Run each verb over all files at once; every file is in a table, or has its reason."""
    out = places / "out"
    listed = [path for _, path in found.files if is_listed(path)]
    command(places, "data", "check", found.root, "-o", out / "q", seconds=seconds)
    assert len(rows_of(out / "q" / "quality.csv")) == len(listed)
    command(places, "predict", model, found.root, "-o", out / "p.csv", seconds=seconds)
    predicted, skipped = rows_of(out / "p.csv"), rows_of(out / "p.skipped.csv")
    assert len(predicted) + len(skipped) == len(listed)
    assert all(row["reason"] for row in skipped)
    names = list(filter(is_nameable, listed))
    write_manifest(out / "m.csv", [(path, "benign") for path in [*names, *sound.iterdir()]])
    command(places, "data", "audit", out / "m.csv", "--quick", "-o", out / "a", seconds=seconds)
    assert (out / "a" / "audit.json").exists()
    command(places, "evaluate", model, "--data", out / "m.csv", "-o", out / "e", seconds=seconds)
    judged = rows_of(out / "e" / "predictions.csv"), rows_of(out / "e" / "skipped.csv")
    assert sum(map(len, judged)) == len(names) + len(list(sound.iterdir()))


def test_a_sample_of_files(corpus, places, file_jobs):
    found = corpus(sample=True, folders=False)
    assert len(found.files) >= 60
    before = snapshot(found.root)
    run(places, file_jobs(found, audit_each=False), 1)
    assert snapshot(found.root) == before


def test_a_sample_of_folders(corpus, places, folder_jobs):
    found = corpus(sample=True, files=False)
    assert len(found.folders) >= 20
    run(places, folder_jobs(found), 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_file(corpus, places, file_jobs):
    found = corpus(folders=False)
    assert len(found.files) >= 600
    before = snapshot(found.root)
    run(places, file_jobs(found), 2)
    assert snapshot(found.root) == before


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_files_at_once(corpus, places, tiny_run, sound_images):
    found = corpus(folders=False)
    run_batches(places, found, tiny_run / "model", sound_images, seconds=900)
    assert list((places / "cwd").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_folder(corpus, places, folder_jobs):
    found = corpus(files=False)
    assert len(found.folders) >= 150
    run(places, folder_jobs(found), 2)
