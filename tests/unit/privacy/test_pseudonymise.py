"""Identifiers in tables, JSON and running text."""

import json
from pathlib import Path

import pandas as pd
import pytest

from eosin.artifacts.pseudonyms import Pseudonyms
from eosin.privacy.identifiers import Identifiers, find_remaining_identifiers
from eosin.privacy.pseudonymise import hide_json, hide_skipped, hide_table

ROOT = Path("/data/set")
FRAME = pd.DataFrame(
    [
        ["benign/Anna_Huber/tile-17a.png", "benign", "Anna", "Anna", "s1", "57", "train"],
        ["benign/B2/tile-18b.png", "benign", "7", "7", "s2", "61", "test"],
        ["malignant/20017/a.h5#3", "malignant", "20017", "20017", "s3", "48", "test"],
        ["malignant/x/tile-99c.png", "malignant", "", "malignant/x/tile-99c.png", "", "", ""],
    ],
    columns=["path", "label", "patient", "group", "slide", "age", "split"],
)


@pytest.fixture
def known():
    found = Identifiers(Pseudonyms(b"k" * 32))
    found.learn(FRAME, ROOT)
    return found


def test_a_table_keeps_harmless_columns_and_which_rows_belong_together(known):
    table = hide_table(FRAME, known, ROOT)
    assert list(table) == ["path", "label", "patient", "group", "slide", "split"]
    assert set(table["path"].str.partition("-")[0]) == {"image"}
    assert table["path"].str.contains(r"\.h5#3$").sum() == 1
    known_patients = table[table["patient"] != ""]
    assert (known_patients["patient"] == known_patients["group"]).all()
    own = table[table["patient"] == ""]
    assert list(own["group"]) == list(own["path"])
    # In the order of pseudonyms: the place in the table tells nothing.
    assert list(table["path"]) == sorted(table["path"])
    assert not set(FRAME["patient"]) - {""} & set(table.stack())


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("cannot read tile-17a.png", "tile-17a"),
        ("cannot read '/data/set/benign/B2/tile-18b.png': cut", "B2"),
        ("opened /home/mueller/scans/new.svs today", "mueller"),
        ("opened C:\\scans\\mueller\\new.svs", "mueller"),
        ("in Anna_Huber", "Huber"),
        ("patient 20017, and 20017_x1.png", "20017"),
    ],
)
def test_running_text_loses_identifiers_and_paths(known, text, gone):
    assert gone not in known.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "7 of 20 benign images in train, test and/or val",
        "0.20017 is no patient, nor is 20017.5 or 120017",
        "see https://example.org/Anne/page.html and docs/page.md",
        "Annabel",
    ],
)
def test_running_text_keeps_what_only_looks_like_one(known, text):
    assert known.text(text) == text


def test_json_hides_by_key_however_short_and_sorts(known):
    result = hide_json(
        {
            "git": "abc123",
            "data_root": "/home/mueller/set",
            "parts": {"test": {"groups": ["7", "Anna"], "n_groups": 7}},
            "by_site": {"1": {"value": 0.5}},
            "findings": [
                {
                    "kind": "same_group",
                    "severity": "leak",
                    "message": "2 groups are in both train and test: 7, Anna (3 of 7 images)",
                    "pairs": [
                        {"a": FRAME["path"][0], "b": FRAME["path"][1], "split_a": "train",
                         "split_b": "test", "score": 1.0}
                    ],
                }
            ],
        },
        known,
        ROOT,
    )  # fmt: skip
    assert result["git"] is None
    groups = result["parts"]["test"]["groups"]
    assert groups == sorted(known.cell("patient", value) for value in ("7", "Anna"))
    assert result["parts"]["test"]["n_groups"] == 7
    assert list(result["by_site"]) == [known.cell("site", "1")]
    finding = result["findings"][0]
    assert finding["message"] == "2 groups are in both train and test (3 of 7 images)"
    assert finding["pairs"][0]["a"] == known.cell("image", "benign/Anna_Huber/tile-17a.png", ROOT)
    assert "mueller" not in json.dumps(result)


