"""A user's own folder or table, trained with one line."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.facts import tells

import eosin
from eosin.artifacts.metrics import read_metrics
from eosin.experiment.default_recipe import make_default_recipe
from eosin.recipe import read_recipe

PATIENTS = 6
GREY = {"benign": 200, "tumour": 80}


@pytest.fixture
def draw(tmp_path):
    """Return a function that draws two images per class and patient, and returns the folder."""

    def make(pattern, *, patients=PATIENTS, name="own"):
        rng, root = np.random.default_rng(0), tmp_path / name
        for label, grey in GREY.items():
            for patient in range(patients):
                for n in range(2):
                    path = root / pattern.format(label=label, patient=patient, n=n)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    noise = rng.integers(0, 40, (32, 32, 3))
                    Image.fromarray((grey + noise).astype(np.uint8)).save(path)
        return root

    return make


def chosen(output):
    return read_recipe(output / "recipe.toml")


@pytest.mark.parametrize(
    "pattern",
    [
        "{label}/P{patient}/{n}.png",
        "P{patient}/{label}/{n}.png",
        "{label}_P{patient}_{n}.png",
    ],
)
def test_a_folder_is_recognised_and_described_before_anything_is_trained(command, draw, pattern):
    result = command("train", draw(pattern), "--positive", "tumour", "--plan")
    assert result.status == 0, result.err
    described, recipe, *_ = result.err.splitlines()
    assert tells(described, "24 images", "6 patients", "benign 12", "tumour 12", "positive: tumour")
    assert tells(recipe, "lite0-features", "fewer than 100 patients", "5-fold", "by patient")
    assert tells(result.out, "24 images", "6 patients")


def test_one_line_trains_a_folder_to_a_model_that_predicts(command, draw, tmp_path):
    root, out = draw("{label}/P{patient}/{n}.png"), tmp_path / "run"
    result = command(
        *("train", root, "--positive", "tumour", "--preset", "quick", "-o", out),
        *("--set", "train.epochs=2", "--set", "data.split.k=2", "--set", "data.split.val=0.34"),
    )
    assert result.status == 0, result.err
    recipe = chosen(out)
    assert (recipe.train.epochs, recipe.data.split.k) == (2, 2)
    assert recipe.data.positive == "tumour"
    assert read_metrics(out / "metrics.json")["oof"].n_images == 24
    found = command("predict", out / "model", root / "tumour", "-o", tmp_path / "p.csv")
    assert found.status == 0, found.err
    assert len(pd.read_csv(tmp_path / "p.csv")) == 12


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet"])
def test_a_table_is_trained_as_a_folder_is(command, draw, suffix):
    root = draw("{n}-{label}-{patient}.png")
    names = sorted(path.name for path in root.iterdir())
    words = [name.removesuffix(".png").split("-") for name in names]
    table = pd.DataFrame({"path": names})
    table["label"], table["patient"] = [w[1] for w in words], [f"P{w[2]}" for w in words]
    file = root / f"table.{suffix}"
    {"csv": table.to_csv, "xlsx": table.to_excel, "parquet": table.to_parquet}[suffix](
        file, index=False
    )
    result = command("train", file, "--positive", "tumour", "--plan")
    assert result.status == 0, result.err
    assert tells(result.err.splitlines()[0], "24 images", "6 patients", "table")


def test_a_folder_divided_into_splits_keeps_them(command, draw):
    root = draw("train/{label}/{patient}-{n}.png")
    draw("test/{label}/{patient}-{n}.png", patients=3)
    result = command("train", root, "--positive", "tumour", "--plan")
    assert result.status == 0, result.err
    assert tells(result.out, "column: train", "val", "test 12")


def test_enough_patients_are_fine_tuned(command, draw):
    root = draw("{label}/P{patient}/{n}.png", patients=100)
    result = command("train", root, "--positive", "tumour", "--plan")
    assert result.status == 0, result.err
    assert tells(result.err, "lite0-finetune", "100 patients")
    quick = command("train", root, "--positive", "tumour", "--plan", "--preset", "quick")
    assert tells(quick.err, "lite0-features", "quick")
    short = command("train", root, "--positive", "tumour", "--plan", "--time-limit", "1s")
    assert tells(short.err, "lite0-features")


def test_a_network_of_the_user_s_choice_is_named(command, draw):
    own = ["--set", "model.name=light_cnn", "--set", "transfer={}"]
    result = command(
        "train", draw("{label}/P{patient}/{n}.png"), "--positive=tumour", *own, "--plan"
    )
    assert result.status == 0, result.err
    described = result.err.splitlines()[1]
    assert tells(described, "light_cnn", "model", "transfer")
    assert "frozen" not in described


def test_a_time_limit_shortens_no_training_whose_epochs_are_given(command, draw):
    root = draw("{label}/P{patient}/{n}.png", patients=100)
    source = ["train", root, "--positive=tumour", "--plan", "--time-limit"]
    given = command(*source, "4s", "--set", "train.epochs=4000")
    assert given.status == 0, given.err
    assert "lite0-finetune" not in given.err


def penalty(source, **split):
    """Return the penalty of the default recipe's head, with some settings of the split."""
    overrides = (
        {"data": {"positive": "tumour", "split": split}}
        if split
        else {"data": {"positive": "tumour"}}
    )
    return make_default_recipe(source, overrides, estimate=lambda _: 0.0).train.l2


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_patients_of_a_class_stop_before_a_split_is_promised(command, draw, n):
    root = draw("{label}/P{patient}/{n}.png", patients=n)
    result = command("train", root, "--positive", "tumour", "--plan")
    assert result.status == 1
    assert tells(result.complaint, "benign", "patient" if n == 1 else "patients", "3")
    assert not tells(result.err, "fold cross-validation")
    assert not tells(result.err, "Reading")


