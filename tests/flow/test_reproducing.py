"""`eosin reproduce`: trainings of both protocols, the page beside the printed values, resuming."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.facts import has_files, tells

from eosin.artifacts.layout import RunFolder
from eosin.training.loop import train

#: One experiment of the smallest network: its confusion matrix.
ITEM = "figure-3.8"
RUNS = ("lightcnn-numpy/as-published", "lightcnn-numpy/strict")


@pytest.fixture(scope="module")
def made(once):
    """A finished quick reproduction of one figure, which tests must not change."""
    import eosin

    return once(
        "reproduction", lambda folder: eosin.reproduce("P3", quick=True, only=[ITEM], output=folder)
    )


@pytest.fixture
def copied(made, tmp_path):
    shutil.copytree(made, tmp_path / "P3")
    return tmp_path / "P3"


def write_image(path, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_both_protocols_are_run_folders_and_the_page_names_the_paper_s_item(made):
    for run in RUNS:
        assert RunFolder(made / run).metrics.exists()
        assert RunFolder(made / run).report.exists()
    page = (made / "report.html").read_text(encoding="utf-8")
    assert tells(page, "Figure 3.8", "as published", "strict", "Research use only")
    assert has_files(made / "report.html")
    document = json.loads((made / "reproduction.json").read_text(encoding="utf-8"))
    assert (document["paper"], document["size"], document["items"]) == ("P3", "quick", [ITEM])
    assert {value["verdict"] for value in document["values"]} <= {""}
    assert document["demands"] == []


def test_as_published_divides_by_image_and_strict_by_patient(made):
    published, strict = (pd.read_csv(made / run / "manifest.csv") for run in RUNS)
    parts = published.groupby("patient")["split"].nunique()
    assert parts.max() > 1
    assert "fold" not in published
    assert len(list((made / RUNS[1] / "folds").iterdir())) == 2
    assert strict["patient"].nunique() == published["patient"].nunique()


def test_finished_trainings_are_used_and_a_lost_one_is_made_again(command, copied):
    kept = (copied / RUNS[0] / "metrics.json").stat().st_mtime_ns
    lost = (copied / RUNS[1] / "metrics.json").read_text()
    shutil.rmtree(copied / RUNS[1])
    result = command("reproduce", "P3", "--quick", "--only", ITEM, "-o", copied)
    assert result.status == 0, result.err
    assert (copied / RUNS[0] / "metrics.json").stat().st_mtime_ns == kept
    assert json.loads((copied / RUNS[1] / "metrics.json").read_text()) == json.loads(lost)


def test_a_changed_recipe_is_named_before_any_training(command, copied):
    recipe = copied / RUNS[1] / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("batch_size = 16", "batch_size = 8"))
    shutil.rmtree(copied / RUNS[0])
    finished = (copied / "reproduction.json").read_text()
    result = command("reproduce", "P3", "--quick", "--only", ITEM, "-o", copied)
    assert result.status == 2
    assert (copied / "reproduction.json").read_text() == finished
    assert "train.batch_size" in result.complaint
    assert not (copied / RUNS[0]).exists()


def test_a_folder_of_another_reproduction_is_refused(command, copied):
    result = command("reproduce", "P4", "--quick", "--only", "table-5", "-o", copied)
    assert result.status == 1
    assert tells(result.complaint, "P3", "P4", "-o")


def test_a_folder_of_something_else_is_refused(command, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    result = command("reproduce", "P3", "--quick", "--only", ITEM, "-o", tmp_path)
    assert result.status == 1
    assert "not empty" in result.complaint


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["P6"], "P6"),
        (["P3", "--only", "table3.1"], "table-3.1"),
        (["P3", "--quick", "--reduced"], "--reduced"),
        (["P3", "--data", "brekhis=."], "breakhis"),
    ],
)
def test_a_wrong_command_line_is_named(command, arguments, named):
    result = command("reproduce", *arguments)
    assert result.status == 2
    assert named in result.complaint


def test_missing_data_are_named_and_nothing_is_trained(command, tmp_path):
    (tmp_path / "empty").mkdir()
    result = command("reproduce", "P4", "--data", tmp_path / "empty", "-o", tmp_path / "out")
    assert result.status == 1
    assert tells(result.complaint, "breakhis", "lc25000", "--data", "--quick")
    assert not (tmp_path / "out").exists()
    named = command("reproduce", "P4", "--data", f"breakhis={tmp_path / 'empty'}", "--plan")
    assert named.status == 1
    assert tells(named.complaint, "empty", "--data")


def test_a_folder_that_is_not_there_is_named(command, tmp_path):
    result = command("reproduce", "P3", "--data", tmp_path / "none", "-o", tmp_path / "out")
    assert result.status == 1
    assert str(tmp_path / "none") in result.complaint


@pytest.mark.parametrize("form", ["", "breakhis="])
def test_an_empty_folder_name_is_not_the_current_folder(command, form):
    result = command("reproduce", "P3", "--data", form, "--plan")
    assert result.status == 2
    assert "--data" in result.complaint


def test_data_that_cannot_be_divided_end_neither_the_dry_run_nor_the_other_trainings(
    command, tmp_path
):
    (tmp_path / "data").mkdir()
    write_image(tmp_path / "data" / "SOB_B_A-14-22549AB-200-001.png")
    arguments = ["reproduce", "P3", "--quick", "--data", tmp_path / "data"]
    wanted = ["--only", ITEM, "--only", "table-2.2"]
    planned = command(*arguments, *wanted, "--plan")
    assert planned.status == 0, planned.err
    assert tells(planned.out, "Light CNN, NumPy", "would fail", "MNIST", "time")
    result = command(*arguments, "--only", ITEM, "-o", tmp_path / "out")
    assert result.status == 1
    assert tells(result.out, "not trained", "report")
    assert "--set" not in result.err


def test_unreadable_images_are_told_and_differ_from_the_paper_s(command, tmp_path):
    (tmp_path / "data").mkdir()
    for number in range(32):
        kind, patient = ("B_A", "M_DC")[number % 2], 10000 + number // 2
        write_image(
            tmp_path / "data" / f"SOB_{kind}-14-{patient + 100 * (number % 2)}-200-001.png", number
        )
    (tmp_path / "data" / "SOB_B_A-14-10000-200-002.png").write_bytes(b"no image")
    out = tmp_path / "out"
    arguments = ["reproduce", "P3", "--quick", "--data", tmp_path / "data", "--only", ITEM]
    result = command(*arguments, "-o", out)
    assert result.status == 1, result.err
    assert tells(result.err, "could not be read", out / RUNS[0] / "skipped.csv")
    assert command(*arguments, "-o", out, "--allow-skipped").status == 0
    document = json.loads((out / "reproduction.json").read_text(encoding="utf-8"))
    assert "could not be read" in document["runs"][0]["differs"]["data"]


def test_the_dry_run_estimates_time_and_disk_and_writes_nothing(command, tmp_path):
    arguments = ["reproduce", "P3", "--quick", "--plan", "--only", ITEM.upper()]
    result = command(*arguments, "--data", f"lc25000={tmp_path}", "-o", tmp_path / "out")
    assert result.status == 0, result.err
    assert tells(result.out, "Light CNN, NumPy", "time", "disk", "more during training")
    assert tells(result.err, "lc25000", "not used", "breakhis")
    assert not (tmp_path / "out").exists()


def test_two_folders_of_a_data_set_are_named_and_one_can_be_chosen(command, tmp_path):
    name = "SOB_B_A-14-22549AB-200-001.png"
    for folder in ("first", "second"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / "data" / folder / name).touch()
    arguments = ["reproduce", "P3", "--only", ITEM, "--plan"]
    result = command(*arguments, "--data", tmp_path / "data")
    assert result.status == 1
    assert tells(result.complaint, "breakhis", "first", "second", "--data")
    chosen = result.complaint.partition("--data ")[2].strip()
    again = command(*arguments, "--data", tmp_path / "data", "--data", chosen)
    assert "folders contain" not in again.err


def test_a_stopped_reproduction_goes_on_with_the_same_command(
    command, copied, made, stop_at, tmp_path
):
    shutil.rmtree(copied / RUNS[1])
    arguments = ["reproduce", "P3", "--quick", "--only", ITEM, "-o", copied]
    with stop_at(train):
        result = command(*arguments)
    assert result.status == 130
    assert tells(result.complaint, "interrupted", "-o", copied)
    assert command(*arguments).status == 0
    documents = [json.loads((root / "reproduction.json").read_text()) for root in (copied, made)]
    assert documents[0]["values"] == documents[1]["values"]
