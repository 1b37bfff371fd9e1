"""What a recipe cannot balance by is refused by name, before any data is looked for."""

import shlex
from pathlib import Path

import pandas as pd
import pytest

from eosin.core.errors import RecipeError
from eosin.core.types import Samples
from eosin.experiment.validation import check_names, check_positive
from eosin.recipe import parse_overrides, recipe_from_dict


def recipe(policy="none", copies=None, balance="smote", **transfer):
    augment = {"policy": policy, **({"copies": copies} if copies else {})}
    return recipe_from_dict(
        {
            "name": "a",
            "data": {"manifest": "absent.csv"},
            "augment": augment,
            "model": {"name": "ernet18"},
            "transfer": transfer,
            "train": {"balance": balance},
        }
    )


STAGE = {"name": "first", "epochs": 1, "data": {"manifest": "absent.csv"}}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"freeze": "backbone", "unfreeze_every": 1},
        {"freeze": "backbone", "policy": "p3"},
        {"freeze": "backbone", "stage": [STAGE]},
    ],
)
def test_smote_needs_features_that_stay(changed):
    with pytest.raises(RecipeError, match=r"'train.balance' is \"smote\", which needs") as caught:
        check_names(recipe(**changed))
    assert 'transfer.freeze = "backbone"' in caught.value.hint


@pytest.mark.parametrize(
    "changed",
    [
        {"freeze": "backbone"},
        {"freeze": "backbone", "policy": "p3", "copies": 2},
        {"freeze": "backbone", "policy": "p4"},
        {"freeze": "backbone", "stage": [STAGE | {"freeze": "backbone"}]},
        {"balance": "oversample", "policy": "p3"},
        {"balance": "sampler", "policy": "p4", "copies": 5},
    ],
)
def test_what_can_be_balanced_passes(changed):
    check_names(recipe(**changed))


@pytest.mark.parametrize("where", ["data", "stage"])
def test_stacks_are_not_mixed(where):
    values = recipe(balance="none").model_dump()
    values["train"]["mixup"] = 0.2
    values["model"]["name"] = "fusion:ernet18"
    check_names(recipe_from_dict(values))
    data = {"manifest": "absent.csv", "fuse": True, "magnifications": ["40", "200"]}
    if where == "data":
        values["data"] |= data
    else:
        values["transfer"]["stage"] = [STAGE | {"data": data}]
    with pytest.raises(RecipeError, match=r"'train.mixup' cannot be combined with 'data.fuse'"):
        check_names(recipe_from_dict(values))


def test_another_number_of_copies_than_the_policy_s_is_refused():
    with pytest.raises(RecipeError, match=r"'augment.copies' is 3, but the policy 'p4' makes 5"):
        check_names(recipe(balance="none", policy="p4", copies=3))


def test_copies_of_a_policy_that_changes_nothing_are_refused():
    with pytest.raises(RecipeError, match="the policy 'none' changes nothing"):
        check_names(recipe(freeze="backbone", copies=6))


def samples(names, positive=None):
    frame = pd.DataFrame({"path": names, "label": names, "group": names}, dtype=object)
    return Samples(frame, Path(), tuple(names), positive)


@pytest.mark.parametrize("names", [("benign", "tumour"), ("0", "1"), ("it's", '"q" $x')])
def test_two_classes_without_a_positive_one_are_refused_with_the_lines_to_type(names):
    with pytest.raises(RecipeError, match=r"data\.positive") as caught:
        check_positive(samples(names), None)
    words = shlex.split(caught.value.hint)
    typed = [word.partition("=")[2] for word in words if word.startswith("--positive=")]
    assert typed == list(names)
    check_positive(samples(names, positive=names[0]), names[0])


def test_more_classes_with_a_positive_one_are_refused_and_listed():
    with pytest.raises(RecipeError, match="'a', 'b', 'c'") as caught:
        check_positive(samples(("a", "b", "c"), positive="a"), "a")
    assert parse_overrides(["data.positive="]) == {"data": {"positive": None}}
    assert caught.value.hint.endswith("--set data.positive=")
    check_positive(samples(("a", "b", "c")), None)


def of_fields(field=(56, 84), **sections):
    values = {
        "name": "a",
        "data": {"manifest": "absent.csv"},
        "model": {"name": "light_cnn", "input_px": 52, "field_px": field},
    }
    return recipe_from_dict(
        {
            name: values.get(name, {}) | sections.get(name, {})
            for name in ("data", "model", *sections)
        }
        | {"name": "a"}
    )


def test_fields_with_room_for_crops_pass():
    check_names(of_fields())
    check_names(of_fields(field=(52, 52), augment={"policy": "dihedral"}))


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"model": {"field_px": (84, 51)}}, "84 × 51 pixels has no room for crops of 52"),
        ({"model": {"input_px": None}}, "no room for crops of 224"),
        ({"model": {"field_px": (900, 900)}}, "324 crops of 52 pixels"),
        ({"augment": {"policy": "p4"}}, "fixed copies"),
        ({"augment": {"policy": "dihedral", "copies": 2}}, "fixed copies"),
        ({"transfer": {"stage": [STAGE]}}, "'transfer.stage' has others"),
        ({"transfer": {"freeze": "before:head", "standardise": True}}, "transfer.standardise"),
        ({"model": {"backend": "numpy"}}, "the NumPy engine does not support"),
        (
            {"data": {"fuse": True, "magnifications": ["40", "100"]}, "model": {"mpp": 0.5}},
            "'model.mpp' is one scale",
        ),
    ],
)
def test_what_needs_whole_images_is_refused(sections, said):
    with pytest.raises(RecipeError) as caught:
        check_names(of_fields(**sections))
    assert said in caught.value.message
    assert caught.value.hint
