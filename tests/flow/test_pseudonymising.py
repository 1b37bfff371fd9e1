"""What leaves the house has pseudonyms, still reads, and still compares."""

import json
import re
import shutil
import struct

import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from eosin.artifacts.integrity import list_run_files
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.pseudonyms import load_pseudonyms
from eosin.core.errors import OutputError
from eosin.core.files import sha256_file
from eosin.privacy.release import release
from eosin.recipe import read_recipe
from eosin.runs.matching import find_shared, read_comparable

#: How the phantom's patients, and so its files, are called.
PATIENT = b"P000"


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    path = tmp_path / "secret" / "key"
    monkeypatch.setenv("EOSIN_PSEUDONYM_KEY", str(path))
    return path


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy beside the original, where relative paths still lead to the images."""
    folder = tiny_run.parent / f"tiny-{tmp_path.name}"
    shutil.copytree(tiny_run, folder)
    yield folder
    shutil.rmtree(folder)


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def holding(folder, text):
    return [name for name in files(folder) if text in (folder / name).read_bytes()]


def no_page(folder):
    """Stand in for the page, which takes seconds."""
    return folder


def read(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_a_run_leaves_without_its_patients_and_paths(command, run, tiny_phantom, tmp_path, key):
    (run / "skipped.csv").write_text("path,reason\nbenign/x.png,/home/huber/x.png is cut\n")
    (run / "notes.docx").write_bytes(b"P0001 came on Monday")
    marks = PngInfo()
    marks.add_text("Patient", "P0001")
    Image.new("RGB", (8, 8)).save(run / "samples" / "pair-00.png", pnginfo=marks)
    assert holding(run, PATIENT)
    before = files(run)

    result = command("report", run, "--pseudonymise", "-o", tmp_path / "copy")
    assert result.status == 0, result.err
    assert "not copied" in result.err
    assert files(run) == before
    copy = tmp_path / "copy"
    assert result.out.split() == ["report", str(copy / "report.html")]
    assert holding(copy, PATIENT) == []
    assert holding(copy, str(tiny_phantom).encode()) == []
    assert holding(copy, key.read_bytes()[:16]) == []
    assert holding(copy, b"huber") == []
    assert not list((copy / "model").glob("*.ckpt"))
    assert not {"checkpoints", "logs", "notes.docx"} & {path.name for path in copy.iterdir()}
    with Image.open(copy / "samples" / "pair-00.png") as thumbnail:
        assert thumbnail.info == {}

    ours, theirs = read(run / "manifest.csv"), read(copy / "manifest.csv")
    for column in ("label", "split", "magnification"):
        assert sorted(ours[column]) == sorted(theirs[column])
    assert ours["patient"].value_counts().tolist() == theirs["patient"].value_counts().tolist()
    logits = pd.read_parquet(RunFolder(copy).logits)
    assert list(logits["path"]) == list(read(copy / "predictions.csv")["path"])
    metrics = [json.loads((place / "metrics.json").read_text()) for place in (run, copy)]
    assert metrics[0]["test"]["image"] == metrics[1]["test"]["image"]
    # The page was made from the copy, which is a run folder like any other.
    assert b"patient-" in (copy / "report.html").read_bytes()


def test_other_names_of_one_key_are_the_same_and_those_of_another_key_are_not(
    command, run, tiny_run, tiny_phantom, tmp_path, monkeypatch
):
    for place in (run, tiny_run):
        release(place, tmp_path / place.name, load_pseudonyms(), no_page)
    one, again = (set(read(tmp_path / p.name / "manifest.csv")["path"]) for p in (run, tiny_run))
    assert one == again

    result = command("predict", tiny_run, tiny_phantom / "benign", "--pseudonymise")
    predicted = {line.partition(",")[0] for line in result.out.splitlines()[1:]}
    assert predicted
    assert predicted <= one

    folder = tmp_path / "judged"
    result = command("evaluate", tiny_run, "--pseudonymise", "-o", folder)
    assert result.status == 0, result.err
    assert str(folder / "metrics.json") in result.out
    assert set(read(folder / "predictions.csv")["path"]) < one
    assert holding(folder, PATIENT) == []

    monkeypatch.setenv("EOSIN_PSEUDONYM_KEY", str(tmp_path / "other"))
    result = command("predict", tiny_run, tiny_phantom / "benign", "--pseudonymise")
    others = {line.partition(",")[0] for line in result.out.splitlines()[1:]}
    assert len(others) == len(predicted)
    assert not others & predicted


def test_images_are_checked_and_audited_under_pseudonyms(command, tiny_run, tiny_phantom, tmp_path):
    manifest = tiny_run / "manifest.csv"
    result = command("data", "check", tiny_phantom, "--pseudonymise", "-o", tmp_path / "check")
    assert result.status == 0, result.err
    audited = tmp_path / "audit"
    result = command(
        "data", "audit", manifest, "--quick", "--json", "--pseudonymise", "-o", audited
    )
    assert "findings" in result.out
    assert PATIENT.decode() not in result.out + result.err
    for folder in (tmp_path / "check", audited):
        assert files(folder)
        assert holding(folder, PATIENT) == []
        assert holding(folder, tiny_phantom.name.encode()) == []


def test_copies_of_one_key_compare_by_their_images(run, tiny_run, tmp_path):
    info = RunFolder(run).model / "model.json"
    values = json.loads(info.read_text())
    info.write_text(json.dumps({**values, "weights_sha256": "0" * 64}))
    copies = [tmp_path / "one", tmp_path / "two"]
    for place, copy in zip((tiny_run, run), copies, strict=True):
        release(place, copy, load_pseudonyms(), no_page)
    shared = find_shared(read_comparable(copies), "")
    rows = read(copies[0] / "predictions.csv")
    assert len(shared.frame) == (rows["split"] == "test").sum() > 0
    assert shared.n_by_content == 0


def test_a_copy_that_would_hold_an_identifier_is_not_kept(tiny_run, tmp_path):
    def leak(folder):
        (folder / "new.txt").write_text("patient P0001")
        return folder

    with pytest.raises(OutputError, match=r"new\.txt would still contain 'P0001'"):
        release(tiny_run, tmp_path / "out" / "copy", load_pseudonyms(), leak)
    assert list((tmp_path / "out").iterdir()) == []


def test_names_that_a_repair_joined_do_not_leave(run, tmp_path):
    audit = json.loads((run / "audit.json").read_text())
    a, b = pd.read_csv(run / "manifest.csv")["path"][:2]
    link = {"kind": "alike_names", "a": a, "b": b, "group_a": "meier_01", "group_b": "Meier_1"}
    link["how"] = "'meier_01' and 'Meier_1'"
    audit["repair"] = [{"group": "Meier_1", "groups": ["Meier_1", "meier_01"], "links": [link]}]
    (run / "audit.json").write_text(json.dumps(audit))
    recipe = (run / "recipe.toml").read_text()
    recipe = recipe.replace('description = "', 'description = "without meier_01. ')
    (run / "recipe.toml").write_text(recipe)
    list_run_files(RunFolder(run))
    release(run, tmp_path / "copy", load_pseudonyms(), no_page)
    assert not holding(tmp_path / "copy", b"eier_")
    found = json.loads((tmp_path / "copy" / "audit.json").read_text())["repair"][0]
    assert found["links"][0]["a"].startswith("image-")
    assert {found["links"][0][f"group_{side}"] for side in "ab"} == set(found["groups"])


def texts(value):
    """Return all text of a JSON value, keys included."""
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in texts(item))]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def test_patients_that_are_called_7_or_like_a_class_do_not_leave(run, tmp_path):
    people = sorted(set(read(run / "manifest.csv")["patient"]))
    names = dict(zip(people, ["7", "P1", "benign", "train", "Ünal", "20017"], strict=False))
    for path in [*run.rglob("*.csv"), *run.rglob("*.json")]:
        text = path.read_text(encoding="utf-8")
        for old, new in names.items():
            text = re.sub(rf'(?<=[",]){old}(?=[",])', new, text)
        path.write_text(text, encoding="utf-8")
    audit = json.loads((run / "audit.json").read_text())
    a, b = pd.read_csv(run / "manifest.csv")["path"][:2]
    pair = {"a": a, "b": b, "split_a": "train", "split_b": "test", "score": 1.0}
    message = "2 groups are in both train and test: 7, P1 (3 of 7 images)"
    leak = {"kind": "same_group", "severity": "leak", "message": message, "pairs": [pair]}
    (run / "audit.json").write_text(json.dumps({**audit, "findings": [leak]}))
    (run / "skipped.csv").write_text("path,reason\n7/P1.png#2,/home/P1/7/P1.png is truncated\n")
    list_run_files(RunFolder(run))
    copy = release(run, tmp_path / "copy", load_pseudonyms(), no_page)
    written = read(copy / "manifest.csv")
    assert written["patient"].nunique() == len(people)
    for path in copy.rglob("*.csv"):
        cells = read(path).drop(
            columns=["label", "predicted", "decision", "split"], errors="ignore"
        )
        assert not set(names.values()) & set(cells.to_numpy().ravel()), path
    for path in copy.rglob("*.json"):
        found = texts(json.loads(path.read_text(encoding="utf-8")))
        assert not {"7", "P1", "Ünal", "20017"} & set(found), path
        assert not [text for text in found if re.search(r"\b(P1|Ünal)\b", text)], path
    (skipped,) = read(copy / "skipped.csv").to_numpy().tolist()
    assert skipped == [skipped[0], skipped[0].removesuffix("#2") + " is truncated"]
    parts = [json.loads((place / "split.json").read_text())["parts"] for place in (run, copy)]
    n_groups = [[len(part["groups"]) for part in one.values()] for one in parts]
    assert n_groups[0] == n_groups[1]


def test_what_no_schema_knows_does_not_leave(run, tmp_path):
    for name in ("environment.json", "model/profile.json"):
        values = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps({**values, "note": "of 7", "operator": {"is": "7"}}))
    (run / "own.json").write_text('{"patient": "7"}')
    (run / "own.csv").write_text("patient\n7\n")
    (run / "model" / "model.json").write_text(
        json.dumps({**json.loads((run / "model" / "model.json").read_text()), "files": None})
    )
    copy = release(run, tmp_path / "copy", load_pseudonyms(), no_page)
    assert not {"own.json", "own.csv"} & files(copy)
    assert holding(copy, b"operator") == []
    assert holding(copy, b"of 7") == []


def test_a_recipe_keeps_its_columns_and_loses_its_places(run, tmp_path):
    text = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(text.replace('patient = "patient"', 'patient = "case"'))
    list_run_files(RunFolder(run))
    copy = release(run, tmp_path / "copy", load_pseudonyms(), no_page)
    recipe = read_recipe(copy / "recipe.toml")
    assert (recipe.data.path, recipe.data.patient, recipe.data.group) == ("path", "case", "group")
    assert recipe.description == ""
    assert recipe.train == read_recipe(run / "recipe.toml").train


def test_a_name_in_the_weights_keeps_the_copy_back(run, tmp_path):
    weights = run / "model" / "model.safetensors"
    data = weights.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size]) | {"__metadata__": {"trained on": "P0001 alone"}}
    head = json.dumps(header).encode()
    weights.write_bytes(struct.pack("<Q", len(head)) + head + data[8 + size :])
    info = run / "model" / "model.json"
    values = {**json.loads(info.read_text()), "weights_sha256": sha256_file(weights)}
    info.write_text(json.dumps({**values, "files": None}))
    with pytest.raises(OutputError, match=r"P0001"):
        release(run, tmp_path / "copy", load_pseudonyms(), no_page)
    assert not (tmp_path / "copy").exists()


def test_two_protocols_leave_together(command, protocols, tmp_path):
    people = set(read(protocols / "strict" / "manifest.csv")["patient"])
    result = command("report", protocols, "--pseudonymise", "-o", tmp_path / "copy")
    assert result.status == 0, result.err
    pages = {name for name in files(tmp_path / "copy") if name.endswith("report.html")}
    assert pages == {"report.html", "strict/report.html", "as-published/report.html"}
    for patient in people:
        assert holding(tmp_path / "copy", patient.encode()) == []


def test_a_compared_run_may_be_called_like_a_patient(command, tiny_run, tmp_path):
    rows = read(tiny_run / "manifest.csv")
    # Of no image that is compared.
    patient = rows["patient"][rows["split"] == "train"].iloc[0]
    places = [shutil.copytree(tiny_run, tmp_path / name) for name in (f"{patient}-run", "other")]
    shutil.rmtree(places[1] / "model")  # two of one model are not compared
    result = command("compare", *places, "--pseudonymise", "-o", tmp_path / "out")
    assert result.status == 0, result.err
    assert files(tmp_path / "out")
    assert holding(tmp_path / "out", patient.encode()) == []
    assert patient not in result.out


def test_images_on_which_compared_runs_disagree_have_pseudonyms(command, run, tiny_run, tmp_path):
    shutil.rmtree(run / "model")  # two of one model are not compared
    rows = read(run / "predictions.csv")
    rows[["prob_benign", "prob_malignant"]] = rows[["prob_malignant", "prob_benign"]].to_numpy()
    rows.to_csv(run / "predictions.csv", index=False)
    list_run_files(RunFolder(run))
    result = command("compare", tiny_run, run, "--pseudonymise", "-o", tmp_path / "out")
    assert result.status == 0, result.err
    assert list((tmp_path / "out" / "samples").iterdir())
    assert holding(tmp_path / "out", PATIENT) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{run}", "-o", "{out}"], "--pseudonymise"),
        (["{run}", "--pseudonymise", "-o", "{run}/copy"], "is inside"),
        (["{out}", "--pseudonymise", "-o", "{out}-2"], "not a finished run folder"),
    ],
)
def test_what_cannot_leave_is_refused(command, tiny_run, tmp_path, arguments, complaint):
    places = {"run": tiny_run, "out": tmp_path / "out"}
    result = command("report", *(part.format(**places) for part in arguments))
    assert result.status in {1, 2}
    assert complaint in result.complaint
