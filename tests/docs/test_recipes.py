"""Every shipped recipe reads, names what is registered, and runs in a quick form."""

import shlex
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eosin
from eosin.artifacts.layout import RunFolder
from eosin.core.types import Samples
from eosin.data.splits import split_samples
from eosin.experiment.validation import check_names
from eosin.networks import find_spec
from eosin.recipe import read_recipe, recipe_from_dict, recipe_to_toml
from eosin.runtime.door import import_companion
from eosin.training.balance import describe_balance
from eosin.training.sampler import evaluation_steps, make_batches

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))
PUBLISHED = [path for path in RECIPES if path.stem[:2] in {"p1", "p2", "p4", "p5"}]
QUICK_S = 10.0  # of processor time on an idle machine
#: On one idle core each took 1.6 to 9.2 s, and SE-DenseNet-121's chain, two trainings with an
#: export and a page each, 12.4: it misses the goal. A shared machine took twice as long (24.7 s).
BUSY = 4.0
#: Their quick forms keep the folds: two trainings and an ensemble. A deep network is built, trained
#: and exported once instead (`grouped`); that folds hold for any network is not a recipe's matter.
SMALL = {"cancervisionnet", "light_cnn", "mnist_cnn"}
#: Over 40 million weights: 15 s beside other work.
HEAVY = {"ernet101"}

each = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def quick_form(path, root):
    """What `--set` makes of a recipe to run it in seconds: simulated images, one epoch."""
    recipe = read_recipe(path)
    least = max(find_spec(recipe.model.name).min_input_px, 32)
    protocol = recipe.data.split.protocol
    if protocol == "folds" and recipe.model.name not in SMALL:
        protocol = "grouped"
    options, positive = "patients = 12, images_per_patient = 2", ["data.positive=malignant"]
    if recipe.data.label == "subtype":
        # Eight classes want a patient each in every part.
        options, positive = "patients = 24, images_per_patient = 4, subtypes = true", []
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
        # The phantom is brightfield.
        *(["data.modality=brightfield", "data.channel_names=[]"] if recipe.data.modality else []),
        "data.window=percentile",
        f"data.root={root}",
        f"data.options={{{options}, size_px = 32}}",
        *positive,
        "data.limit=4",
        *(["data.split.k=2", "data.split.repeats=1"] if protocol == "folds" else []),
        "data.split.val=0.25",
        "data.split.train=0.5",
        "data.split.test=0.25",
        f"model.input_px={least}",
        # Four crops; the phantom knows its own scale.
        *(
            [f"model.field_px=[{least + 4}, {2 * least}]", "model.mpp="]
            if recipe.model.field_px
            else []
        ),
        "train.epochs=1",
        "train.evaluations_per_epoch=1",
        "train.batch_size=8",
        "train.device=cpu",
        "evaluate.resamples=100",
    ]


def _phantom(root, seed):
    options = f"{{patients = 12, images_per_patient = 2, size_px = 32, seed = {seed}}}"
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


@pytest.fixture(scope="module")
def imported(tiny_run):
    """What is imported once is not a recipe's time."""
    return import_companion("timm")


@pytest.fixture
def untraced():
    """Measuring coverage would double the time; the flow tests take the same ways."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


def mark_heavy(path):
    return [pytest.mark.slow] if read_recipe(path).model.name in HEAVY else []


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=mark_heavy(path)) for path in RECIPES],
    ids=lambda path: path.stem,
)
@pytest.mark.usefixtures("imported", "untraced")
def test_its_quick_form_runs(path, tmp_path):
    start = time.process_time()
    result = eosin.train(
        path, overrides=quick_form(path, tmp_path / "phantom"), output=tmp_path / "run"
    )
    if not mark_heavy(path):
        assert time.process_time() - start < QUICK_S * BUSY
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


@each
def test_its_header_s_commands_can_be_typed(path):
    """Every setting is known and fits the others; no data is read."""
    for typed in typed_commands(path):
        recipe = typed_recipe(path, typed)
        check_names(recipe)
        assert recipe_from_dict(recipe.model_dump()) == recipe


def typed_commands(path):
    lines = [line for line in path.read_text().splitlines() if line.startswith("#   eosin train ")]
    return [shlex.split(line.removeprefix("#"))[3:] for line in lines]


def typed_recipe(path, words):
    options, settings = words[::2], words[1::2]
    assert set(options) <= {"--set"}
    placed = [text.replace("FOLDER", "/images") for text in settings]
    return read_recipe(path, placed)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_paper_s_recipe_has_its_published_protocol(path):
    recipes = [typed_recipe(path, words) for words in typed_commands(path)]
    shown = [one for one in recipes if not one.data.split.is_strict]
    assert shown
    assert any(one.data.split.is_strict for one in recipes)
    for recipe in shown:
        split, augment = recipe.data.split, recipe.augment
        shares = (split.train, split.val, split.test)
        match path.stem[:2]:
            case "p1":
                assert (split.protocol, *shares) == ("image", 0.8, 0.1, 0.1)
            case "p2":
                assert (split.protocol, split.by, split.k, split.repeats) == (
                    "folds",
                    "image",
                    5,
                    5,
                )
                assert split.test_share == 0.3
            case "p4":
                assert (split.protocol, *shares) == ("image", 0.7, 0.1, 0.2)
                assert augment.copies_before_split
                assert recipe.train.patience is None
            case "p5":
                assert (split.protocol, *shares) == ("image", 0.8, 0.1, 0.1)
                assert augment.copies_before_split
                assert augment.copies == 5
    if path.stem[:2] == "p1":
        assert {one.data.dataset for one in shown} == {"pcam", "pcam_kaggle"}


@pytest.mark.parametrize("network", ["lightcnn", "vgg16", "resnet50"])
def test_p3_s_epoch_is_the_published_one(network):
    """1,610 of BreakHis' 2,013 images at 200X, each once: 51 batches of 32 (Table 2.5)."""
    path = RECIPES[0].parent / f"p3-{network}-breakhis200.toml"
    recipe = read_recipe(path, overrides=["data.split.protocol=image"])
    labels = ["benign"] * 623 + ["malignant"] * 1390
    names = [f"{number}.png" for number in range(len(labels))]
    frame = pd.DataFrame({"path": names, "label": labels, "patient": "", "group": names})
    samples = Samples(frame=frame, root=Path(), class_names=("benign", "malignant"), name="all")
    divided, _ = split_samples(samples, recipe.data.split, recipe.seed)
    targets = divided.part("train").targets
    assert abs(len(targets) - 1610) <= 1
    report = describe_balance(targets, samples.class_names, recipe.train, recipe.augment.copies)
    shown = [one.shown for one in report.classes.values()]
    assert shown == np.bincount(targets).tolist(), "no class is oversampled"
    weights = [one.weight for one in report.classes.values()]
    assert weights == pytest.approx([len(targets) / (2 * count) for count in shown])
    if network == "lightcnn":
        batches = make_batches(targets, recipe.train, recipe.seed)
        assert len(batches) == 51
        assert len(evaluation_steps(len(batches), recipe.train.evaluations_per_epoch)) == 20
