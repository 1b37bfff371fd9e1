import re
from copy import copy

import numpy as np
import pytest
from tests.facts import tells
from tests.tiny_runs import edit

from eosin.artifacts.metrics import Metric, NetBenefit
from eosin.artifacts.model import Planes, Preprocessing, Window
from eosin.artifacts.profile import Drift
from eosin.evaluation.drift import compare, describe_values
from eosin.images.preprocess import to_thumbnail
from eosin.reporting import write_report
from eosin.reporting.card.items import answers
from eosin.reporting.formatting import number
from eosin.reporting.sections import split
from eosin.reporting.sections.audit import audit_words
from eosin.reporting.sections.data import dataset_facts
from eosin.reporting.sections.decisions import decision_curve_figure
from eosin.reporting.sections.drift import drift_table
from eosin.reporting.sections.model import model_facts
from eosin.reporting.sections.provenance import rerun_commands
from eosin.reporting.thumbnails import COLOUR_NAMES, colour_words
from eosin.reporting.train_test_overlap import caution, threshold_text, verdict
from eosin.runs.finished import read_run

CHANNELS = ("DNA", "actin", "tubulin")
RGB = {
    "blue": (0, 0, 1),
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "yellow": (1, 1, 0),
    "magenta": (1, 0, 1),
    "cyan": (0, 1, 1),
}


def changed(run, **values):
    """Return a copy of a run as it was read, with other values."""
    run = copy(run)
    vars(run).update(values)
    return run


def forget_groups(run):
    """Leave a run as a data set without patients makes it: each image its own group."""

    def forget(metrics):
        test = metrics["test"]
        test["n_patients"], test["n_groups"] = None, test["n_images"]
        for metric in test["patient"].values():
            metric.update(value=None, low=None, high=None, reason="48 of 48 images have no patient")

    def part(split):
        for entry in split["parts"].values():
            entry["n_groups"] = entry["n_images"]

    edit(run, "metrics.json", forget)
    edit(run, "split.json", part)


def fluorescent(channels):
    n = len(channels)
    window = Window(low=(657.0,) * n, high=(15702.0,) * n, percentiles=(0.1, 99.9))
    planes = Planes(chosen=tuple(range(n)), n_stored=n, bits=16, window=window)
    values = {"mean": (0.0,) * n, "std": (1.0,) * n}
    return Preprocessing(
        input_px=(64, 64), channels=channels, planes=planes, scale=1 / 255, **values
    )


def show_channels(run, channels):
    result = fluorescent(channels).model_dump(mode="json")
    edit(
        run,
        "model/model.json",
        lambda model: model.update(preprocessing=result, modality="fluorescence"),
    )


def test_a_number_without_an_interval_is_not_told_as_if_it_had_one(run):
    lost = Metric(value=0.99, reason="4 groups of 'benign': an interval needs at least 5")
    for decided in ("image", "at_threshold"):
        edit(
            run, "metrics.json", lambda m, key=decided: m["test"][key].update(auc=lost.model_dump())
        )
    result = read_run(run)
    assert "0.990, without an interval" in verdict(result)
    head, why = caution(result)
    assert "no interval" in head
    assert lost.reason in why


def test_a_decision_curve_names_where_the_model_is_best(run_of):
    def caption(gains):
        curve = [
            NetBenefit(threshold=0.1 * place, model=0.2 + gain, everyone=0.2)
            for place, gain in enumerate(gains, 1)
        ]
        metrics = read_run(run_of("grouped")).evaluated
        decisions = metrics.decisions.model_copy(update={"curve": curve})
        return decision_curve_figure(metrics.model_copy(update={"decisions": decisions})).caption

    # A hair above “treat all” is not above it, and one or two thresholds are noise.
    words = caption([0.1, 5e-17, 0.1, 0.1, 0.1, -0.1, 0.1, 0.1])
    assert re.findall(r"\d+", words) == ["30", "50"]
    assert not re.search(r"\d", caption([-0.1, -0.1]))


def test_images_without_a_group_are_a_caution_and_are_not_listed(run):
    forget_groups(run)
    result = read_run(run)
    assert "groups are known" in caution(result)[0]
    assert not split.group_lists(result)


def test_groups_beyond_the_limit_are_counted(run):
    train, *_ = split.group_lists(read_run(run), most=3).content
    assert tells(train.head, "Training", 16)
    assert train.text.count(",") == 3
    assert train.text.endswith(", and 13 more in split.json")


def test_each_fold_s_threshold_is_told_and_no_threshold_is_not(run):
    source = "each fold's own, chosen on its inner validation subset"
    folds = {"value": None, "source": source, "target_recall": 0.9}
    edit(run, "metrics.json", lambda m: m["test"].update(threshold=folds))
    assert source in threshold_text(read_run(run))
    assert "0.90" in threshold_text(read_run(run))
    none = {"value": None, "source": "no positive class", "target_recall": None}
    edit(run, "metrics.json", lambda m: m["test"].update(threshold=none))
    assert threshold_text(read_run(run)) == ""


