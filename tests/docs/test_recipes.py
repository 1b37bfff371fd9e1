"""Every shipped recipe reads, names what is registered, and runs in a quick form."""

import sys
import time
from pathlib import Path

import pytest

import eosin
from eosin.artifacts.layout import RunFolder
from eosin.networks import find_spec
from eosin.pipeline.preparation import check_names
from eosin.recipe import read_recipe, recipe_from_dict, recipe_to_toml

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))
QUICK_S = 10.0  # of processor time
#: Whose graphs are small; exporting a deep one to ONNX takes 5 to 25 s by itself, and folds export
#: each and their ensemble.
SMALL = {"cancervisionnet", "light_cnn"}

each = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def quick_form(path, root):
    """What `--set` makes of a recipe to run it in seconds: simulated images, one epoch."""
    recipe = read_recipe(path)
    least = max(find_spec(recipe.model.name).min_input_px, 48)
    protocol = recipe.data.split.protocol
    stages = [
        line
        for number in range(len(recipe.transfer.stage))
        for line in (
            f"transfer.stage.{number}.epochs=1",
            f"transfer.stage.{number}.data={_phantom(f'{root}-{number}', number + 1)}",
        )
    ]
    return [
        *stages,
        # ImageNet's weights would need a network.
        "transfer.source=none",
        # The phantom comes without a split of its own.
        f"data.split.protocol={'grouped' if protocol == 'column' else protocol}",
        "data.dataset=phantom",
        f"data.root={root}",
        "data.options={patients = 12, images_per_patient = 4, size_px = 48}",
        "data.positive=malignant",
        "data.limit=4",
        "data.split.k=2",
        "data.split.repeats=1",
        "data.split.val=0.25",
        "data.split.train=0.5",
        "data.split.test=0.25",
        f"model.input_px={least}",
        "train.epochs=1",
        "train.evaluations_per_epoch=1",
        "train.batch_size=8",
        "train.device=cpu",
        "evaluate.resamples=100",
    ]


def _phantom(root, seed):
    options = f"{{patients = 12, images_per_patient = 4, size_px = 48, seed = {seed}}}"
    split = "{train = 0.5, val = 0.25, test = 0.25}"
    return f'{{dataset = "phantom", root = "{root}", options = {options}, split = {split}}}'


def test_there_are_recipes():
    assert RECIPES


@each
def test_a_recipe_reads_and_its_names_are_registered(path):
    recipe = read_recipe(path)
    check_names(recipe)
    assert recipe.name == path.stem
    assert recipe.description
    assert recipe_from_dict(recipe.model_dump()) == recipe
    assert recipe_to_toml(recipe)


def is_small(path):
    return read_recipe(path).model.name in SMALL


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[] if is_small(p) else [pytest.mark.slow]) for p in RECIPES],
    ids=lambda path: path.stem,
)
@pytest.mark.usefixtures("tiny_run")  # what is imported once is not a recipe's time
def test_its_quick_form_runs(path, tmp_path):
    start = time.process_time()
    result = eosin.train(
        path, overrides=quick_form(path, tmp_path / "phantom"), output=tmp_path / "run"
    )
    # Measuring coverage doubles it.
    if is_small(path):
        assert time.process_time() - start < QUICK_S * (1 if sys.gettrace() is None else 2)
    run = RunFolder(result.run)
    assert run.report.exists()
    assert run.metrics.exists()
    assert (run.model / "model.onnx").exists()
    assert all(split.n_images > 0 for split in result.metrics.values())


@each
def test_its_header_s_commands_name_it(path):
    commands = [line for line in path.read_text().splitlines() if line.startswith("#   eosin ")]
    assert commands
    assert all(f"recipes/{path.name}" in command for command in commands)
