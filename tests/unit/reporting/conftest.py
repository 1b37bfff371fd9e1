import pytest


@pytest.fixture
def run(copy_of):
    """Return a copy of a binary run with a single split."""
    return copy_of("grouped")