def test_a_threshold_by_the_lower_end_is_told_as_such(run):
    edit(run, "metrics.json", lambda m: m["test"]["threshold"].update(bound="lower"))
    result = read_run(run)
    assert number(result.evaluated.threshold.value) in threshold_text(result)
    assert "lower end" in threshold_text(result)


def test_where_no_group_is_known_nothing_is_said_of_groups(run):
    forget_groups(run)
    result = read_run(run)
    assert "patients are unknown" in split.split_words(result)
    assert "unknown" in answers(result)["disjoint"]
    assert "48 images" in answers(result)["uncertainty"]


def test_a_distance_in_the_least_spread_that_matters_is_told_as_such(run_of):
    groups = [str(number) for number in range(12)]
    same, larger = (describe_values(np.full(12, side), groups) for side in (100.0, 120.0))
    shift = compare("side_px", same, larger)
    classes = {"benign": 0.5, "malignant": 0.5}
    drift = Drift(
        verdict=shift.verdict,
        shifts={"side_px": shift},
        training_classes=classes,
        outside_classes=classes,
    )
    table = drift_table(changed(read_run(run_of("grouped")), drift=drift))
    assert re.search(r"size: 10\s%", table.caption)
    assert [cell.text for cell in table.rows[0]][3::3] == ["2.00", "shifted"]


def test_what_a_data_set_declares_is_told_in_words(run):
    counts = [
        {"images": 60000, "label": "", "part": "train"},
        {"images": 78786, "label": "idc", "part": ""},
    ]
    declared = {"counts": counts, "parts": "split", "positive": "idc"}
    edit(run, "environment.json", lambda e: e["dataset"].update(declared))
    result = dict(dataset_facts(read_run(run)))
    assert result["Images as published"] == "60,000 train, 78,786 idc"
    assert result["Positive class"] == "idc"
    assert not {"Parts", "Counts"} & set(result)


def test_channels_are_told_apart_with_their_windows(run):
    assert dict(model_facts(read_run(run)))["Input"] == "64×64 px, RGB"
    assert colour_words(read_run(run)) == ""
    show_channels(run, CHANNELS)
    result = dict(model_facts(read_run(run)))
    assert result["Input"] == "64×64 px, DNA, actin, tubulin"
    assert tells(result["Channel windows"], "DNA 657–15,702", "actin 657–15,702", "tubulin")
    assert tells(colour_words(read_run(run)), "DNA blue", "actin red", "tubulin green")


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        (("actin",), "One channel, actin, shown in grey."),
        (tuple("ABCDEFGH"), "magenta and F cyan. Not shown: G and H."),
    ],
)
def test_one_channel_is_grey_and_the_seventh_is_not_shown(run, channels, words):
    show_channels(run, channels)
    assert colour_words(read_run(run)).endswith(words)


@pytest.mark.parametrize("index", range(len(COLOUR_NAMES)))
def test_colours_are_called_what_they_are(index):
    image = np.zeros((1, 1, 6), dtype=np.uint8)
    image[..., index] = 255
    shown = to_thumbnail(image, fluorescent(tuple("ABCDEF")))[0, 0] > 127
    assert tuple(shown.astype(int)) == RGB[COLOUR_NAMES[index]]


def test_finding_no_leak_says_what_was_not_looked_for(run_of):
    assert "not searched for" in audit_words(read_run(run_of("grouped")))


def test_the_reach_of_an_earlier_audit_is_no_markdown(run):
    edit(run, "audit.json", lambda a: a.update(reach=["Not sought: `eosin data audit` does."]))
    assert audit_words(read_run(run)).endswith("Not sought: eosin data audit does.")


def test_an_ensemble_names_its_members_network(run):
    ensemble = {
        "architecture": "ensemble",
        "arguments": {"architecture": "light_cnn", "members": 5},
    }
    edit(run, "model/model.json", lambda model: model.update(ensemble))
    assert dict(model_facts(read_run(run)))["Network"] == "ensemble of light_cnn"


def test_running_again_asks_for_no_download_that_may_not_exist(run_of):
    assert rerun_commands(read_run(run_of("grouped"))) == ["eosin train recipe.toml -o ../rerun"]


def test_the_page_of_ungrouped_fluorescence_images_of_many_classes(copy_of):
    run = copy_of("three classes")
    forget_groups(run)
    show_channels(run, CHANNELS)
    page = write_report(run).read_text(encoding="utf-8")
    assert "resampling 48 images" in page
    assert "DNA blue" in page
    assert "a_<wbr>1" in page
    for absent in ("Metrics by patient", "at threshold", "At the tuned threshold"):
        assert absent not in page
