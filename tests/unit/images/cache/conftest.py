import pytest
from tests.unit.images.cache.workshop import Workshop


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)
