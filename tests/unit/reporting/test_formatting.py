import pytest
from tests.facts import tells

from eosin.artifacts.metrics import Metric
from eosin.core.text import duration, listing, quantity
from eosin.reporting.formatting import (
    below,
    breakable,
    common_folder,
    coverage,
    exception,
    metric_label,
    metric_text,
    number,
    plain_reason,
    reason_alone,
    share,
    shorten,
    times,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8349, "0.835"),
        (1.0, "1.000"),
        (0.0, "0.000"),
        (0.9972, "0.997"),
        (0.99999, ">0.999"),
        (0.0041, "0.004"),
        (0.00002, "<0.001"),
        (1.25, "1.250"),
    ],
)
def test_never_claims_perfection_by_rounding(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (Metric(value=0.83, low=0.7, high=0.94), "0.830 (0.700–0.940)"),
        (Metric(value=0.83, reason="few groups"), "0.830"),
        (Metric(value=0.97, low=0.92, high=0.999), "0.970 (0.920–0.999)"),
        (Metric(value=0.981, low=0.978, high=0.983), "0.981 (0.978–0.983)"),
        (Metric(value=0.9998, low=0.9997, high=0.9999), "0.9998 (0.9997–0.9999)"),
        (Metric(value=0.00222, low=0.00214, high=0.00227), "0.0022 (0.0021–0.0023)"),
        (Metric(value=1.0, low=1.0, high=1.0), "1.000 (1.000–1.000)"),
        (Metric(value=0.99999, low=0.99998, high=1.0), ">0.999 (1.0000–1.0000)"),
        (Metric(value=None, reason="no image of benign"), "—"),
        (None, "—"),
        (Metric(value=-0.112, low=-0.479, high=0.289), "−0.112 (−0.479 to 0.289)"),
    ],
)
def test_metric_with_interval(metric, text):
    assert metric_text(metric) == text


def test_a_long_name_may_break_at_its_underscores_and_stays_escaped():
    assert breakable("a_b<i>") == "a_<wbr>b&lt;i&gt;"


@pytest.mark.parametrize(
    ("reason", "note"),
    [
        (None, ""),
        ("12 groups: nominal 95 % intervals covered 93 % in simulation of 10 groups", ""),
        ("47 of 50 patients have images of several classes",) * 2,
    ],
)
def test_a_usual_interval_needs_no_note(reason, note):
    assert exception(reason) == note


def test_notes_tell_intervals_that_are_worse_or_missing():
    narrow = "9 groups: nominal 95 % intervals covered 79 % in simulation; biased upwards"
    assert tells(exception(narrow), "79 %", "biased upwards")
    assert coverage(narrow) == 79
    assert tells(plain_reason(narrow), "9 groups", "79 %", "biased upwards")
    few = [exception(f"{n} groups of 'x': an interval needs at least 5") for n in (1, 4)]
    assert few[0] == few[1]
    assert tells(few[0], "no interval", "5")


def test_words():
    assert quantity(1, "image") == "1 image"
    assert quantity(1200, "image") == "1,200 images"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert share(None) == "—"
    assert duration(200) == "3 min 20 s"
    assert duration(7260) == "2 h 1 min"
    assert times("200") == "200×"
    assert times("overview") == "overview"
    assert metric_label("mean_margin") == "Mean margin"


def test_shortened_names_keep_both_ends():
    short = shorten("papillary_carcinoma_in_situ", 16)
    assert len(short) == 16
    assert short.startswith("papillary")
    assert short.endswith("situ")


@pytest.mark.parametrize(
    ("paths", "shown"),
    [
        (["/home/anna/a/1.png", "/home/anna/b/2.png"], ["a/1.png", "b/2.png"]),
        (["../../anna/a/1.png", "../../anna/a/2.png"], ["1.png", "2.png"]),
        (["/home/anna/1.png", "b/2.png"], ["/home/anna/1.png", "b/2.png"]),
        (["a/1.png", "a/2.png"], ["a/1.png", "a/2.png"]),
        (["P7", "p7"], ["P7", "p7"]),
        ([], []),
    ],
)
def test_the_common_folder_of_images_elsewhere_is_left_out(paths, shown):
    folder = common_folder(paths)
    assert [below(path, folder) for path in paths] == shown


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("/home/anna/b/2.png is truncated", "is truncated"),
        ("b/2.png: not an image", "not an image"),
        ("the folder cannot be listed", "the folder cannot be listed"),
        ("a cell of b/2.png is odd", "a cell of b/2.png is odd"),
    ],
)
def test_a_reason_beside_its_file_does_not_repeat_it(reason, shown):
    assert reason_alone("b/2.png", reason) == shown
