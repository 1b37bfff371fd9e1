"""The corpus and the places that hostile items are tried in."""

import itertools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.hostile.cases import FileJobs, FolderJobs
from tests.hostile.containers import container_drafts
from tests.hostile.documents import manifest_drafts, model_drafts, recipe_drafts, run_drafts
from tests.hostile.images import draw, image_drafts, save


@dataclass(frozen=True)
class Corpus:
    """Hostile items on the disk.

    Attributes:
        root: Folder of all of them, a folder a family.
        files: ``(draft, path)`` of image files and containers.
        folders: Of model folders, run folders, recipes and tables.
    """

    root: Path
    files: list
    folders: list


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Empty folders: ``cwd`` and ``home`` of the commands, and ``out`` for what they write."""
    for name in ("cwd", "home", "out"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # Not the user's settings of what is read at most.
    for name in ("EOSIN_MAX_PIXELS", "EOSIN_MAX_CHANNELS", "EOSIN_MAX_BYTES", "EOSIN_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def sound_images(places):
    """A folder of four images that nothing is wrong with."""
    folder = places / "sound"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(save(draw(seed=number), "PNG"))
    return folder


@pytest.fixture
def corpus(places, tiny_run, sound_images):
    """A function that writes the corpus, or the sample of it."""

    def write(*, files=True, folders=True, sample=False):
        choose = sample_of if sample else list
        root = places / "corpus"
        images = [f"../../sound/{image.name}" for image in sorted(sound_images.iterdir())]
        recipe = (tiny_run / "recipe.toml").read_text(encoding="utf-8")
        drafts = itertools.chain(image_drafts(), container_drafts()) if files else ()
        documents = itertools.chain(
            model_drafts(tiny_run / "model"),
            run_drafts(tiny_run),
            recipe_drafts(recipe),
            manifest_drafts(images),
        )
        return Corpus(
            root, _write(choose(drafts), root), _write(choose(documents if folders else ()), root)
        )

    return write


def sample_of(drafts):
    """Return the marked drafts of each family, or its first."""
    families = defaultdict(list)
    for draft in drafts:
        families[draft.family].append(draft)
    marked = ([one for one in each if one.sampled] or each[:1] for each in families.values())
    return list(itertools.chain.from_iterable(marked))


def _write(drafts, root):
    written = [(draft, draft.write(root)) for draft in drafts]
    return [(draft, path) for draft, path in written if path is not None]


@pytest.fixture
def file_jobs(places, tiny_run):
    """A function that returns the jobs over the files of a corpus."""
    return lambda found: FileJobs(found, places / "out", tiny_run / "model")


@pytest.fixture
def folder_jobs(places, tiny_run, sound_images):
    """Jobs over the folders and documents of a corpus."""

    def make(found):
        jobs = FolderJobs(found.root, places / "out", tiny_run / "model", sound_images)
        return [job for draft, path in found.folders for job in jobs.of(draft, path)]

    return make
