import shutil

import pytest
from tests.facts import tells

from eosin.artifacts.layout import RunFolder
from eosin.core.errors import RecipeError
from eosin.experiment.resume import check_same_recipe
from eosin.recipe import read_recipe
from eosin.recipe.shipped import find_recipe


def test_a_change_in_a_stage_is_named_by_its_key(tmp_path):
    recipe = find_recipe("lite0-lc25000-breakhis200")
    shutil.copy(recipe, RunFolder(tmp_path).recipe)
    check_same_recipe(RunFolder(tmp_path), read_recipe(recipe))
    changed = read_recipe(recipe, ["transfer.stage.0.data.repair=true"])
    with pytest.raises(RecipeError) as caught:
        check_same_recipe(RunFolder(tmp_path), changed)
    assert tells(caught.value.message, "transfer.stage.0.data.repair", "False", "True")
    assert "epochs" not in caught.value.message
