"""Networks that finished runs teach: by which, on what, and which teachers are refused."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tomli_w
from safetensors.numpy import load_file
from tests.facts import same_history, tells

import eosin
from eosin.artifacts.layout import RunFolder
from eosin.core.errors import InterruptedRunError, LeakError, RecipeError
from eosin.recipe import read_recipe, recipe_from_dict
from eosin.training.pytorch import TorchLearner


def info(folder):
    return json.loads((folder / "model" / "model.json").read_text())


def taught(run, *teachers, seed=None, **train):
    """The recipe of a finished run, with teachers."""
    values = read_recipe(run / "recipe.toml").model_dump()
    values["train"] |= {"teachers": [str(one) for one in teachers], "epochs": 1, **train}
    if seed is not None:
        # The phantom's own seed is the recipe's by default.
        values["data"]["options"] |= {"seed": values["seed"]}
        values["seed"] = seed
    return recipe_from_dict(values)


@pytest.fixture
def own_split(tiny_run, tmp_path):
    """A function to a recipe over the images of the tiny run, some patients in other subsets."""

    def make(**moves):
        table = pd.read_csv(tiny_run / "manifest.csv", dtype=str, keep_default_na=False)
        table["path"] = [str((tiny_run / path).resolve()) for path in table["path"]]
        for before, after in moves.items():
            patient = table.loc[table["split"] == before, "patient"].iloc[0]
            table.loc[table["patient"] == patient, "split"] = after
        table.to_csv(tmp_path / "own.csv", index=False)
        values = taught(tiny_run, tiny_run).model_dump()
        split = {"protocol": "column"}
        values["data"] = {
            "manifest": str(tmp_path / "own.csv"), "positive": "malignant", "split": split
        }  # fmt: skip
        return recipe_from_dict(values)

    return make


def test_a_fold_is_taught_by_the_same_fold(folds_run, tmp_path):
    eosin.train(taught(folds_run, folds_run), output=tmp_path / "run")
    for fold in sorted((tmp_path / "run" / "folds").iterdir()):
        (teacher,) = info(fold)["teachers"]
        same = info(folds_run / "folds" / fold.name)
        assert teacher["weights_sha256"] == same["weights_sha256"]
        assert teacher["run"] == folds_run.name
        assert read_recipe(fold / "recipe.toml").train.teachers == (
            str(folds_run / "folds" / fold.name),
        )
    every = info(tmp_path / "run")["teachers"]
    assert len({one["weights_sha256"] for one in every}) == len(every) == 2
    card = (tmp_path / "run" / "model" / "card.md").read_text()
    assert tells(card, "Teachers", every[0]["weights_sha256"][:12], "50%")
    # The recipe of a fold trains it anew, by the same teacher.
    again = eosin.train(tmp_path / "run" / "folds" / "0-1" / "recipe.toml", output=tmp_path / "a")
    assert info(again.run)["teachers"] == info(tmp_path / "run" / "folds" / "0-1")["teachers"]


def test_seeds_of_one_split_teach_each_other(folds_run, tmp_path):
    recipe = taught(folds_run, folds_run, seed=5)
    split = recipe.data.split.model_copy(
        update={"seed": read_recipe(folds_run / "recipe.toml").seed}
    )
    data = recipe.data.model_copy(update={"split": split})
    run = eosin.train(recipe.model_copy(update={"data": data}), output=tmp_path / "run").run
    for fold in ("0-0", "0-1"):
        tables = [pd.read_csv(one / "folds" / fold / "manifest.csv") for one in (folds_run, run)]
        assert list(tables[0]["split"]) == list(tables[1]["split"])
    assert read_recipe(run / "recipe.toml").data.split.seed == split.seed
    assert (
        info(run / "folds" / "0-0")["weights_sha256"]
        != info(folds_run / "folds" / "0-0")["weights_sha256"]
    )


def test_other_folds_are_refused_before_anything_is_made(folds_run, tmp_path):
    with pytest.raises(LeakError, match="has learnt from images or patients of the test subset"):
        eosin.train(taught(folds_run, folds_run, seed=5), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("moves", "named"),
    [
        ({}, ""),
        ({"train": "test"}, "test"),
        ({"train": "val"}, "validation"),
        ({"val": "test"}, "test"),
    ],
)
def test_a_teacher_must_not_know_what_its_student_is_evaluated_on(own_split, moves, named):
    recipe = own_split(**moves)
    if not named:
        eosin.plan(recipe)
        return
    with pytest.raises(LeakError, match=f"of the {named} subset"):
        eosin.plan(recipe)


def test_what_a_teacher_only_evaluated_may_be_learnt(own_split):
    eosin.plan(own_split(test="train"))


def test_the_student_learns_the_mean_of_the_predictions_and_resumes(tiny_run, tmp_path, on_entry):
    recipe = taught(tiny_run, tiny_run, epochs=2, teacher_weight=0.7)
    straight = eosin.train(recipe, output=tmp_path / "straight").run
    assert not RunFolder(straight).soft_targets.exists()

    def cut(given):
        if given["number"] == 3:
            raise KeyboardInterrupt

    with on_entry(TorchLearner.step, cut), pytest.raises(InterruptedRunError):
        eosin.train(recipe, output=tmp_path / "cut")
    soft = load_file(RunFolder(tmp_path / "cut").soft_targets)["probabilities"]
    manifest = pd.read_csv(tiny_run / "manifest.csv", dtype=str, keep_default_na=False)
    paths = [tiny_run / path for path in manifest.loc[manifest["split"] == "train", "path"]]
    predicted = eosin.load(tiny_run / "model").predict(paths)
    names = [f"prob_{name}" for name in info(tiny_run)["class_names"]]
    np.testing.assert_allclose(soft, predicted.table[names], atol=1e-6)
    resumed = eosin.train(resume=tmp_path / "cut").run
    first, second = (load_file(run / "model/model.safetensors") for run in (straight, resumed))
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert same_history(straight / "history.csv", resumed / "history.csv")
    plain = eosin.train(taught(tiny_run, epochs=2), output=tmp_path / "plain").run
    assert not same_history(straight / "history.csv", plain / "history.csv")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"teachers": ["absent"]}, "absent is not a finished run"),
        ({"balance": "smote"}, "train.balance"),
    ],
)
def test_what_cannot_teach_is_refused_before_images_are_read(tiny_run, changed, named):
    values = taught(tiny_run, tiny_run).model_dump()
    values["train"] |= changed
    values["transfer"]["freeze"] = "backbone"
    with pytest.raises(RecipeError, match=named):
        eosin.plan(recipe_from_dict(values))


def test_a_run_that_was_taught_or_averaged_teaches_nobody(tiny_run, tmp_path):
    recipe = taught(tiny_run, tiny_run)
    student = eosin.train(recipe, output=tmp_path / "student").run
    with pytest.raises(RecipeError, match="was itself taught"):
        eosin.plan(taught(tiny_run, student))
    shutil.copytree(tiny_run, tmp_path / "mean")
    (tmp_path / "mean" / "recipe.toml").unlink()
    with pytest.raises(RecipeError, match="ensemble of runs"):
        eosin.plan(taught(tiny_run, tmp_path / "mean"))


def test_teachers_of_other_classes_are_refused(tiny_run, run_of):
    with pytest.raises(RecipeError, match="has the classes"):
        eosin.plan(taught(tiny_run, run_of("three classes")))


def test_relative_teachers_start_from_the_recipe(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "runs" / "a")
    values = read_recipe(tiny_run / "recipe.toml").model_dump(mode="json", exclude_none=True)
    values["train"]["teachers"] = ["runs/a"]
    (tmp_path / "recipe.toml").write_text(tomli_w.dumps(values), encoding="utf-8")
    assert read_recipe(tmp_path / "recipe.toml").train.teachers == (str(tmp_path / "runs" / "a"),)
