"""Ranges and contradictions are refused when a recipe is read, naming the key."""

from typing import get_args

import pytest
from pydantic import ValidationError

from eosin.core.errors import RecipeError
from eosin.recipe import recipe_from_dict
from eosin.recipe.schema import Recipe


def make(**changed):
    values = {"name": "a", "data": {"dataset": "phantom"}, "model": {"name": "light_cnn"}}
    return recipe_from_dict({**values, **changed})


def test_the_defaults():
    recipe = make()
    assert recipe.seed == 0
    assert recipe.data.split.protocol == "grouped"
    assert (recipe.data.split.train, recipe.data.split.val, recipe.data.split.test) == (
        0.7,
        0.1,
        0.2,
    )
    assert recipe.evaluate.target_recall == 0.90
    assert recipe.augment.policy == "none"


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        make().train.lr = 1.0


@pytest.mark.parametrize(
    ("section", "key", "value", "wanted"),
    [
        ("train", "lr", 0, "greater than 0, got 0"),
        ("train", "lr", float("nan"), "got nan"),
        ("train", "lr", float("inf"), "finite number, got inf"),
        ("train", "l2", -0.1, "greater than or equal to 0, got -0.1"),
        ("train", "batch_size", 1, "greater than or equal to 2"),
        ("train", "epochs", 0, "greater than or equal to 1, got 0"),
        ("train", "batch_size", 1.5, "got 1.5"),
        ("train", "epochs", "2", "number without quotes is expected, got '2'"),
        ("train", "lr", "0.1", "number without quotes is expected, got '0.1'"),
        ("train", "betas", [0.9, "0.99"], "number without quotes is expected, got '0.99'"),
        ("data", "limit", "7", "number without quotes is expected, got '7'"),
        ("data", "path", "", "at least 1 character, got ''"),
        ("train", "optimizer", "rmsprop", "'adam', 'adamw' or 'sgd', got 'rmsprop'"),
        ("train", "betas", [0.9, 1.0], "less than 1, got 1.0"),
        ("train", "monitor", "test_loss", "got 'test_loss'"),
        ("train", "patience", 0, "greater than or equal to 1, got 0"),
        ("model", "input_px", 4, "greater than or equal to 8, got 4"),
        ("model", "preprocessing", "zscore", "got 'zscore'"),
        ("evaluate", "resamples", 10, "greater than or equal to 100, got 10"),
        ("evaluate", "target_recall", 1.1, "less than or equal to 1, got 1.1"),
        ("data", "limit", 0, "greater than or equal to 1, got 0"),
        ("stain", "unit", "case", "'tile', 'slide' or 'patient', got 'case'"),
    ],
)
def test_a_value_out_of_range_names_key_and_value(section, key, value, wanted):
    base = {"data": {"dataset": "phantom"}, "model": {"name": "light_cnn"}}
    with pytest.raises(RecipeError) as caught:
        make(**{section: {**base.get(section, {}), key: value}})
    assert f"'{section}.{key}" in str(caught.value)
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("train", "named"),
    [
        ({"monitor": "none", "patience": 3}, ("monitor", "patience")),
        ({"label_smoothing": 0.1, "loss": "focal"}, ("label_smoothing", "focal")),
        ({"weight_averaging": "swa", "patience": 3}, ("swa", "patience")),
        ({"epochs": 2, "schedule": {"warmup": 2.0}}, ("warmup", "epochs")),
    ],
)
def test_keys_of_a_training_that_cannot_be_combined_are_named(train, named):
    with pytest.raises(RecipeError) as caught:
        make(train=train)
    assert all(name in str(caught.value) for name in ("'train'", *named))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "-a", "a/b", "a b", "ä", "x" * 81, "../a"])
def test_a_name_must_do_for_a_folder(name):
    with pytest.raises(RecipeError, match="'name'"):
        make(name=name)


@pytest.mark.parametrize("seed", [-1, 2**31, 0.5])
def test_a_seed_is_a_whole_number_of_31_bits(seed):
    with pytest.raises(RecipeError, match="'seed'"):
        make(seed=seed)


@pytest.mark.parametrize(
    ("split", "wanted"),
    [
        ({"train": 0.5}, "train + val + test must add up to 1, got 0.8"),
        ({"train": 0.8, "val": 0.0, "test": 0.2}, "must each be above 0"),
        ({"protocol": "image", "train": 0.9}, "must add up to 1, got 1.2"),
        ({"protocol": "folds", "val": 0.0}, "inner validation subset"),
        ({"by": "site"}, 'needs the protocol "folds"'),
        ({"protocol": "grouped", "k": 5}, "k: not used by the protocol 'grouped'"),
        ({"repeats": 1}, "repeats: not used by the protocol 'grouped'"),
        ({"protocol": "image", "k": 3}, "k: not used by the protocol 'image'"),
        ({"protocol": "column", "repeats": 2}, "repeats: not used by the protocol 'column'"),
        ({"protocol": "folds", "k": 1}, "greater than or equal to 2"),
        ({"train": 1.0}, "less than 1"),
    ],
)
def test_a_split_that_cannot_be_is_refused(split, wanted):
    with pytest.raises(RecipeError) as caught:
        make(data={"dataset": "phantom", "split": split})
    assert wanted in str(caught.value)


