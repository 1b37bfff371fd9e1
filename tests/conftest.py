"""What tests of several folders share."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import eosin
from eosin.recipe import recipe_from_dict

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


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A cache of the tests' own: what they decode is no user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EOSIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def repository():
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def data_root():
    """The folder of the real images; skips where it is absent."""
    folder = Path(os.environ.get("EOSIN_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set EOSIN_DATA to the folder of the real images")
    return folder.resolve()


@pytest.fixture(scope="session")
def tiny_values():
    """A function from the phantom's folder to the values of a recipe that trains in seconds."""

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
def tiny_phantom(tmp_path_factory):
    """The folder of the tiny phantom: 10 patients of 6 images; filled by the first who asks."""
    return tmp_path_factory.mktemp("phantom")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_values, tiny_phantom):
    """The run folder of a light CNN trained for two epochs; read or copy it, never change it."""
    recipe = recipe_from_dict(tiny_values(tiny_phantom))
    return eosin.train(recipe, output=tmp_path_factory.mktemp("runs") / "tiny").run
