"""Names that are hard to hide: short ones, words of the data set's own, other scripts."""

import json
import time
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.pseudonyms import Pseudonyms
from eosin.artifacts.run import SamplesIndex, SplitReport
from eosin.core.errors import OutputError
from eosin.privacy.identifiers import Identifiers, find_remaining_identifiers
from eosin.privacy.pseudonymise import hide_document, hide_json, hide_skipped, hide_table
from eosin.recipe.reading import recipe_from_dict, recipe_to_toml

ROOT = Path("/data/set")
DECOMPOSED = unicodedata.normalize("NFD", "Müller_Jürgen")
NAMES = [
    *("7", "07", "P1", "20017", "benign", "train", "image", "patient", "a", "O'Neil", "a|b", "x#1"),
    *("Müller_Jürgen", DECOMPOSED, "李雷", "Anna Huber", "Huber, Anna: 3 (of 7 images)", "image-1"),
]


def learned(name):
    rows = [
        [f"benign/{name}/1.png", "benign", name, name, name, name, "train"],
        ["benign/other/2.png", "benign", "other", "other", "s2", "site2", "test"],
    ]
    columns = ["path", "label", "patient", "group", "slide", "site", "split"]
    frame = pd.DataFrame(rows, columns=columns)
    known = Identifiers(Pseudonyms(b"k" * 32))
    known.learn(frame, ROOT)
    return known, frame


