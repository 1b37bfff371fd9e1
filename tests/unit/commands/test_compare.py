"""``compare`` on run folders that are made up: which images count, which runs, which blocks."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.facts import tells

import eosin
from eosin.artifacts.comparison import Comparison
from eosin.artifacts.layout import ComparisonFolder, RunFolder
from eosin.artifacts.manifest import write_manifest
from eosin.artifacts.metrics import Threshold, write_metrics
from eosin.artifacts.predictions import predictions_table
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError, UnknownNameError, UsageError
from eosin.core.files import write_text
from eosin.core.types import Samples
from eosin.evaluation import Evaluated, evaluate_predictions
from eosin.recipe import recipe_from_dict, recipe_to_toml
from eosin.recipe.schema import EvaluateSection
from eosin.reporting.sections.compared import cautions
from eosin.reporting.sections.differences import headline

CLASSES = ("benign", "malignant")


@pytest.fixture
def pictures(tmp_path):
    """A folder of 72 small images of 12 patients, no two alike."""
    folder = tmp_path / "images"
    folder.mkdir()
    for row in range(72):
        Image.new("RGB", (2, 2), (row, 0, 0)).save(folder / f"{row:02d}.png")
    return folder


@pytest.fixture
def write_run(tmp_path, pictures):
    """A function that writes what a run of two classes leaves, but for its model."""

    def write(name, skill=2.0, *, folds=0, repeats=1, images=pictures, rows=slice(None), **change):
        row = np.arange(72)
        frame = pd.DataFrame(
            {
                "path": [str(images / f"{index:02d}.png") for index in row],
                "label": np.array(CLASSES)[row % 2],
                "patient": [f"P{index // 6:02d}" for index in row],
                "group": [f"P{index // 6:02d}" for index in row],
                "magnification": "",
                "split": "oof" if folds else "test",
            }
        ).iloc[rows]
        parts = []
        for repeat in range(repeats):
            part = frame.copy()
            if folds:
                part["repeat"] = str(repeat)
                patient = frame["patient"].str[1:].astype(int)
                part["fold"] = ((patient + repeat) // 2 % folds).astype(str)
            parts.append(part)
        frame = pd.concat(parts, ignore_index=True).assign(**change.pop("columns", {}))
        random = np.random.default_rng(change.pop("noise", 0))
        sign = np.where(frame["label"] == "malignant", 0.5, -0.5)
        score = 1 / (1 + np.exp(-skill * sign - random.normal(size=len(frame))))
        probabilities = np.column_stack([1 - score, score])
        run = RunFolder(tmp_path / name)
        run.root.mkdir(parents=True)
        samples = Samples(frame, run.root, CLASSES, "malignant")
        locked = Threshold(value=0.4, source="val", target_recall=0.9)
        judged = Evaluated(samples, probabilities, (score >= 0.4).astype(int), locked)
        split = frame["split"].iloc[0]
        metrics = evaluate_predictions(judged, EvaluateSection(resamples=100), 0)
        write_metrics(run.metrics, {split: metrics})
        predictions_table(samples, probabilities).to_csv(run.predictions, index=False)
        values = {"name": name, "model": {"name": change.get("model", "light_cnn")}}
        values["data"] = {"dataset": "phantom"}
        values["stain"] = {"method": change.get("stain", "none")}
        values["seed"] = change.get("seed", 0)
        write_text(run.recipe, recipe_to_toml(recipe_from_dict(values)))
        seen = frame.drop_duplicates("path").drop(columns=["repeat", "fold"], errors="ignore")
        if change.get("sees"):
            others = seen.assign(path=seen["path"] + ".other", split="train")
            seen = pd.concat([seen, others])
        if not folds:
            write_manifest(run.manifest, replace(samples, frame=seen))
        return run.root

    return write


@pytest.fixture
def compare(tmp_path):
    """Compare runs; returns the document as it was written."""

    def call(*runs, **options):
        output = tmp_path / "out"
        eosin.compare(runs, output=output, **options)
        return read_document(ComparisonFolder(output).document, Comparison)

    return call


def test_the_metrics_are_those_of_the_runs_where_all_judged_the_same(write_run, compare):
    runs = [write_run("a", 3.0), write_run("b", 0.5)]
    found = compare(*runs)
    assert (found.n_images, found.n_patients, found.n_groups) == (72, 12, 12)
    for run, result in zip(runs, found.runs, strict=True):
        own = json.loads((run / "metrics.json").read_text())["test"]
        for block in ("image", "at_threshold"):
            for name in ("auc", "recall", "f1"):
                value = own[block][name]["value"]
                assert getattr(result, block)[name].value == pytest.approx(value)
    (pair,) = found.pairs
    assert (pair.one, pair.other) == ("a", "b")
    gap = pair.metrics["auc"]
    assert gap.difference.low > 0
    assert gap.p == gap.p_holm < 0.05


def test_a_winner_chosen_by_these_figures_has_a_warning_with_its_optimism(write_run, compare):
    runs = [write_run(f"r{noise}", 0.3, noise=noise) for noise in range(4)]
    found = compare(*runs)
    assert 0 < found.optimism < 0.2
    best = max(found.runs, key=lambda run: run.image["auc"].value).name
    words = " ".join(cautions(found)[-1])
    assert tells(words, "optimistic", "AUC", best, 4, f"{found.optimism:.3f}")
    # An older comparison does not know the size, but is no less optimistic.
    words = " ".join(cautions(found.model_copy(update={"optimism": None}))[-1])
    assert tells(words, "optimistic", best, "unknown")


def test_what_not_all_judged_is_left_out_and_counted(write_run, compare):
    found = compare(write_run("a"), write_run("b", 1.0, rows=slice(12, None), noise=1))
    assert found.n_images == 60
    assert [run.n_judged for run in found.runs] == [72, 60]
    assert "left out are 12 of a" in cautions(found)[0][1]


def test_runs_without_a_common_image_are_refused_in_one_sentence(write_run, compare):
    odd = np.arange(72) // 2 % 2 == 1
    a, b = write_run("a", rows=odd), write_run("b", rows=~odd)
    with pytest.raises(ArtifactError, match="no image was evaluated in all of a, b"):
        compare(a, b)


def test_the_same_files_elsewhere_are_found_by_what_they_hold(
    write_run, compare, pictures, tmp_path
):
    moved = tmp_path / "elsewhere"
    pictures.rename(moved)
    pictures.symlink_to(moved)  # the same folder under two names is one
    elsewhere = tmp_path / "copy"
    elsewhere.mkdir()
    for file in moved.iterdir():
        (elsewhere / file.name).write_bytes(file.read_bytes())
    (elsewhere / "05.png").write_bytes(b"another image")
    found = compare(write_run("a"), write_run("b", 1.0, images=elsewhere, noise=1))
    assert (found.n_images, found.matched_by_content) == (71, 71)


def test_another_label_is_refused_by_the_image(write_run, compare):
    a, b = write_run("a"), write_run("b", noise=1)
    table = pd.read_csv(b / "predictions.csv")
    table.loc[3, "label"] = "benign"
    table.to_csv(b / "predictions.csv", index=False)
    with pytest.raises(ArtifactError, match=r"03\.png is malignant in a and benign in b"):
        compare(a, b)


def test_a_run_that_saw_the_patients_is_shown_and_does_not_count(write_run, compare):
    found = compare(
        write_run("honest", 1.5), write_run("other", 1.0, noise=1), write_run("saw", 6.0, sees=True)
    )
    assert [run.is_flattered for run in found.runs] == [False, False, True]
    assert found.runs[2].n_seen_groups == 12
    assert tells(cautions(found)[0][0], "saw", "12 evaluated patients")
    assert "saw" not in headline(found)


def test_repeats_are_averaged_an_image(write_run, compare):
    once, twice = write_run("once", folds=3), write_run("twice", 1.0, folds=3, repeats=2, noise=1)
    found = compare(once, twice)
    assert (found.n_images, found.n_repeated) == (72, 1)
    table = pd.read_csv(twice / "predictions.csv")
    mean = table.groupby("path").agg({"prob_malignant": "mean", "label": "first"})
    right = ((mean["prob_malignant"] > 0.5) == (mean["label"] == "malignant")).mean()
    assert found.runs[1].image["accuracy"].value == pytest.approx(right)


def test_folds_in_common_are_replicates(write_run, compare):
    runs = [write_run(name, s, folds=3, noise=n) for n, (name, s) in
            enumerate([("a", 8.0), ("b", 7.0), ("c", 0.1)])]  # fmt: skip
    odd = write_run("odd", 2.0, folds=2)
    (test,) = compare(*runs, odd).ranges
    assert test.blocks == ["fold 0-0", "fold 0-1", "fold 0-2"]
    assert {row.name for row in test.rows} == {"a", "b", "c"}
    letters = {row.name: row.tukey for row in test.rows}
    assert set(letters["a"]) & set(letters["b"])
    assert not set(letters["a"]) & set(letters["c"])
    table = pd.read_csv(runs[0] / "predictions.csv")
    right = (table["predicted"] == table["label"]).groupby(table["fold"]).mean()
    by_accuracy = eosin.compare(runs, output=runs[0].parent / "by", metric="accuracy")
    mean = next(row.mean for row in by_accuracy.comparison.ranges[0].rows if row.name == "a")
    assert mean == pytest.approx(right.mean())


def test_networks_and_preprocessing_all_with_all_have_tables_of_their_own(write_run, compare):
    runs = [
        write_run(f"{model}-{stain}", skill, folds=3, model=model, stain=stain, noise=n)
        for n, (model, stain, skill) in enumerate(
            [
                ("light_cnn", "none", 1.0),
                ("light_cnn", "macenko", 2.0),
                ("ernet18", "none", 4.0),
                ("ernet18", "macenko", 5.0),
            ]
        )
    ]
    tests = compare(*runs).ranges
    # Without a model folder the recipe tells the network.
    assert [test.factor for test in tests] == ["run", "model", "preprocessing"]
    assert [row.name for row in tests[1].rows] == ["ernet18", "light_cnn"]
    assert tests[1].n_each == 6
    assert tests[1].mean_square == tests[0].mean_square


def test_seeds_of_one_recipe_are_replicates(write_run, compare):
    runs = [
        write_run(f"{model}-{seed}", skill, model=model, seed=seed, noise=seed)
        for model, skill in (("light_cnn", 1.0), ("ernet18", 6.0))
        for seed in (1, 2, 3)
    ]
    for run in runs:  # named by the recipe, not by the seed
        file = run / "recipe.toml"
        file.write_text(file.read_text().replace(run.name, run.name[:-2]))
    (test,) = compare(*runs).ranges
    assert test.blocks == ["seed 1", "seed 2", "seed 3"]
    assert [row.name for row in test.rows] == ["ernet18-1", "light_cnn-1"]


def test_another_metric_than_was_asked_for_is_said(write_run, compare):
    benign = np.arange(72) % 2 == 0
    found = compare(write_run("a", rows=benign), write_run("b", rows=benign, noise=1))
    assert (found.metric, found.asked) == ("accuracy", "auc")
    result = dict(cautions(found))
    assert tells(result["Ranked by accuracy."], "AUC", "a and b", "no image of 'malignant'")
    # Twelve patients are few; none of a class that no image has are no reason.
    assert [head for head in result if "patients" in head] == ["Few patients."]


@pytest.mark.parametrize("metric", ["precision_weighted", "f1_macro"])
def test_an_average_over_the_classes_ranks_runs(write_run, tmp_path, metric):
    found = eosin.compare(
        [write_run("a", 1.0), write_run("b", 3.0)], output=tmp_path / "o", metric=metric
    )
    (pair,) = found.comparison.pairs
    values = {run.name: run.image[metric] for run in found.comparison.runs}
    assert values["b"].value > values["a"].value
    assert pair.one == "b"
    difference = pair.metrics[metric].difference
    assert difference.value == pytest.approx(values["b"].value - values["a"].value)
    assert difference.low < difference.value < difference.high
    kind, name = ("weighted", "precision") if metric.startswith("precision") else ("macro", "F1")
    assert tells(headline(found.comparison), "b", f"{kind} {name}", "a", f"+{difference.value:.3f}")
    page = found.page.read_text(encoding="utf-8")
    assert f"{kind.capitalize()} {name}" in page
    assert f"{values['a'].value:.3f}" in page


def test_few_groups_are_told_from_too_few_and_heads_from_networks(write_run, compare):
    found = compare(write_run("a", rows=slice(24)), write_run("b", rows=slice(24), noise=1))
    result = dict(cautions(found))
    assert "Few patients." not in result
    assert tells(result["No interval."], "4 patients of 'benign'", 5)
    head = found.runs[0].model_copy(update={"is_head": True})
    result = dict(cautions(found.model_copy(update={"runs": [head, found.runs[1]]})))
    assert "Pareto front" in result["a is a head on features."]


def test_what_cannot_be_compared_is_refused(write_run, compare, tmp_path):
    a = write_run("a")
    with pytest.raises(UsageError, match="at least two runs, got 1"):
        compare(a)
    with pytest.raises(UsageError, match="is given twice"):
        compare(a, a)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="is not a finished run folder"):
        compare(a, tmp_path / "empty")
    with pytest.raises(UnknownNameError, match="ranked by 'acuracy'"):
        compare(a, a, metric="acuracy")
    other = write_run("other")
    for name in ("predictions.csv", "metrics.json"):
        file = other / name
        file.write_text(file.read_text().replace("benign", "idle"))
    with pytest.raises(ArtifactError, match="different classes: idle, malignant"):
        compare(a, other)
    assert not (tmp_path / "out").exists()
