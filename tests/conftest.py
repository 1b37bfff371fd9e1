"""Fixtures of all tests."""

import logging
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from matplotlib.figure import Figure
from PIL import Image

import eosin
from eosin.core.hints import typed_hints
from eosin.recipe import recipe_from_dict
from tests.tiny_runs import PROTOCOLS, train_kind, write_images

ROOT = Path(__file__).resolve().parents[1]
TINY_SEED = 3

# Tiny arrays gain nothing from threads, and threads that wait for each other on a busy machine
# make a training ten times as slow. Read when torch is imported, and by child processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples everywhere, and no failure because a machine is busy.
settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


DRAW = Figure.savefig


def save_blank(figure, target, **options):
    """Save a blank PNG of a figure's size, or an empty SVG."""
    if options.get("format") == "svg":
        return target.write(b"<svg/>")
    if options.get("format") != "png":
        return DRAW(figure, target, **options)
    size = [round(200 * side) for side in figure.get_size_inches()]
    return Image.new("P", size).save(target, "PNG", compress_level=1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Draw the figures of tests marked ``drawn`` alone: they are two thirds of a tiny training."""
    Figure.savefig = DRAW if item.get_closest_marker("drawn") else save_blank


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Set a cache folder for the tests, apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EOSIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def typed():
    """Show hints as a command prints them."""
    with typed_hints():
        yield


@pytest.fixture(scope="session")
def repository():
    """Return the repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def data_root():
    """Return the folder of the real images; skip if it is absent."""
    folder = Path(os.environ.get("EOSIN_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set EOSIN_DATA to the folder of the real images")
    return folder.resolve()


@pytest.fixture
def messages():
    """Collect the progress messages that Eosin logs during the test in a list."""
    found = []
    logger, handler = logging.getLogger("eosin"), logging.Handler(logging.INFO)
    handler.emit = lambda record: found.append(record.getMessage())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.setLevel(level)
    logger.removeHandler(handler)


@pytest.fixture(scope="session")
def tiny_values():
    """Return a function from the phantom's folder to a recipe's values; it trains in seconds."""

    def values(phantom, **top):
        return {
            "name": "tiny",
            "seed": TINY_SEED,
            "data": {
                "dataset": "phantom",
                "root": str(phantom),
                "options": {"patients": 10, "images_per_patient": 6, "size_px": 64},
                "split": {"train": 0.5, "val": 0.2, "test": 0.3},
            },
            "model": {"name": "light_cnn", "input_px": 64, "preprocessing": "unit"},
            "train": {"epochs": 2, "batch_size": 8, "device": "cpu"},
            "evaluate": {"resamples": 100},
            **top,
        }

    return values


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Return a function that makes a folder once for all of pytest's workers: ``once(name, fill)``.

    Nobody may change what lies there.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    shared.mkdir(exist_ok=True)

    def make(name, fill):
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_phantom(once, tiny_values):
    """Return the folder of the tiny phantom: 10 patients of 6 images; the tiny run fills it."""
    return _tiny(once, tiny_values) / "phantom"


@pytest.fixture(scope="session")
def tiny_run(once, tiny_values):
    """Return the run folder of a light CNN trained for two epochs; copy it before changing it."""
    return _tiny(once, tiny_values) / "tiny"


def _tiny(once, tiny_values):
    def fill(folder):
        recipe = recipe_from_dict(tiny_values(folder / "phantom"))
        eosin.train(recipe, output=folder / "tiny")

    return once("tiny", fill)


@pytest.fixture(scope="session")
def run_of(once):
    """Return a function from a kind of ``tests.tiny_runs`` to its run; copy it to change it."""

    def train(kind):
        images = once("images", write_images)
        name = "run-" + kind.replace(" ", "-")
        return once(name, lambda folder: train_kind(kind, images, folder)) / "run"

    return train


@pytest.fixture
def copy_of(run_of, tmp_path):
    """Return a function that copies the run of a kind, and returns the copy."""

    def copy(kind, name="run"):
        return Path(shutil.copytree(run_of(kind), tmp_path / name))

    return copy


@pytest.fixture
def protocols(copy_of, tmp_path):
    """Return a folder with a run of each protocol: split by patient, and by image."""
    for name, kind in PROTOCOLS.items():
        copy_of(kind, f"both/{name}")
    return tmp_path / "both"


@pytest.fixture
def on_entry():
    """Call a function whenever a function of Eosin is entered: ``with on_entry(function, act): …``.

    The function is recognised by its code, whichever module holds or imports it. ``act`` is called
    with the arguments by name, in the test's thread only; what it raises is raised in the function,
    as Ctrl-C would be.
    """
    acts, before = {}, sys.getprofile()

    def watch(frame, event, _argument):
        if event == "call" and id(frame.f_code) in acts:
            acts[id(frame.f_code)](dict(frame.f_locals))

    @contextmanager
    def during(function, act):
        acts[id(function.__code__)] = act
        sys.setprofile(watch)
        try:
            yield
        finally:
            del acts[id(function.__code__)]
            sys.setprofile(watch if acts else before)

    return during


@pytest.fixture
def stop_at(on_entry):
    """Raise Ctrl-C on the n-th call of a function: ``with stop_at(function, 2): …``."""

    @contextmanager
    def during(function, call=1):
        left = [call]

        def press(_arguments):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        with on_entry(function, press):
            yield
        assert left[0] <= 0, f"{function.__name__} was entered too seldom"

    return during


@pytest.fixture
def replace_entry(monkeypatch):
    """Return a function that replaces a registry's entry until the test ends."""

    def put(registry, name, entry):
        monkeypatch.setitem(registry.entries, name, entry)

    return put


@pytest.fixture
def own_registries(monkeypatch):
    """Forget, when the test ends, what plugins register; their modules are called ``my_…``."""
    from eosin.augment import POLICIES
    from eosin.data.sources.catalogue import DATASETS
    from eosin.metrics import METRICS
    from eosin.networks import NETWORKS

    monkeypatch.setattr(sys, "path", [*sys.path])
    tables = (NETWORKS.entries, POLICIES.entries, DATASETS.entries, METRICS)
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


@pytest.fixture
def read_only(tmp_path):
    """Return a function that makes a folder read-only, even for an administrator."""
    done = []

    def freeze(folder):
        if hasattr(os, "geteuid") and os.geteuid() != 0:
            folder.chmod(0o555)
            return
        for line in (
            ["mount", "--bind", str(folder), str(folder)],
            ["mount", "-o", "remount,bind,ro", str(folder)],
        ):
            if shutil.which("mount") is None:
                pytest.skip("a folder read-only for an administrator needs mount")
            made = subprocess.run(line, capture_output=True, text=True, check=False)
            if made.returncode != 0:
                pytest.skip(f"no read-only folder can be mounted here: {made.stderr.strip()}")
            if line[1] == "--bind":
                done.append(folder)

    yield freeze
    for folder in done:
        subprocess.run(["umount", "-l", str(folder)], check=False)
