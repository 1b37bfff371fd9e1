"""From a recipe to where its images lie."""

from eosin.experiment.prepare import resolve_root
from eosin.recipe.data import DataSection


def test_a_variable_expands_in_the_root_of_a_simulated_data_set_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_PLACE", str(tmp_path))
    section = DataSection(dataset="phantom", root="$MY_PLACE/phantom")
    assert resolve_root(section, seed=0) == tmp_path / "phantom"
