"""Whatever files and folders Eosin is pointed at: no crash, no hang, one line of cause."""

import sys

import pytest
from tests.hostile.cases import snapshot
from tests.hostile.runner import run_jobs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches processes through /proc")

_MOST_SHOWN = 60


def run(places, jobs, n_workers):
    """Run jobs; nothing may be written beside their output folders."""
    outcomes = run_jobs(jobs, places / "cwd", n_workers)
    failed = sorted(str(outcome) for outcome in outcomes if outcome.faults)
    text = "\n".join(line.encode("unicode_escape").decode() for line in failed[:_MOST_SHOWN])
    assert not failed, f"{len(failed)} of {len(jobs)} failed:\n{text}"
    assert [list((places / name).iterdir()) for name in ("cwd", "home")] == [[], []]


def test_a_sample_of_files(corpus, places, file_jobs):
    found = corpus(sample=True, folders=False)
    assert len(found.files) >= 60
    before = snapshot(found.root)
    jobs = file_jobs(found)
    each = [job for job in jobs.each() if job.verb != "audit"]
    run(places, [*each, *jobs.together()], 1)
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
    run(places, list(file_jobs(found).each()), 2)
    assert snapshot(found.root) == before


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_files_at_once(corpus, places, file_jobs):
    found = corpus(folders=False)
    run(places, list(file_jobs(found).together()), 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_folder(corpus, places, folder_jobs):
    found = corpus(files=False)
    assert len(found.folders) >= 150
    run(places, folder_jobs(found), 2)
