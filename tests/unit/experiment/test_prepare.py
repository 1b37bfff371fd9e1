"""From a recipe to where its images lie."""

import numpy as np

from eosin.data.audit import find_near_duplicates
from eosin.experiment.prepare import prepare, resolve_root
from eosin.recipe import recipe_from_dict
from eosin.recipe.data import DataSection
from eosin.recipe.overrides import override


def test_a_variable_expands_in_the_root_of_a_simulated_data_set_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_PLACE", str(tmp_path))
    section = DataSection(dataset="phantom", root="$MY_PLACE/phantom")
    assert resolve_root(section, seed=0) == tmp_path / "phantom"


def test_two_trainings_on_the_same_images_search_them_once(tiny_values, tmp_path, on_entry):
    values, calls = tiny_values(tmp_path / "phantom"), []
    values["data"]["options"]["seed"] = 4711  # images that no other test has searched
    with on_entry(find_near_duplicates, lambda arguments: calls.append(arguments)):
        first, second = (
            prepare(recipe_from_dict(override(values, [f"data.split.protocol={protocol}"])))
            for protocol in ("image", "grouped")
        )
        third = prepare(recipe_from_dict(override(values, ["data.limit=2"])))
    assert len(calls) == 2
    assert second.near_duplicates == first.near_duplicates
    assert len(third.image_index) < len(second.image_index) == len(first.image_index)
    # Pairs are verified on images of its own bank.
    row = second.bank.rows[second.image_index.cells[3]]
    assert (second.image_index.read(3) == second.bank.store.take(np.array([row]))[0]).all()
