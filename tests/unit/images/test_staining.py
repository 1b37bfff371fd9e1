"""Which images tell a stain reference, and how often each is normalised."""

import numpy as np
import pandas as pd
import pytest

from eosin.artifacts.stain import ColourReference, SeparationReference
from eosin.core.errors import ManifestError, RecipeError
from eosin.core.types import Samples
from eosin.experiment.stain import fit_reference
from eosin.images.staining import (
    NormalisedStore,
    check_uncut,
    check_units,
    join_references,
    rows_of_units,
    spread_tiles,
)
from eosin.recipe.schema import StainSection
from eosin.stain import METHODS

SIDE = 24


class Spy:
    """A store of noisy pink tiles that remembers which rows were requested."""

    def __init__(self, n_rows=12):
        rng = np.random.default_rng(0)
        density = rng.gamma(2.0, 0.2, (n_rows, SIDE, SIDE, 2)) @ [[0.6, 0.7, 0.3], [0.1, 0.9, 0.2]]
        self.images = (240 * np.exp(-density)).astype(np.uint8)
        self.shape, self.dtype = self.images.shape, self.images.dtype
        self.asked = []

    def __len__(self):
        return len(self.images)

    def take(self, rows):
        self.asked += rows.tolist()
        return self.images[rows]


@pytest.fixture(scope="module")
def method():
    """A method whose reference is the mean look of the store's first tiles."""
    return METHODS.get("reinhard")().fit_many(Spy().images[:3])


def samples(**columns):
    n_rows = len(next(iter(columns.values())))
    frame = {"path": [f"{row}.png" for row in range(n_rows)], "group": ["a"] * n_rows, **columns}
    return Samples(pd.DataFrame(frame, dtype=object), root=None, class_names=("x", "y"))


def test_an_image_is_normalised_once(method):
    raw = Spy()
    store = NormalisedStore(raw, method.reference_, {})
    wanted = method.apply(raw.images[[4, 2, 4]]).images
    assert (wanted != raw.images[[4, 2, 4]]).any()
    for _ in range(3):
        np.testing.assert_array_equal(store.take(np.array([4, 2, 4])), wanted)
    assert sorted(raw.asked) == [2, 4, 4]


def test_beyond_what_memory_keeps_images_are_normalised_anew(method):
    raw = Spy()
    store = NormalisedStore(raw, method.reference_, {}, kept_bytes=2 * SIDE * SIDE * 3)
    wanted = method.apply(raw.images[:4]).images
    for _ in range(2):
        np.testing.assert_array_equal(store.take(np.arange(4)), wanted)
    assert raw.asked == [0, 1, 2, 3, 2, 3]


def test_reasons_are_told_for_rows_that_nobody_asked_for(method):
    raw = Spy()
    raw.images[5] = 0
    store = NormalisedStore(raw, method.reference_, {})
    assert [bool(reason) for reason in store.reasons(np.arange(4, 7))] == [False, True, False]


def test_the_tiles_of_a_unit_are_estimated_together_and_once(method):
    raw = Spy()
    table = samples(patient=["p", "p", "q", "p", ""])
    units = rows_of_units(table, {f"{row}.png": row + 3 for row in range(5)}, "patient")
    assert {row: sorted(mine.tolist()) for row, mine in units.items()} == {
        3: [3, 4, 6],
        4: [3, 4, 6],
        6: [3, 4, 6],
        5: [5],
    }
    got = NormalisedStore(raw, method.reference_, units).take(np.arange(3, 8))
    # Each is read twice: once with its unit to tell the stain, and once to be normalised.
    assert sorted(raw.asked) == sorted(2 * [3, 4, 5, 6, 7])
    # The last has no patient and tells its own.
    for rows in ([3, 4, 6], [5], [7]):
        # A unit's tiles are pooled in the order of its rows, as the store has it.
        source = method.estimate(raw.images[units.get(rows[0], np.array(rows))])
        for row in rows:
            wanted = method.apply(raw.images[row : row + 1], [source]).images
            np.testing.assert_array_equal(got[row - 3 : row - 2], wanted)