def test_a_time_limit_reads_and_audits_the_images_once(command, draw):
    line = ("train", draw("{label}/P{patient}/{n}.png"), "--positive", "tumour", "--plan")
    result = command(*line, "--time-limit", "10h")
    assert result.status == 0, result.err
    lines = result.err.splitlines()
    assert sum(tells(line, "Reading 24 images") for line in lines) == 1
    assert sum(line.startswith("Audit") for line in lines) == 1


def test_the_head_is_regularised_for_the_split_that_is_asked_for(draw):
    root = draw("{label}/P{patient}/{n}.png")
    # 24 images: the penalty is that of scikit-learn's C = 0.001, batch size * 2 / (C * n_train).
    whole = 32 * 2 / 0.001 / 24
    assert penalty(root) == pytest.approx(whole / (0.8 * 0.8), rel=1e-4)
    assert penalty(root, k=2, val=0.5) == pytest.approx(whole / 0.25, rel=1e-4)
    grouped = {"protocol": "grouped", "train": 0.6, "val": 0.2, "test": 0.2}
    assert penalty(root, **grouped) == pytest.approx(whole / 0.6, rel=1e-4)
    assert penalty(root, test=0.5) == pytest.approx(whole / (0.8 * 0.8 * 0.5), rel=1e-4)


def test_validation_images_of_the_table_s_own_split_are_not_counted_as_trained_on(draw):
    root = draw("train/{label}/{patient}-{n}.png")
    draw("test/{label}/{patient}-{n}.png", patients=3)
    without = penalty(root)
    draw("val/{label}/{patient}-{n}.png", patients=2)
    assert penalty(root) == pytest.approx(0.8 * without, rel=1e-4)


def test_two_classes_need_a_positive_one(command, draw):
    result = command("train", draw("{label}/P{patient}/{n}.png"))
    assert result.status == 2
    assert tells(result.complaint, "benign", "tumour", "--positive=tumour")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--preset", "fast"], "quick"),
        (["--time-limit", "10"], "--time-limit 10m"),
        (["--time-limit", "0m"], "--time-limit 10m"),
    ],
)
def test_wrong_arguments_are_named(command, draw, arguments, named):
    root = draw("{label}/P{patient}/{n}.png")
    result = command("train", root, "--positive", "tumour", *arguments)
    assert result.status == 2
    assert named in result.complaint


def test_a_folder_that_is_in_use_is_refused_before_any_image_is_read(command, draw, tiny_run):
    root = draw("{label}/P{patient}/{n}.png")
    result = command(
        *("train", root, "--positive", "tumour", "--time-limit", "1m", "-o", tiny_run),
    )
    assert result.status == 1
    assert tells(result.complaint, "not empty", f"--resume {tiny_run}")
    assert "24 images" not in result.err


@pytest.mark.parametrize("wrong", ["My imags", "sub/ptient", "My images v1.1"])
def test_a_misspelt_folder_is_compared_with_the_folders_there(
    command, tmp_path, monkeypatch, wrong
):
    monkeypatch.chdir(tmp_path)
    for name in ("My images", "sub/patients", "My images v1.2"):
        (tmp_path / name).mkdir(parents=True)
    result = command("train", wrong, "--positive", "tumour")
    assert result.status == 2
    right = {"My imags": "My images", "sub/ptient": "sub/patients"}
    assert tells(result.complaint, "no folder", wrong, right.get(wrong, "My images v1.2"))


def test_a_name_like_no_other_is_not_answered_with_all_recipes(command):
    result = command("train", "slides-of-2019")
    assert tells(result.complaint, "no folder", "eosin recipes")
    assert "p5-vgg16-oei" not in result.complaint


def test_a_run_folder_is_not_taken_for_images(command, tiny_run):
    result = command("train", tiny_run)
    assert result.status == 2
    assert "--resume" in result.complaint


def test_a_preset_belongs_to_own_images(command):
    result = command("train", "lightcnn-idc", "--preset", "quick")
    assert result.status == 2
    assert "folder" in result.complaint