def test_shares_do_not_count_where_the_table_or_the_folds_divide():
    for protocol in ("column", "folds"):
        section = {"protocol": protocol, "train": 0.3}
        assert make(data={"dataset": "phantom", "split": section}).data.split.train == 0.3


@pytest.mark.parametrize(
    ("split", "share"),
    [
        ({}, 0.0),
        ({"test": 0.2}, 0.2),
        ({"test": 0.0}, 0.0),
        # With the default of `train` these add up to 1.
        ({"val": 0.2, "test": 0.1}, 0.1),
        ({"train": 0.6, "val": 0.1, "test": 0.3}, 0.0),
    ],
)
def test_folds_hold_out_a_test_part_where_test_is_given_alone(split, share):
    section = {"protocol": "folds", **split}
    recipe = make(data={"dataset": "phantom", "split": section})
    assert recipe.data.split.test_share == share
    again = recipe_from_dict(recipe.model_dump())
    assert again.data.split.test_share == share
    assert again.model_dump() == recipe.model_dump()


def test_a_section_that_names_every_key_is_read_as_an_earlier_version_wrote_it():
    section = {"protocol": "column", "by": "group", "stratify": True, "train": 0.6, "val": 0.2}
    section |= {"test": 0.3, "k": 2, "repeats": 3}
    recipe = make(data={"dataset": "phantom", "split": section})
    assert recipe.data.split.val == 0.2
    folds = make(data={"dataset": "phantom", "split": section | {"protocol": "folds"}})
    assert folds.data.split.test_share == 0.0
    # What it does not use is not written again.
    assert set(recipe.model_dump()["data"]["split"]) == {"protocol", "by", "stratify", "val"}


@pytest.mark.parametrize(
    ("split", "is_strict"),
    [
        ({}, True),
        ({"protocol": "column"}, True),
        ({"protocol": "folds"}, True),
        ({"protocol": "folds", "by": "image"}, False),
        ({"protocol": "image"}, False),
        ({"by": "image"}, False),
        ({"protocol": "column", "by": "image"}, False),
        ({"protocol": "image", "by": "image"}, False),
    ],
)
def test_only_a_split_by_image_may_leak(split, is_strict):
    assert make(data={"dataset": "phantom", "split": split}).data.split.is_strict is is_strict


def test_percentiles_belong_to_a_window_and_defaults_are_read_back():
    with pytest.raises(RecipeError, match=r"`percentiles` belong to `window = \"percentile\"`"):
        make(data={"dataset": "phantom", "window": "none", "percentiles": [1, 99]})
    written = make(data={"dataset": "phantom", "window": "none"}).model_dump(exclude_none=True)
    assert recipe_from_dict(written).data.window == "none"


@pytest.mark.parametrize("data", [{}, {"dataset": "phantom", "manifest": "m.csv"}])
def test_exactly_one_source_of_samples(data):
    with pytest.raises(RecipeError, match="exactly one of `dataset` and `manifest`"):
        make(data=data)


def test_every_knob_is_documented():
    def sections(model):
        yield model
        for field in model.model_fields.values():
            for kind in (field.annotation, *get_args(field.annotation)):
                if isinstance(kind, type) and hasattr(kind, "model_fields"):
                    yield from sections(kind)

    undocumented = {
        f"{section.__name__}.{key}"
        for section in sections(Recipe)
        for key in section.model_fields
        if f"{key}:" not in section.__doc__
    }
    assert undocumented == set()


STAGE = {"name": "lung", "data": {"dataset": "lc25000"}, "epochs": 3}


def test_stages_have_data_of_their_own():
    recipe = make(transfer={"source": "imagenet", "stage": [STAGE]})
    (stage,) = recipe.transfer.stage
    assert stage.data.dataset == "lc25000"
    assert stage.freeze == "none"
    assert stage.lr is None


@pytest.mark.parametrize(
    ("stages", "result"),
    [
        ([STAGE, STAGE], "stage names must be unique, got lung, lung"),
        ([{**STAGE, "name": "../x"}], "transfer.stage.0.name"),
        ([{**STAGE, "frezze": "none"}], "Did you mean 'freeze'"),
        ([{**STAGE, "data": {"dataset": "idc", "split": {"protocol": "folds"}}}], "folds"),
        ([{**STAGE, "data": {"dataset": "idc", "splt": {}}}], "Did you mean 'split'"),
    ],
)
def test_stages_that_make_no_sense_are_refused_by_name(stages, result):
    with pytest.raises(RecipeError) as caught:
        make(transfer={"stage": stages})
    assert result in str(caught.value)