def test_a_unit_s_stain_is_told_by_the_same_tiles_in_any_order_and_folder(method):
    names = [f"{number}.png" for number in range(200)]
    other = [f"elsewhere/{name}|" for name in reversed(names)]
    first, second = (
        [part.rpartition("/")[2] for part in spread_tiles(cells)] for cells in (names, other)
    )
    assert first == second
    assert first[:64] != names[:64]
    rows = {name: row for row, name in enumerate(names)}
    units = rows_of_units(samples(patient=["p"] * 200), rows, "patient")
    assert units[199].tolist() == [rows[name] for name in first[:64]]
    # One that cannot be read gives its place to the next.
    del rows[first[0]]
    units = rows_of_units(samples(patient=["p"] * 200), rows, "patient")
    assert units[0 if first[0] != "0.png" else 1].tolist() == [rows[n] for n in first[1:65]]


def test_a_unit_that_the_split_cuts_is_refused():
    table = samples(patient=["p", "p", "", ""], split=["train", "train", "train", "test"])
    check_uncut(table, "patient")
    cut = samples(patient=["p", "p", "q"], split=["train", "test", "test"])
    check_uncut(cut, "tile")
    with pytest.raises(RecipeError, match="patient p has images in test and train"):
        check_uncut(cut, "patient")


def test_units_that_no_image_has_are_refused():
    check_units(samples(patient=["", "p"]), "patient")
    check_units(samples(patient=[""]), "tile")
    with pytest.raises(ManifestError, match="has no slide for any image"):
        check_units(samples(slide=["", ""]), "slide")


@pytest.mark.parametrize("unit", ["tile", "patient"])
def test_a_reference_is_fitted_on_the_rows_of_the_training_part_alone(unit):
    raw = Spy()
    table = samples(patient=["p", "q", "p", ""], group=["p", "q", "p", "r"])
    section = StainSection(method="macenko", unit=unit)
    found = fit_reference(section, raw, np.array([2, 9, 4, 7]), table, seed=0)
    assert sorted(raw.asked) == [2, 4, 7, 9]
    assert (found.unit, found.n_images) == (unit, 4)
    assert found.n_units == (4 if unit == "tile" else 3)


def test_no_group_has_the_say_by_its_size():
    raw = Spy(604)
    table = samples(group=["big"] * 601 + ["a", "b", "c"])
    found = fit_reference(StainSection(method="reinhard"), raw, np.arange(604), table, seed=0)
    assert len(raw.asked) == found.n_images == 512
    assert set(raw.asked) >= {601, 602, 603}


def test_a_bundle_s_missing_images_are_not_asked_for():
    raw = Spy()
    rows = np.array([[0, 1], [-1, 2]])
    fit_reference(StainSection(method="reinhard"), raw, rows, samples(group=["a", "b"]), seed=0)
    assert sorted(raw.asked) == [0, 1, 2]


def test_references_are_averaged():
    one = ColourReference(lab_mean=(50.0, 10.0, -10.0), lab_std=(9.0, 4.0, 4.0))
    two = one.model_copy(update={"lab_mean": (60.0, 12.0, -14.0)})
    assert join_references([one, one]) is one
    assert join_references([one, two]).lab_mean == (55.0, 11.0, -12.0)
    vectors = ((0.6, 0.8, 0.0), (0.0, 1.0, 0.0))
    other = ((0.8, 0.6, 0.0), (0.0, 1.0, 0.0))
    separated = [
        SeparationReference(method="macenko", stain_matrix=m, max_concentrations=(c, 1.0))
        for m, c in ((vectors, 1.0), (other, 2.0))
    ]
    joined = join_references(separated)
    assert joined.max_concentrations == (1.5, 1.0)
    assert joined.stain_matrix[0] == pytest.approx((0.5**0.5, 0.5**0.5, 0.0))