def strings(value):
    """Return all text under keys that are not the schema's own words."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_is_hidden_whatever_the_name(name):
    known, frame = learned(name)
    table = hide_table(frame, known, ROOT)
    for column in ("path", "patient", "group", "slide", "site"):
        assert not [cell for cell in table[column] if cell == name or f"/{name}" in cell]
        assert table[column].nunique() == 2
    assert set(table["label"]) == {"benign"}
    assert set(table["split"]) == {"train", "test"}


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_hidden_whatever_the_name(name):
    known, _ = learned(name)
    part = {"wanted": 0.5, "got": 0.5, "n_images": 7, "n_groups": 1, "by_class": {"benign": 7}}
    part |= {"groups": [name, "other"], "site": name}
    split = SplitReport(
        protocol="folds", stratified=True, deviation=0.0, parts={"0-0": part, "train": part}
    )
    path = f"benign/{name}/1.png"
    pair = {"a": path, "b": path, "split_a": "train", "split_b": "test", "score": 1.0}
    finding = {"kind": "alike_names", "severity": "leak"}
    finding["message"] = f"2 names are in both train and test: {name}, {name} (3 of 7 images)"
    finding["pairs"] = [{**pair, "how": f"{name!r} in row 2; {name!r} in row 4"}]
    link = {"kind": "alike_names", "a": path, "b": path, "group_a": name, "group_b": name}
    link["how"] = f"{name!r} and {name!r}"
    audit = AuditReport(
        n_images=7, n_groups=2, splits={}, findings=[finding],
        repair=[{"group": name, "groups": [name, "other"], "links": [link]}],
    )  # fmt: skip
    picture = {"file": "example-00.jpg", "role": "example", "path": path, "label": "benign"}
    index = SamplesIndex(pictures=[{**picture, "patient": name, "split": "train"}])
    words = {"benign", "train", "test"}
    for document in (split, audit, index):
        hidden = hide_document(document, known, ROOT).model_dump(mode="json")
        for text in strings(hidden):
            assert text in words or (text != name and f"/{name}" not in text)
        assert "row 2" not in json.dumps(hidden)
    hidden = hide_document(audit, known, ROOT)
    assert hidden.findings[0].message == "2 names are in both train and test (3 of 7 images)"
    by_site = hide_json({"by_site": {name: {"value": 1}}}, known)["by_site"]
    assert name not in by_site


def test_a_patient_called_like_a_word_of_the_files_is_refused_with_a_hint():
    known, _ = learned("leak")
    finding = {"kind": "same_group", "severity": "leak", "message": "1 group", "pairs": []}
    audit = AuditReport(n_images=7, n_groups=2, splits={}, findings=[finding])
    with pytest.raises(OutputError) as error:
        hide_document(audit, known, ROOT)
    assert error.value.hint


@pytest.mark.parametrize(
    "reason",
    [
        "/home/huber/7.png is not an image that can be read",
        "/home/huber/7.png names /home/huber/Anna.ome.tif as a part of it, which cannot be read",
        "7.png cannot be processed: ValueError: no Anna in huber",
        "/home/huber: the folder cannot be listed: Permission denied",
        "Anna's table of huber.npz has no row for it",
        "huber",
    ],
)
def test_the_reason_of_a_skipped_file_has_known_words_alone(reason):
    known, _ = learned("7")
    ((cell, hidden),) = hide_skipped([("/home/huber/7.png#3", reason)], known)
    image, _, why = hidden.partition(" ")
    assert cell == f"{image}#3"
    assert why
    assert why in reason or why == "cannot be read"
    assert "Anna" not in why
    assert "huber" not in why


def test_a_recipe_loses_its_files_and_free_text_and_keeps_its_settings():
    data = {"manifest": "/home/huber/m.csv", "patient": "case", "group": "slide"}
    stage = {"dataset": "phantom", "root": "../huber", "options": {"table": "huber/a", "px": 64}}
    recipe = recipe_from_dict(
        {
            "name": "first",
            "description": "All of Dr. Huber's, without 7",
            "data": data,
            "stain": {"method": "macenko", "reference": "huber ref.png"},
            "model": {"name": "embedding:/home/huber/features.npz"},
            "transfer": {
                "source": "huber.safetensors",
                "stage": [{"name": "before", "epochs": 1, "data": stage}],
            },
        }
    )
    known, _ = learned("7")
    hidden = hide_document(recipe, known, kinds={})
    text = recipe_to_toml(hidden)
    assert "uber" not in text
    assert "without 7" not in text
    # A recipe's `patient` is the name of a column.
    assert (hidden.data.path, hidden.data.patient, hidden.data.group) == ("path", "case", "slide")
    assert hidden.model.table.startswith("file-")
    assert hidden.transfer.stage[0].data.options["px"] == 64
    plain = {"name": "first", "data": {"dataset": "phantom"}, "model": {"name": "light_cnn"}}
    plain = recipe_from_dict(plain)
    assert hide_document(plain, known, kinds={}) == plain


def test_a_model_loses_the_names_of_its_files():
    stain = {"fitted_on": "huber.png", "method": "macenko"}
    source = {"stage": "source", "source": "huber.safetensors"}
    model = {
        "architecture": "embedding:huber.csv",
        "arguments": {"architecture": "embedding:huber.csv", "folder": "of/huber", "width": 3},
        "preprocessing": {"table": "huber.csv", "stain": stain},
        "transfer_chain": [source, {"stage": "source", "source": "imagenet"}],
    }
    known, _ = learned("7")
    hidden = hide_json(model, known)
    assert "huber" not in json.dumps(hidden)
    assert hidden["architecture"] == hidden["arguments"]["architecture"]
    assert hidden["architecture"].startswith("embedding:file-")
    assert hidden["transfer_chain"][1]["source"] == "imagenet"
    own = {"fitted_on": "the training part"}
    assert hide_json(own, known) == own


def test_an_image_of_a_container_keeps_its_place_in_it():
    known, _ = learned("wsi")
    one, other = (known.cell("image", f"/data/wsi.h5#{index}") for index in (3, 12))
    assert one.endswith(".h5#3")
    assert other == one.replace("#3", "#12")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b'\x40\0\0\0\0\0\0\0{"__metadata__":{"of":"%s"}}\xff\xfe'),
        ("model.onnx", b"\x08\x07\xc3\x12\x0c%s\x1a\xff"),
        ("card.md", b"Of %s, and others"),
        ("report.html", b"<p>of&nbsp;%s</p>"),
        ("other.json", b'{"note": ["%s"]}'),
        ("new.csv", b"note,n\nof %s,1\n"),
    ],
)
@pytest.mark.parametrize("person", ["Müller_Jürgen", DECOMPOSED, "20017-x"])
def test_the_last_look_reads_every_script(tmp_path, name, content, person):
    known, _ = learned("Müller_Jürgen" if "ller" in person else person)
    (tmp_path / name).write_bytes(content % person.encode())
    assert [path.name for path, _ in find_remaining_identifiers(tmp_path, known)] == [name]


def test_the_last_look_finds_short_names_by_column_and_key(tmp_path):
    known, frame = learned("7")
    frame[["site"]].to_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.json").write_text('{"parts": {"x": {"groups": ["7"]}}}')
    (tmp_path / "c.json").write_text('{"by_site": {"7": {"value": 0.5}}}')
    found = {path.name for path, _ in find_remaining_identifiers(tmp_path, known)}
    assert found == {"a.parquet", "b.json", "c.json"}


def test_numbers_that_equal_a_patient_s_are_left_alone(tmp_path):
    known, _ = learned("20017")
    (tmp_path / "history.csv").write_text("step,loss\n20017,0.20017\n")
    (tmp_path / "metrics.json").write_text('{"n_images": 20017}')
    assert list(find_remaining_identifiers(tmp_path, known)) == []


@pytest.mark.slow
def test_a_table_of_300000_rows_takes_no_minute(tmp_path):
    patients = [f"{8000 + number // 150}" for number in range(300_000)]
    paths = [f"../set/{name}/x{number}.png" for number, name in enumerate(patients)]
    frame = pd.DataFrame({"path": paths, "patient": patients, "group": patients, "label": "0"})
    start = time.process_time()
    known = Identifiers(Pseudonyms(b"k" * 32))
    known.learn(frame, ROOT)
    hide_table(frame, known, ROOT).to_csv(tmp_path / "manifest.csv", index=False)
    assert list(find_remaining_identifiers(tmp_path, known)) == []
    assert time.process_time() - start < 60
