"""Tiles with tissue, made from stains that are known."""

import numpy as np
import pytest

from eosin.data.phantom import PhantomOptions, draw_patient, render_patch
from eosin.stain import METHODS


@pytest.fixture(scope="session")
def tissue():
    """Tiles of six simulated patients, uint8, shape (6, 64, 64, 3)."""
    patients = [draw_patient(PhantomOptions(), number) for number in range(6)]
    return np.stack([render_patch(patient, 0, "200", 0, 64) for patient in patients])


@pytest.fixture(scope="session")
def fitted(tissue):
    """Every method, fitted on those tiles, by name."""
    return {name: METHODS.get(name)().fit_many(tissue) for name in METHODS}
