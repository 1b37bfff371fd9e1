"""Maps in every run's report, the checks of their method, and ``explain --check``."""

import html
import json
import shutil
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.facts import tells

import eosin
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.run import SamplesIndex
from eosin.artifacts.versioned import read_document


def name_of(path):
    return PurePosixPath(path).name


def read_page(run):
    return html.unescape((run / "report.html").read_text(encoding="utf-8"))


def read_info(run):
    return read_document(run / "model" / "model.json", ModelInfo)


def read_maps(run):
    index = read_document(run / "samples" / "index.json", SamplesIndex)
    return [one for one in index.pictures if one.role == "evidence"]


@pytest.mark.parametrize("name", ["tiny_run", "folds_run"])
def test_a_report_has_maps_of_wrong_and_right_held_out_images(name, request):
    run = request.getfixturevalue(name)
    maps = read_maps(run)
    predictions = pd.read_csv(run / "predictions.csv", dtype=str, keep_default_na=False)
    held_out = predictions[predictions["split"].isin(["test", "oof"])]
    decisions = dict(zip(map(name_of, held_out["path"]), held_out["decision"], strict=True))
    assert 4 < len(maps) <= 8
    are_right = [one.predicted == one.label for one in maps]
    assert {True, False} == set(are_right)
    for one in maps:
        assert decisions[name_of(one.path)] == one.predicted
        with Image.open(run / "samples" / one.file) as picture:
            assert picture.width > 2 * picture.height
    page = read_page(run)
    assert page.count("beside its evidence map") >= len(maps)
    test = read_info(run).explanation.randomisation
    assert tells(page, "Random weights", "Passed" if test.passes else "Failed")


def test_the_same_training_gives_the_same_checks_and_maps(tiny_run, recipe_file, tmp_path):
    again = eosin.train(recipe_file(), output=tmp_path / "again").run
    assert read_info(again).explanation == read_info(tiny_run).explanation
    assert read_maps(again) == read_maps(tiny_run)
    for one in read_maps(again):
        both = [np.asarray(Image.open(run / "samples" / one.file)) for run in (again, tiny_run)]
        np.testing.assert_array_equal(*both)


def test_checks_are_stored_with_the_model_and_shown(command, folds_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(folds_run, run)
    assert tells(read_page(run), "ROAD", "--check")
    before = json.loads((run / "metrics.json").read_text())
    result = command("explain", run, "--check")
    assert result.status == 0, result.err
    checks = read_info(run).explanation
    assert (checks.road.n_images, checks.road.by_folds, checks.road.unit) == (60, True, "patient")
    assert checks.road.passes in {True, False}
    assert set(checks.nuclei) == {"benign", "malignant"}
    assert all(one.n_images <= 60 for one in checks.nuclei.values())
    card = (run / "model" / "card.md").read_text(encoding="utf-8")
    for text in (result.out, read_page(run), html.unescape(card)):
        assert tells(text, "ROAD", "60", "patients")
        assert tells(text, "Nuclei", "malignant")
    assert json.loads((run / "metrics.json").read_text()) == before
    assert eosin.load(run).selftest().agreement.n_other_decisions == 0
    made = eosin.explain(run, image_of(run), output=tmp_path / "maps")
    assert made.record.checks == checks
    assert tells((tmp_path / "maps" / "report.html").read_text(encoding="utf-8"), "ROAD", "60")


def image_of(run):
    root = json.loads((run / "environment.json").read_text())["data_root"]
    return sorted(Path(root).rglob("*.png"))[0]


def test_few_held_out_images_give_a_reason(command, tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    assert command("explain", run, "--check").status == 0
    checks = read_info(run).explanation
    assert checks.road.passes is None
    assert eosin.check_explanations(run).checks == checks
    assert tells(read_page(run), "Not decided", "50")


def test_a_method_without_checks_says_so(command, tiny_run, tmp_path):
    image = image_of(tiny_run)
    line = ("explain", tiny_run, image, "--method", "rise", "-o", tmp_path / "out")
    assert tells(command(*line).err, "checks", "None of rise")


@pytest.mark.parametrize("more", [("image.png",), ("--method", "occlusion"), ("-o", "out")])
def test_check_takes_a_run_alone(command, tiny_run, more):
    assert command("explain", tiny_run, "--check", *more).status == 2


def test_an_ensemble_that_has_seen_all_images_has_no_maps(command, folds_run, tiny_run, tmp_path):
    made = eosin.ensemble([folds_run, tiny_run], output=tmp_path / "both")
    assert read_maps(made.run) == []
    assert read_info(made.run).explanation.randomisation.n_images > 1
    assert tells(read_page(made.run), "no evidence maps", "member")
    result = command("explain", made.run, "--check")
    assert result.status != 0
    assert "member" in result.complaint
