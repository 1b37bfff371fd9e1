import unicodedata

import pytest

from eosin.core.text import (
    approximate_time,
    clean_name,
    is_unknown,
    mebibytes,
    percent,
    printable,
    some,
    spelling_key,
)


@pytest.mark.parametrize(
    "text",
    [
        *["P01", " P01", "P01\t", "P01\u00a0", "\ufeffP01", "P01\u200b "],
        *["\u202aP01", "P01 \u200b \u200b", "\u200e P01", "P01\u00ad", "\u2068P01\u2069"],
    ],
)
def test_blanks_around_a_name_are_removed(text):
    assert clean_name(text) == "P01"


def test_both_unicode_forms_become_the_composed_one():
    composed = "M\u00fcller"
    decomposed = unicodedata.normalize("NFD", composed)
    assert decomposed != composed
    assert clean_name(decomposed) == clean_name(composed) == composed


@pytest.mark.parametrize(
    "spellings",
    [
        ("P01", "p01", "P01 ", "P1", "P\u200b01", "\uff30\uff10\uff11", "\u200eP\u00ad1"),
        ("7", "007", "7.0", "7.00"),
        ("14-0022AB", "14-22ab", "14_22AB", "14 22ab", "14\u201322AB"),
        ("A 7", "A  7", "a\u00a007", "A_7", "A\u22127", "A - 7"),
        ("Pfister", "Pﬁster"),
        ("Groß", "GROSS", "gro\u00df "),
    ],
)
def test_spellings_of_one_name_share_a_key(spellings):
    assert len({spelling_key(text) for text in spellings}) == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        *[("P01", "P10"), ("1.05", "1.5"), ("7", "70"), ("0", ""), ("P1", "Q1"), ("0", "1")],
        *[("1-23", "12-3"), ("A-7", "A7"), ("-", "")],
    ],
)
def test_different_names_keep_different_keys(a, b):
    assert spelling_key(a) != spelling_key(b)


@pytest.mark.parametrize("text", ["", " ", "NA", "nan", "N/A", "Unknown", "?", "null", " none "])
def test_written_out_unknowns_are_recognised(text):
    assert is_unknown(text)


@pytest.mark.parametrize("text", ["0", "P01", "Nan Li", "Nadia", "no"])
def test_names_are_not_taken_for_unknown(text):
    assert not is_unknown(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "5 s"), (44, "45 s"), (170, "3 min"), (5400, "1.5 h")]
)
def test_a_rough_time_is_written_in_its_unit(seconds, text):
    assert approximate_time(seconds) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tumour.png", "tumour.png"),
        ("M\u00fcller|#.png", "M\u00fcller|#.png"),
        ("tum\udcf6r.png", r"tum\xf6r.png"),
        ("a\ud800", r"a\ud800"),
    ],
)
def test_names_that_are_no_text_are_escaped(name, text):
    assert printable(name) == text
    assert printable(text) == text


def test_the_first_names_of_many_stand_for_all():
    names = ["a", "b", "c"]
    assert some(names, 3) == some(names, 3, counted=True) == "a, b, c"
    assert some(names, 2) == "a, b, …"
    assert some(names, 1, counted=True) == "a and 2 more"


def test_shares_and_sizes_have_the_decimals_that_are_asked_for():
    assert percent(0.125) == "12.5 %"
    assert percent(0.125, 2) == "12.50 %"
    assert mebibytes(2**30) == "1,024 MiB"
    assert mebibytes(2**19, 1) == "0.5 MiB"
