"""Names that differ only in spelling, and the repair of groups, as a user meets them."""

import csv
import json
import shlex

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def write_table(tmp_path):
    """Write a manifest of noisy images, one per row ``(patient, split)``; returns its path."""

    def write(*rows, same=(), name="table.csv", columns=("patient", "split")):
        rng = np.random.default_rng(0)
        made = [rng.integers(0, 255, (48, 48, 3), dtype=np.uint8) for _ in rows]
        for a, b in same:
            made[b] = np.ascontiguousarray(made[a][:, ::-1])
        lines = [",".join(("path", "label", *columns))]
        for number, (row, image) in enumerate(zip(rows, made, strict=True)):
            smooth = Image.fromarray(image).resize((12, 12)).resize((96, 96))
            smooth.save(tmp_path / f"{number}.png")
            lines.append(",".join((f"{number}.png", "ab"[number // 2 % 2], *row)))
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return tmp_path / name

    return write


#: Ten patients with two classes in each, two spelled in two ways, in no split.
SPELLED = [(patient,) for p in range(8) for patient in [f"P{p:02d}"] * 4]
SPELLED[1] = ("p0",)


@pytest.fixture
def recipe(recipe_file):
    def write(table, **data):
        return recipe_file(
            data={
                "manifest": str(table), "positive": "b", "split": {"protocol": "grouped"}, **data,
            },
            drop=("dataset", "root"),
        )  # fmt: skip

    return write


def read(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_a_plan_shows_that_the_training_would_stop(command, write_table, recipe):
    table = write_table(*SPELLED, columns=("patient",))
    result = command("train", recipe(table), "--plan")
    assert result.status == 0
    assert "would stop" in result.err
    assert "--set data.repair=true" in result.err
    result = command("train", recipe(table), "--plan", "--allow-leak")
    assert "would stop" not in result.err


def test_a_training_shows_an_image_under_two_labels(command, write_table, recipe, tmp_path):
    patients = [(f"P{n // 4:02d}",) for n in range(32)]
    table = write_table(*patients, columns=("patient",))
    rows = table.read_text().splitlines()
    other = {"a": "b", "b": "a"}[rows[1].split(",")[1]]
    table.write_text("\n".join([*rows, f"0.png,{other},P00"]) + "\n")
    options = ("--set", "train.epochs=1", "-o", tmp_path / "run")
    result = command("train", recipe(table), *options)
    assert result.status == 0, result.err
    assert "Audit warning" in result.err
    assert "0.png" in result.err


def test_names_in_two_spellings_stop_a_strict_training_and_every_way_on_works(
    command, write_table, recipe, tmp_path
):
    table = write_table(*SPELLED, columns=("patient",))
    result = command("train", recipe(table), "-o", tmp_path / "run")
    assert result.status == 1
    assert "'P00'" in result.complaint
    assert "'p0'" in result.complaint
    assert not (tmp_path / "run").exists()
    for way in ("data.repair=true", "data.alike_names=distinct"):
        assert f"--set {way}" in result.complaint
        run = tmp_path / way.partition("=")[0]
        assert command("train", recipe(table), "--set", way, "-o", run).status == 0
    assert f"eosin data audit {shlex.quote(str(table))} --repair NEW.csv" in result.complaint
    new = tmp_path / "NEW.csv"
    assert command("data", "audit", table, "--quick", "--repair", new).status == 0
    run = tmp_path / "new"
    result = command("train", recipe(table), "--set", f"data.manifest={new}", "-o", run)
    assert result.status == 0


def test_a_repair_in_a_training_is_listed_and_audited(command, write_table, recipe, tmp_path):
    table = write_table(*SPELLED, same=[(4, 9)], columns=("patient",))
    run = tmp_path / "run"
    result = command("train", recipe(table), "-o", run)
    assert result.status == 1
    result = command("train", recipe(table, repair=True), "-o", run)
    assert result.status == 0
    assert "P00, p0" in result.err
    audit = json.loads((run / "audit.json").read_text())
    assert [f for f in audit["findings"] if f["severity"] == "leak"] == []
    kinds = {one["group"]: {link["kind"] for link in one["links"]} for one in audit["repair"]}
    assert kinds == {"P00": {"alike_names"}, "P01": {"near_duplicate"}}
    split_of = {row["group"]: row["split"] for row in read(run / "manifest.csv")}
    assert "P02" not in split_of
    assert "Repair merged 4 groups into 2" in (run / "report.html").read_text()
    assert command("train", "--resume", run).status == 0


def test_a_plan_lists_what_a_repair_joins_once(command, write_table, recipe):
    table = write_table(*SPELLED, same=[(4, 9)], columns=("patient",))
    result = command("train", recipe(table, repair=True), "--plan")
    assert result.status == 0
    lines = (result.out + result.err).splitlines()
    assert len([line for line in lines if line.startswith("Repair merged")]) == 1
    joined = [line for line in lines if line.startswith("merged ")]
    assert len(joined) == len(set(joined)) == 2


def test_a_repaired_table_joins_groups_and_keeps_the_rest(command, write_table, tmp_path):
    rows = [("P1",), ("p01",), ("P2",), ("P3",), ("",), ("",), ("",), ("P4",)]
    table = write_table(*rows, same=[(2, 3), (4, 5)], columns=("patient",))
    new = tmp_path / "sub" / "new.csv"
    result = command("data", "audit", table, "--quick", "--repair", new, "-o", tmp_path / "audit")
    assert result.status == 0
    assert "alike_names: 'P1' and 'p01'" in result.out
    found = read(new)
    assert [row["path"] for row in found] == [f"../{n}.png" for n in range(8)]
    assert [row["patient"] for row in found] == ["P1", "P1", "P2", "P3", "", "", "", "P4"]
    groups = [row["group"] for row in found]
    joined = groups[4]
    assert joined.startswith("joined-")
    assert groups == ["P1", "P1", "P2", "P2", joined, joined, "", "P4"]
    report = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert {one["group"] for one in report["repair"]} == {"P1", "P2", joined}
    assert not [f for f in report["findings"] if f["severity"] == "leak"]


def test_a_repaired_table_holds_the_user_s_own_columns_as_they_were(command, tmp_path, write_table):
    rows = [("P1", "s1", "40x "), ("p01", "s2", "40"), ("P2", "s3", "NA"), ("", "s4", "")]
    table = write_table(*rows, columns=("subtype", "slide", "magnification"))
    text = table.read_text().replace("path,label,subtype,", "file,label,pid,")
    text = text.replace("magnification\n", "magnification,kind\n").replace("png,b", "png, b")
    lines = text.splitlines()
    lines[1:] = [f"{line},{'xy'[n % 2]}" for n, line in enumerate(lines[1:])]
    table.write_text("\n".join(lines))
    columns = ("--label", "kind", "--path", "file", "--patient", "pid")
    new = tmp_path / "sub" / "new.csv"
    result = command("data", "audit", table, "--quick", "--repair", new, *columns)
    assert result.status == 0
    before, after = read(table), read(new)
    assert list(after[0]) == [*before[0], "group"]
    for column in ("label", "slide", "magnification", "kind"):
        assert [row[column] for row in after] == [row[column] for row in before]
    assert [row["file"] for row in after] == [f"../{n}.png" for n in range(4)]
    assert [row["pid"] for row in after] == ["P1", "P1", "P2", ""]
    assert [row["group"] for row in after] == ["P1", "P1", "P2", ""]
    assert command("data", "audit", new, "--quick", *columns).status == 0


@pytest.mark.parametrize(
    ("columns", "group", "written"),
    [
        (("patient", "batch"), "batch", "batch"),
        (("patient", "slide"), "patient", "group"),
        (("patient", "group"), "patient", "repaired_group"),
    ],
)
def test_joined_groups_are_written_where_they_hide_no_column(
    command, write_table, tmp_path, columns, group, written
):
    table = write_table(("P1", "g"), ("P2", "h"), ("P3", "k"), same=[(0, 1)], columns=columns)
    new = tmp_path / "new.csv"
    result = command("data", "audit", table, "--quick", "--repair", new, "--group", group)
    assert f"its groups are in the column {written!r}" in result.err
    before, after = read(table), read(new)
    assert len({row[written] for row in after}) == 2
    for column in {*before[0]} - {written}:
        kept = [row[column] for row in before]
        assert [row[column] for row in after] == kept


def test_a_split_that_separates_what_was_joined_is_named(command, write_table, tmp_path):
    table = write_table(("P1", "train"), ("P2", "train"), ("p1", "test"), ("P4", "test"))
    result = command("data", "audit", table, "--quick", "--repair", tmp_path / "new.csv")
    assert result.status == 1
    assert "P1 (train and test)" in result.out
    assert [row["split"] for row in read(tmp_path / "new.csv")] == ["train"] * 2 + ["test"] * 2


def test_rows_and_spellings_are_named(command, write_table):
    table = write_table(("P1", "train"), ("P2", "train"), ("p1", "test"), ("P4", "test"))
    result = command("data", "audit", table, "--quick")
    assert result.status == 1
    assert "'P1' in row 2; 'p1' in row 4" in result.out
    result = command("data", "audit", table, "--quick", "--pseudonymise")
    assert "'p1'" not in result.out
    header, first, *rest = table.read_text().splitlines(keepends=True)
    table.write_text("".join([header, "\n", first, "\n", *rest]))
    assert "'P1' in row 3; 'p1' in row 6" in command("data", "audit", table, "--quick").out


@pytest.mark.parametrize(
    ("options", "status"),
    [(("--repair", "table.csv"), 1), (("--repair", "new.txt"), 2),
     (("--repair", "new.csv", "--pseudonymise"), 2)],
)  # fmt: skip
def test_what_a_repair_refuses(command, write_table, tmp_path, monkeypatch, options, status):
    monkeypatch.chdir(tmp_path)
    table = write_table(("P1", "train"), ("P2", "test"))
    before = table.read_bytes()
    result = command("data", "audit", table, "--quick", *options)
    assert result.status == status
    assert result.complaint
    assert table.read_bytes() == before