def test_a_shipped_recipe_is_found_by_name(tmp_path):
    phantom = ["data.dataset=phantom", f"data.root={tmp_path}", "data.split.val=0.3"]
    recipe = ["data.options={patients=12, images_per_patient=2, size_px=32}", "model.input_px=64"]
    found, _ = eosin.plan("lightcnn-idc", overrides=[*phantom, *recipe])
    assert found.n_images == 24
    with pytest.raises(eosin.EosinError) as caught:
        eosin.plan("lightcnn-idk")
    assert "lightcnn-idc" in caught.value.hint


def test_recipes_are_listed_shown_and_copied(command, tmp_path):
    assert tells(command("recipes").out, "lite0-features", "lite0-finetune", "p3-mnist")
    shown = command("recipes", "lightcnn-idc").out
    copied = command("recipes", "lightcnn-idc", "-o", tmp_path)
    assert copied.status == 0, copied.err
    assert (tmp_path / "lightcnn-idc.toml").read_text(encoding="utf-8").rstrip() == shown.rstrip()
    again = command("recipes", "lightcnn-idc", "-o", tmp_path)
    assert again.status == 1
    assert "exists" in again.complaint
    assert "lightcnn-idc" in command("recipes", "lightcnn-idk").complaint
    assert command("recipes", "-o", tmp_path).status == 2


def test_a_network_without_imagenet_weights_is_refused_before_its_training(command, draw, tmp_path):
    root, out = draw("{label}/P{patient}/{n}.png"), tmp_path / "run"
    line = ["train", root, "--positive", "tumour", "--set", "model.name=light_cnn"]
    line += ["--set", "model.input_px=64"]
    for more in (["--plan"], ["-o", out]):
        result = command(*line, *more)
        assert result.status == 2
        assert tells(result.complaint, "no ImageNet weights", "light_cnn", "transfer.source=none")
    assert not out.exists()
    assert command(*line, "--plan", "--set", "transfer.source=none").status == 0


LAYOUTS = [
    "{label}/P{patient}/{n}.png",
    "P{patient}/{label}/{n}.png",
    "{label}_P{patient}_{n}.png",
    "test/{label}/P{patient}/{n}.png",
]


@pytest.mark.parametrize("pattern", LAYOUTS)
def test_every_command_reads_a_folder_that_a_training_takes(
    command, draw, tiny_run, messages, pattern
):
    root = draw(pattern)
    make_default_recipe(root, {"data.positive": "tumour"}, estimate=lambda recipe: 0.0)
    described = messages[0].replace(" (positive: tumour)", "")
    audited = command("data", "audit", root, "--quick")
    assert (audited.status, audited.err.splitlines()[0]) == (0, described)
    assert tells(audited.out, "24 images", "6 patients")
    out = root.parent / "evaluation"
    judged = command("evaluate", tiny_run, "--data", root, "--map", "tumour=malignant", "-o", out)
    assert (judged.status, judged.err.splitlines()[0]) == (0, described)
    assert read_metrics(out / "metrics.json")["external"].n_images == 24


def test_folders_of_splits_are_audited_as_splits(draw):
    root = draw("train/{label}/P{patient}/{n}.png")
    draw("test/{label}/P{patient}/{n}.png", patients=2)
    report = eosin.audit(root, quick=True).report
    assert {name: size.n_images for name, size in report.splits.items()} == {"train": 24, "test": 8}
    assert {leak.kind for leak in report.leaks} >= {"same_group", "identical_bytes"}


def test_the_groups_of_a_folder_are_repaired_in_a_table(draw, tmp_path):
    root = draw("{label}/P{patient}/{n}.png")
    (root / "tumour/P1/0.png").write_bytes((root / "tumour/P0/0.png").read_bytes())
    eosin.audit(root, quick=True, repair=tmp_path / "new.csv")
    table = pd.read_csv(tmp_path / "new.csv", dtype=str)
    assert all((tmp_path / path).is_file() for path in table["path"])
    joined = table.set_index("path")["group"]
    assert joined["own/tumour/P1/0.png"] == joined["own/tumour/P0/0.png"] == "P0"


@pytest.mark.parametrize("suffix", ["csv", "xlsx", "parquet", None])
def test_every_command_reads_a_table_that_a_training_takes(draw, tiny_run, tmp_path, suffix):
    root = draw("{label}/{patient}/{n}.png")
    files = sorted(root.rglob("*.png"))
    rows = [(str(file), file.parts[-3], file.parts[-2]) for file in files]
    source = table = pd.DataFrame(rows, columns=["path", "label", "patient"])
    if suffix is not None:
        source = tmp_path / f"table.{suffix}"
        write = {"csv": table.to_csv, "xlsx": table.to_excel, "parquet": table.to_parquet}
        write[suffix](source, index=False)
    assert eosin.audit(source, quick=True).report.n_groups == 6
    labels = {"tumour": "malignant"}
    found = eosin.evaluate(tiny_run, data=source, labels=labels, output=tmp_path / "evaluation")
    assert found.metrics["external"].n_images == 24


def test_a_run_folder_is_not_audited_as_images(command, tiny_run):
    refused = command("data", "audit", tiny_run)
    assert refused.status == 2
    assert tells(refused.err, "run folder", tiny_run / "manifest.csv")
