import importlib.util
import sys
from pathlib import Path

import pytest


def _load():
    # Test folders are no packages, and the browser's tests load the same file.
    path = Path(__file__).with_name("fabricate.py")
    spec = importlib.util.spec_from_file_location("fabricate", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fabricate"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def made():
    """The module that makes run folders up."""
    return _load()


@pytest.fixture
def run(made, tmp_path):
    """A binary run with a single split."""
    return made.fabricate(tmp_path / "run")


@pytest.fixture
def protocols(made, tmp_path):
    """A folder with both protocols."""
    return made.fabricate_protocols(tmp_path / "both")
