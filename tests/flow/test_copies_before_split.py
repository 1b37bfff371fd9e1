"""Fixed copies that are divided: each a sample, crossing the split, named by the audit."""

import re

import numpy as np
import pandas as pd
import pytest
from tests.facts import tells

import eosin
from eosin.artifacts.audit import AuditReport
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.metrics import read_metrics
from eosin.artifacts.predictions import read_predictions
from eosin.artifacts.versioned import read_document
from eosin.core.errors import DataError, RecipeError
from eosin.core.types import Samples
from eosin.experiment.copies import bank_of_copies, copy_samples
from eosin.images.bank import load_bank
from eosin.images.preprocess import make_preprocessing
from eosin.recipe import recipe_from_dict
from eosin.recipe.schema import AugmentSection

P4 = {"policy": "p4", "copies_before_split": True}
N_IMAGES, N_COPIES = 60, 5


@pytest.fixture(scope="module")
def values(tiny_values, tiny_phantom):
    values = tiny_values(tiny_phantom, augment=P4)
    values["data"]["split"] = {"protocol": "image", "train": 0.6, "val": 0.2, "test": 0.2}
    values["model"] |= {"input_px": 52, "backend": "numpy"}
    values["train"] |= {"epochs": 1}
    return values


@pytest.fixture(scope="module")
def run(values, tmp_path_factory):
    output = tmp_path_factory.mktemp("copies") / "run"
    return RunFolder(eosin.train(recipe_from_dict(values), output=output).run)


def test_every_copy_is_a_sample_and_is_evaluated(run):
    table = pd.read_csv(run.manifest, dtype=str)
    assert len(table) == N_IMAGES * N_COPIES
    assert (table.groupby("path")["copy"].agg(sorted).map("".join) == "12345").all()
    predicted = read_predictions(run.predictions)
    test = predicted[predicted["split"] == "test"]
    assert read_metrics(run.metrics)["test"].n_images == len(test) == N_IMAGES
    assert not test.duplicated(["path", "copy"]).any()
    balance = (run.root / "balance.json").read_text(encoding="utf-8")
    assert '"copies": null' in balance  # the training part is copied no further


def test_the_audit_names_the_share_of_crossing_copies(run):
    table = pd.read_csv(run.manifest, dtype=str)
    test, train = (table[table["split"] == name] for name in ("test", "train"))
    n_crossing = int(test["path"].isin(set(train["path"])).sum())
    audit = read_document(run.audit, AuditReport)
    same = [one for one in audit.findings if one.kind == "same_path"]
    sides = {(one.pairs[0].split_a, one.pairs[0].split_b): one for one in same}
    assert set(sides) == {("train", "val"), ("train", "test"), ("val", "test")}
    found = sides["train", "test"]
    assert {one.severity for one in same} == {"leak"}
    assert tells(found.message, n_crossing, len(test), "copies", "train")
    page = re.sub(r"\s+", " ", run.report.read_text(encoding="utf-8"))
    assert tells(page, n_crossing, len(test), "copies of an image in train")


def test_evaluating_again_makes_the_same_copies(command, run, tmp_path):
    result = command("evaluate", run.root, "-o", tmp_path / "again")
    assert result.status == 0, result.err
    again = read_metrics(tmp_path / "again" / "metrics.json")["test"]
    assert again == read_metrics(run.metrics)["test"]


def test_a_run_s_own_table_is_not_copied_again(values, run):
    data = {"manifest": str(run.manifest), "positive": "malignant"}
    data["split"] = {"protocol": "column", "by": "image"}
    plan, _ = eosin.commands.train.plan(recipe_from_dict({**values, "data": data}))
    assert plan.n_images == N_IMAGES * N_COPIES


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    frame = eosin.data.phantom.write_phantom(
        eosin.data.phantom.PhantomOptions(patients=2, images_per_patient=2, size_px=32), folder
    )
    frame = frame.astype(str).assign(group=frame["patient"])
    return Samples(frame, folder, ("benign", "malignant"))


def make_bank(samples, section):
    bank, hashes = load_bank(samples, make_preprocessing("unit", 32))
    return bank, bank_of_copies(bank, hashes, AugmentSection(**section), seed=7)


def test_copies_are_the_policy_s_views(samples):
    bank, copied = make_bank(samples, P4)
    images, copies = bank.of(samples)[:], copied.of(copy_samples(samples, N_COPIES))[:]
    for image, five in zip(images, copies.reshape(-1, 5, 32, 32, 3), strict=True):
        turned = [np.rot90(image, turns) for turns in (1, 2, 3)]
        wanted = {one.tobytes() for one in (*turned, image[:, ::-1], image[::-1])}
        assert {one.tobytes() for one in five} == wanted


def test_a_copy_depends_on_image_and_number_alone(samples):
    section = {"policy": "p5", "copies": 3, "copies_before_split": True}
    _, copied = make_bank(samples, section)
    every = copy_samples(samples, 3)
    whole = copied.of(every)[:]
    assert len({one.tobytes() for one in whole}) == 3 * len(samples)
    some = np.arange(len(every)) % 2 == 1
    np.testing.assert_array_equal(copied.of(every.where(some))[:], whole[some])
    # Elsewhere, and beside fewer images.
    last = samples.where(np.arange(len(samples)) == len(samples) - 1)
    _, alone = make_bank(last, section)
    np.testing.assert_array_equal(alone.of(copy_samples(last, 3))[:], whole[-3:])


def test_another_column_copy_is_refused(samples):
    odd = Samples(samples.frame.assign(copy="yes"), samples.root, samples.class_names)
    with pytest.raises(DataError, match="`copy` must contain the number of each copy, 1 to 5"):
        copy_samples(odd, 5)


@pytest.mark.parametrize(
    ("augment", "split", "wanted"),
    [
        (P4, {"protocol": "grouped"}, "both sides"),
        (P4 | {"policy": "p5"}, {"protocol": "image"}, "the policy 'p5' makes none"),
    ],
)
def test_what_cannot_be_copied_is_refused(values, augment, split, wanted):
    changed = {**values, "augment": augment, "data": {**values["data"], "split": split}}
    with pytest.raises(RecipeError, match=wanted) as caught:
        eosin.commands.train.plan(recipe_from_dict(changed))
    assert "--set" in caught.value.hint
