"""``evaluate --robustness``: seven changes, five severities, paired differences."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.facts import tells

import eosin
from eosin.artifacts.robustness import Robustness
from eosin.artifacts.versioned import read_document
from eosin.evaluation.corruptions import CORRUPTIONS
from eosin.images.decode import decode_image
from eosin.recipe import recipe_from_dict

NAMES = {"accuracy", "auc", "ece", "abstention_rate"}


@pytest.fixture(scope="module")
def measured(run_of, tmp_path_factory):
    folder = tmp_path_factory.mktemp("robustness") / "a"
    return eosin.evaluate(run_of("grouped"), robustness=True, output=folder)


def test_seven_changes_at_five_severities(measured):
    found = read_document(measured.folder / "robustness.json", Robustness)
    assert found == measured.robustness
    assert found.changes.keys() == CORRUPTIONS.keys()
    split = measured.metrics["test"]
    assert (found.n_images, found.n_groups) == (split.n_images, split.n_groups)
    assert found.unchanged["accuracy"] == split.decided["accuracy"]
    assert found.unchanged["auc"] == split.image["auc"]
    for change in found.changes.values():
        assert len(change.by_severity) == 5
        for part in change.by_severity:
            assert part.metrics.keys() == part.differences.keys() == NAMES
            gap = part.metrics["auc"].value - found.unchanged["auc"].value
            assert part.differences["auc"].value == pytest.approx(gap)


def test_strong_changes_change_the_predictions(measured):
    last = [one.by_severity[-1].differences for one in measured.robustness.changes.values()]
    assert any(part["accuracy"].value or part["auc"].value for part in last)


def test_changed_files_give_the_same_metrics(measured, run_of, tmp_path):
    again = evaluate_blurred(run_of("grouped"), 3, tmp_path)
    found = measured.robustness.changes["blur"].by_severity[2].metrics
    assert again["external"].decided["accuracy"].value == found["accuracy"].value
    assert again["external"].image["auc"].value == pytest.approx(found["auc"].value)


def evaluate_blurred(run, severity, folder):
    """Metrics of the run on files of its blurred test images."""
    table = pd.read_csv(run / "manifest.csv", dtype=str, keep_default_na=False)
    table = table[table["split"] == "test"].drop(columns="split")
    cells = []
    for number, cell in enumerate(table["path"]):
        image = decode_image(run / cell)
        blurred = CORRUPTIONS["blur"].change(image, severity, np.random.default_rng())
        cells.append(f"{number}/{Path(cell).name}")
        (folder / cells[-1]).parent.mkdir()
        Image.fromarray(blurred).save(folder / cells[-1])
    table["path"] = cells
    table.to_csv(folder / "blurred.csv", index=False)
    return eosin.evaluate(run, data=folder / "blurred.csv", output=folder / "out").metrics


def test_the_stain_is_normalised_after_a_change(tiny_values, tmp_path):
    values = tiny_values(tmp_path / "phantom", stain={"method": "reinhard", "unit": "patient"})
    values["train"]["epochs"] = 1
    run = eosin.train(recipe_from_dict(values), output=tmp_path / "run").run
    made = eosin.evaluate(run, robustness=True, output=tmp_path / "a")
    again = evaluate_blurred(run, 3, tmp_path)
    found = made.robustness.changes["blur"].by_severity[2].metrics
    assert again["external"].image["auc"].value == pytest.approx(found["auc"].value)
    assert again["external"].image["ece"].value == pytest.approx(found["ece"].value, abs=1e-6)


def test_folds_are_changed_for_each_fold_s_model(run_of, tmp_path):
    made = eosin.evaluate(run_of("folds"), robustness=True, output=tmp_path / "a")
    assert made.robustness.split == "oof"
    assert made.robustness.n_images == made.metrics["oof"].n_images


def test_the_same_seed_gives_the_same_numbers(measured, run_of, tmp_path):
    again = eosin.evaluate(run_of("grouped"), robustness=True, output=tmp_path / "a")
    assert again.robustness == measured.robustness


def test_a_recipe_asks_for_it_and_the_card_shows_it(tiny_values, tmp_path):
    values = tiny_values(tmp_path / "phantom")
    values["train"]["epochs"] = 1
    values["evaluate"] |= {"robustness": True}
    run = eosin.train(recipe_from_dict(values), output=tmp_path / "run").run
    found = read_document(run / "robustness.json", Robustness)
    assert found.split == "test"
    again = eosin.evaluate(run, robustness=True, output=tmp_path / "a")
    assert again.robustness == found
    for page in (run / "report.html", run / "model" / "card.html"):
        text = page.read_text(encoding="utf-8")
        assert all(
            change.title in text.lower() or change.title in text for change in CORRUPTIONS.values()
        )
    (run / "robustness.json").unlink()
    eosin.train(resume=run)
    assert read_document(run / "robustness.json", Robustness) == found


def test_models_of_other_inputs_are_refused(command, tmp_path, tiny_run):
    model = shutil.copytree(tiny_run / "model", tmp_path / "model")
    info = json.loads((model / "model.json").read_text())
    info["preprocessing"]["planes"] = {"chosen": [0, 1, 2], "n_stored": 3, "bits": 8}
    info["modality"] = "fluorescence"
    info["preprocessing"]["channels"] = ["a", "b", "c"]
    (model / "model.json").write_text(json.dumps(info))
    done = command("evaluate", model, "--data", tiny_run / "manifest.csv", "--robustness")
    assert done.status != 0
    assert tells(done.complaint, "brightfield", "fluorescence")


def test_page_and_terminal_say_it(run_of, tmp_path, command):
    done = command("evaluate", run_of("grouped"), "--robustness", "-o", tmp_path / "a")
    assert done.status == 0, done.err
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    for change in CORRUPTIONS.values():
        assert tells(done.out, change.title)
        assert tells(page, change.settings.split(",")[0])
    plain = command("evaluate", run_of("grouped"), "-o", tmp_path / "b")
    assert not (tmp_path / "b" / "robustness.json").exists()
    assert plain.out != done.out
