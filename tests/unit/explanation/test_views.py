"""The evidence of a model that averages views does not depend on how the image lies."""

import numpy as np
import pytest

from eosin.explanation.evidence import Evidence
from eosin.explanation.views import Views

PX = 8


class Left:
    """Sees the left upper corner alone, and has maps of half the size as a part."""

    method, settings, n_masks, members = "left", "the corner", None, ("one", "two")

    def explain(self, image, target):
        found = np.zeros(image.shape[:2], np.float32)
        found[:2, :2] = image[:2, :2].mean()
        return Evidence(found, {"members": np.stack([found, 2 * found]), "bias": np.array(1.0)})


def test_each_view_s_map_is_turned_back():
    image = np.random.default_rng(0).integers(0, 255, (PX, PX, 3)).astype(np.uint8)
    views = Views(Left(), (PX, PX))
    found = views.explain(image, 0)
    expected = np.zeros((PX, PX))
    for rows in (slice(2), slice(-2, None)):
        for columns in (slice(2), slice(-2, None)):
            expected[rows, columns] = image[rows, columns].mean() / 4
    np.testing.assert_allclose(found.map, expected, rtol=1e-6)
    np.testing.assert_allclose(found.parts["members"][1], 2 * expected, rtol=1e-6)
    assert found.parts["bias"] == 1
    assert views.members == ("one", "two")
    assert "8" in views.settings


@pytest.mark.parametrize("turn", range(4))
def test_a_turned_image_has_the_turned_map(turn):
    image = np.random.default_rng(0).integers(0, 255, (PX, PX, 3)).astype(np.uint8)
    views = Views(Left(), (PX, PX))
    for seen in (lambda a: a, lambda a: a[:, ::-1]):
        turned = np.ascontiguousarray(np.rot90(seen(image), turn))
        expected = np.rot90(seen(views.explain(image, 0).map), turn)
        np.testing.assert_allclose(views.explain(turned, 0).map, expected, rtol=1e-5)


def test_an_oblong_image_has_no_quarter_turns():
    image = np.random.default_rng(0).integers(0, 255, (6, PX, 3)).astype(np.uint8)
    views = Views(Left(), (6, PX))
    assert views.explain(image, 0).map.shape == (6, PX)
    assert "4" in views.settings
