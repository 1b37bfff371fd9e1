"""Tables as users have them, from the command line: read, or stopped with a line that works."""

import shlex
import shutil

import pandas as pd
import pytest
from PIL import Image

from eosin.artifacts.integrity import list_run_files
from eosin.artifacts.layout import RunFolder


@pytest.fixture
def table(images, tiny_run):
    """A function that writes a table of the phantom's images and returns its path."""
    frame = pd.read_csv(tiny_run / "manifest.csv", dtype=str, keep_default_na=False)
    names = ["/".join(path.split("/")[-3:]) for path in frame["path"]]
    rows = pd.DataFrame({"path": names, "label": frame["label"], "patient": frame["patient"]})

    def write(name="m.csv", change=lambda rows: rows, **options):
        path = images / name
        made = change(rows.copy())
        save = made.to_excel if path.suffix == ".xlsx" else made.to_csv
        save(path, index=False, **options)
        return path

    return write


def train(command, recipe_file, table, *more, positive="malignant"):
    data = {"manifest": str(table), **({"positive": positive} if positive else {})}
    recipe = recipe_file(data=data, drop=("dataset", "root", "options"))
    return command("train", recipe, "--plan", *more)


def split_line(result):
    assert result.status == 0, result.err
    return next(line for line in result.out.splitlines() if line.startswith("split"))


def hint(result, start):
    """What a complaint offers to type, from a word on up to a comma."""
    words = result.complaint.partition(start)[2].partition(",")[0]
    return shlex.split(start + words)


def test_a_spreadsheet_in_another_form_gives_the_same_split(command, recipe_file, table):
    expected = split_line(train(command, recipe_file, table()))
    semicolons = table("s.csv", sep=";", encoding="utf-8-sig", lineterminator="\r\n")
    assert split_line(train(command, recipe_file, semicolons)) == expected
    assert split_line(train(command, recipe_file, table("w.xlsx"))) == expected
    backslashes = table("b.csv", lambda rows: rows.replace({"path": {"/": "\\\\"}}, regex=True))
    result = train(command, recipe_file, backslashes)
    assert split_line(result) == expected
    assert "read as '/'" in result.err


def test_blanks_around_names_make_no_other_patient_or_class(command, recipe_file, table):
    def blanks(rows):
        odd = rows.index % 2 == 1
        rows.loc[odd, ["label", "patient"]] += " "
        return rows

    result = train(command, recipe_file, table("b.csv", blanks))
    assert split_line(result) == split_line(train(command, recipe_file, table()))
    assert "blanks around names removed" in result.err


def test_a_column_that_is_nearly_patient_stops_with_a_line_that_works(command, recipe_file, table):
    named = table("n.csv", lambda rows: rows.rename(columns={"patient": "Patient ID"}))
    result = train(command, recipe_file, named)
    assert result.status == 1
    mapped = train(command, recipe_file, named, *hint(result, "--set "))
    assert split_line(mapped) == split_line(train(command, recipe_file, table()))


def test_the_audit_and_an_evaluation_stop_likewise(command, table, tiny_run, tmp_path):
    named = table("n.csv", lambda rows: rows.rename(columns={"patient": "case_id"}))
    audit = ("data", "audit", named, "--quick")
    judge = ("evaluate", tiny_run, "--data", named, "-o")
    for number, line in enumerate((audit, (*judge, tmp_path / "a"))):
        result = command(*line)
        assert result.status == 1
        mapped = hint(result, "--patient ")
        assert mapped == ["--patient", "case_id"]
        line = audit if number == 0 else (*judge, tmp_path / f"b{number}")
        done = command(*line, *mapped)
        assert done.status == 0, done.err
        line = audit if number == 0 else (*judge, tmp_path / f"c{number}")
        assert command(*line, "--independent").status == 0


def test_columns_belong_to_external_data(command, tiny_run, tmp_path):
    result = command("evaluate", tiny_run, "--patient", "case", "-o", tmp_path / "a")
    assert result.status == 2
    assert "--data" in result.complaint


def test_classes_that_differ_by_case_stop_a_training(command, recipe_file, table):
    def title(rows):
        rows.loc[rows.index[::5], "label"] = rows["label"].str.title()
        return rows

    odd = table("t.csv", title)
    result = train(command, recipe_file, odd, positive=None)
    assert result.status == 1
    assert "'benign'" in result.complaint
    assert "'Benign'" in result.complaint
    distinct = ("--set", "data.alike_names=distinct")
    assert train(command, recipe_file, odd, *distinct, positive=None).status == 0


def test_magnifications_are_chosen_by_number(command, recipe_file, table):
    def magnify(rows):
        return rows.assign(magnification=["40X", "40 ", "40.0", "40"] * (len(rows) // 4))

    chosen = ("--set", 'data.magnifications=["40x"]')
    result = train(command, recipe_file, table("m.csv", magnify), *chosen)
    assert split_line(result) == split_line(train(command, recipe_file, table("n.csv")))


def test_check_reads_any_table(command, table):
    result = command("data", "check", table("w.xlsx"))
    assert result.status == 0, result.err
    assert "0 unreadable" in result.out


def test_the_same_patients_in_another_spelling_are_found(command, table, tiny_run, images):
    def respell(rows):
        return rows.assign(patient=rows["patient"].str.swapcase() + " ")

    spelled = table("s.csv", respell)
    for path in pd.read_csv(spelled)["path"]:  # other pictures of them
        image = Image.open(images / path)
        image.crop((2, 2, 60, 60)).resize((64, 64)).point(lambda value: value // 2).save(
            images / path
        )
    result = command("evaluate", tiny_run, "--data", spelled, "-o", images / "out")
    assert result.status == 0, result.err
    assert "are in both" in result.out
    own = pd.read_csv(tiny_run / "manifest.csv", dtype=str)
    patient = min(own["patient"][own["split"] != "test"])
    assert f"{patient!r} and {patient.swapcase()!r}" in result.out
    apart = shutil.copytree(tiny_run, images / "apart")
    recipe = (apart / "recipe.toml").read_text()
    (apart / "recipe.toml").write_text(
        recipe.replace('alike_names = "refuse"', 'alike_names = "distinct"')
    )
    list_run_files(RunFolder(apart))
    result = command("evaluate", apart, "--data", spelled, "-o", images / "out2")
    assert result.status == 0, result.err
    assert "model's training and outside" not in result.out