@pytest.mark.parametrize(
    "path", ["Miller, Anna/scan 3.png", "B O'Neil/O'Neil.png|", "Miller Anna/a b.h5#2"]
)
def test_a_reason_tells_neither_the_image_s_name_nor_its_folder_s(known, path):
    file, why = path.strip("|").partition("#")[0], "is not an image that can be read"
    skipped = [(path, f"Dr. Jane Roe/{file} {why}")]
    ((cell, reason),) = hide_skipped(skipped, known)
    assert reason == f"{cell.strip('|').partition('#')[0]} {why}"
    table = hide_table(pd.DataFrame(skipped, columns=["path", "reason"]), known)
    assert table.to_numpy().tolist() == [[cell, reason]]


@pytest.mark.parametrize(
    "head",
    [
        "2 groups are in both train and test",
        "2 groups occur more than once in the table",
        "2 images are in both train and test as near copies",
        "run: a: 2 groups are in both 0-1 and 0-2",
    ],
)
def test_an_audit_s_message_loses_names_that_hold_a_colon(known, head):
    finding = {"kind": "same_group", "severity": "leak", "pairs": []}
    result = finding | {"message": f"{head}: Moe: B, Roe: A (3 of 7 test images)"}
    assert hide_json(result, known)["message"] == f"{head} (3 of 7 test images)"


def test_an_image_has_one_pseudonym_wherever_its_path_starts(known):
    cell = known.cell("image", "/data/set/benign/B2/tile-18b.png")
    assert known.cell("image", "benign/B2/tile-18b.png", Path("/elsewhere")) == cell
    assert known.cell("image", "../set/benign/B2/tile-18b.png", Path("/data/run")) == cell


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.md", b"of Anna_Huber"),
        ("page.html", b"<td>tile&#45;17a</td>"),
        ("new.json", b'{"x": ["tile-17a"]}'),
        ("short.json", b'{"patient": "7"}'),
        ("short.csv", b"patient,x\n7,1\n"),
        ("recipe.toml", b'name = "Anna"'),
        ("model.onnx", b"\x00\x01doc of tile-17a\x00"),
        ("tile-17a.jpg", b""),
    ],
)
def test_the_last_look_finds_a_planted_identifier(known, tmp_path, name, content):
    (tmp_path / "clean.json").write_text('{"patient": "", "n": 20017}')
    (tmp_path / "clean.html").write_text("<img src='data:image/png;base64,Anna/tile'> 7 images")
    assert list(find_remaining_identifiers(tmp_path, known)) == []
    (tmp_path / name).write_bytes(content)
    assert [found.name for found, _ in find_remaining_identifiers(tmp_path, known)] == [name]


def test_a_repair_loses_the_names_that_its_groups_had_before(known):
    link = {"kind": "alike_names", "a": "benign/B2/tile-18b.png", "b": "malignant/20017/a.h5#3"}
    link |= {"group_a": "7", "group_b": "07", "how": "'7' and '07'"}
    joined = {"group": "7", "groups": ["07", "7"], "links": [link]}
    known.learn_groups(["07", "7", "Annegret_B"])
    (found,) = hide_json({"repair": [joined]}, known, ROOT)["repair"]
    (shown,) = found["links"]
    assert shown["how"] is None
    assert sorted((shown["group_a"], shown["group_b"])) == found["groups"]
    assert {shown["a"].partition("-")[0], shown["b"].partition("-")[0]} == {"image"}
    assert found["group"] in found["groups"]
    assert "Annegret" not in known.text("first of Annegret_B, then others")


def test_joined_groups_and_their_links_stand_in_the_order_of_pseudonyms(known):
    def join(name):
        links = [{"kind": "near_duplicate", "a": f"{name}{n}", "b": "x", "group_a": name,
                  "group_b": "x", "how": "mirrored"} for n in range(9)]  # fmt: skip
        return {"group": name, "groups": [name], "links": links}

    found = hide_json({"repair": [join(f"P{n}") for n in range(9)]}, known, ROOT)["repair"]
    assert found == sorted(found, key=str)
    for one in found:
        assert one["links"] == sorted(one["links"], key=str)
        assert {link["how"] for link in one["links"]} == {"mirrored"}
