"""What ``predict`` takes and writes: tables, the record beside the predictions, no lost work."""

import io
import json
import shlex
import shutil
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tests.facts import tells

import eosin
from eosin.artifacts import outputs
from eosin.artifacts.predictions import PredictionRecord
from eosin.artifacts.versioned import read_document
from eosin.core.files import sha256_file

MINE = "path,label,patient\nx.png,benign,P01\n"


@pytest.fixture
def two(images):
    """The paths of two images of one class, and of one of the other."""
    benign, malignant = (sorted((images / name).rglob("*.png")) for name in ("benign", "malignant"))
    return [*benign[:2], malignant[0]]


def test_the_record_beside_the_table_names_model_engine_and_threshold(
    command, model, images, two, cut, tmp_path
):
    cut(two[0])
    output = tmp_path / "out" / "preds.csv"
    result = command("predict", model, images / "benign", "-o", output)
    assert result.status == 1
    record = read_document(output.with_name("preds.json"), PredictionRecord)
    info = json.loads((model / "model.json").read_text())
    table = pd.read_csv(output)
    assert (record.table, record.table_sha256) == ("preds.csv", sha256_file(output))
    assert record.model == "model"
    assert record.model_sha256 == sha256_file(model / "model.json")
    assert record.weights_sha256 == info["weights_sha256"]
    assert record.network_sha256 == sha256_file(model / "model.onnx")
    assert record.threshold.value == info["threshold"]["value"]
    assert record.threshold.source == info["threshold"]["source"]
    assert record.temperature == info["temperature"]
    assert (record.n_images, record.n_skipped) == (len(table), 1)
    assert record.n_abstained == table["abstained"].sum()
    assert record.inputs == [str(images / "benign")]
    assert datetime.fromisoformat(record.started).utcoffset().total_seconds() == 0
    assert record.seconds > 0
    # The engine is printed, too: ONNX Runtime here, NumPy where there is no ONNX file.
    assert record.engine.startswith("ONNX Runtime ")
    assert record.engine in result.err


def test_under_pseudonyms_no_path_is_recorded(command, model, two, tmp_path):
    output = tmp_path / "preds.csv"
    assert command("predict", model, *two, "--pseudonymise", "-o", output).status == 0
    text = (tmp_path / "preds.json").read_text()
    assert json.loads(text)["inputs"] is None
    assert str(tmp_path) not in text
    assert two[0].stem not in text


@pytest.fixture
def unlabelled(images, tmp_path):
    """A folder of TIFF files without labels, as Kaggle's ``test/`` of PatchCamelyon."""
    folder = tmp_path / "test"
    folder.mkdir()
    for number, path in enumerate(sorted(images.rglob("*.png"))[:12]):
        with Image.open(path) as image:
            image.save(folder / f"{number:040x}.tif")
    return folder


def test_a_submission_has_an_id_and_a_probability_of_the_positive_class(
    command, model, unlabelled, tmp_path
):
    output, plain = tmp_path / "submission.csv", tmp_path / "plain.csv"
    line = ("predict", model, unlabelled, "--format", "kaggle", "-o", output)
    assert command(*line).status == 0
    assert command("predict", model, unlabelled, "-o", plain).status == 0
    table, full = pd.read_csv(output), pd.read_csv(plain)
    assert list(table.columns) == ["id", "label"]
    assert list(table["id"]) == [Path(path).stem for path in full["path"]]
    positive = json.loads((model / "model.json").read_text())["positive"]
    assert list(table["label"]) == list(full[f"prob_{positive}"])
    record = read_document(output.with_name("submission.json"), PredictionRecord)
    assert (record.table_sha256, record.n_images) == (sha256_file(output), 12)
    # A submission is replaced by the next one, a foreign table of these columns is not.
    assert command(*line).status == 0
    output.with_name("submission.json").unlink()
    assert command(*line).status == 1
    # Without a file it is printed.
    assert command("predict", model, unlabelled, "--format", "kaggle").out == output.read_text()


def test_an_unreadable_image_is_left_out_of_a_submission_and_listed(
    command, model, unlabelled, cut, tmp_path
):
    broken = sorted(unlabelled.iterdir())[0]
    cut(broken)
    output = tmp_path / "s.csv"
    assert command("predict", model, unlabelled, "--format", "kaggle", "-o", output).status == 1
    assert len(pd.read_csv(output)) == 11
    assert list(pd.read_csv(tmp_path / "s.skipped.csv")["path"]) == [str(broken)]


def test_what_makes_no_submission_is_refused_by_its_name(
    command, model, run_of, unlabelled, tmp_path
):
    submit = ("--format", "kaggle", "-o", tmp_path / "s.csv")
    three = command("predict", run_of("three classes") / "model", unlabelled, *submit)
    assert three.status == 2
    assert tells(three.complaint, "two classes", "a_1")
    twin = tmp_path / "again" / sorted(unlabelled.iterdir())[0].name
    twin.parent.mkdir()
    shutil.copy(unlabelled / twin.name, twin)
    result = command("predict", model, unlabelled, twin, *submit)
    assert result.status == 1
    assert tells(result.complaint, twin.stem, str(unlabelled / twin.name), str(twin))
    for wrong in (
        ("--format", "kagle"),
        (*submit, "--pseudonymise"),
        ("--format", "kaggle", "-o", tmp_path / "s.parquet"),
        ("--format", "parquet"),
    ):
        result = command("predict", model, unlabelled, *wrong)
        assert result.status == 2, wrong
        assert "\n" not in result.complaint.strip()
    assert not list(tmp_path.glob("s.*"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_two_predictions_in_one_folder_keep_their_own_lists(
    command, model, images, two, cut, tmp_path, suffix
):
    out = tmp_path / "out"
    cut(two[0])
    for name in ("benign", "malignant", "benign"):
        command("predict", model, images / name, "-o", out / f"{name}{suffix}")
    listed = pd.read_csv(out / "benign.skipped.csv")
    assert list(listed["path"]) == [str(two[0])]
    assert {path.name for path in out.iterdir()} == {
        f"benign{suffix}", "benign.json", "benign.skipped.csv", f"malignant{suffix}",
        "malignant.json",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["p.csv", "p.json", "p.skipped.csv"])
@pytest.mark.parametrize("content", [MINE, "path,reason\nmine,kept by hand\n", "my own notes\n"])
def test_a_file_that_is_no_older_prediction_is_not_overwritten_unasked(
    command, model, two, tmp_path, name, content
):
    mine = tmp_path / "a folder" / name
    mine.parent.mkdir()
    mine.write_text(content)
    line = ("predict", model, two[0], "-o", mine.parent / "p.csv")
    result = command(*line)
    assert result.status == 1
    assert f"{mine} exists" in result.complaint
    assert [path.name for path in mine.parent.iterdir()] == [name]
    assert mine.read_text() == content
    # What the hint offers works.
    assert "--overwrite" in result.complaint
    assert command(*line, "--overwrite").status == 0
    assert len(pd.read_csv(mine.parent / "p.csv")) == 1
    assert not (mine.parent / "p.skipped.csv").exists()


def test_a_table_with_columns_of_the_user_s_own_is_not_an_older_prediction(
    command, model, two, tmp_path
):
    output = tmp_path / "p.csv"
    line = ("predict", model, two[0], "-o", output)
    assert command(*line).status == 0
    assert command(*line).status == 0
    pd.read_csv(output).assign(comment="seen by hand").to_csv(output, index=False)
    result = command(*line)
    assert result.status == 1
    assert "is not an earlier table" in result.complaint


def test_the_table_that_is_predicted_is_never_overwritten(command, model, two, tmp_path):
    table = tmp_path / "mine.csv"
    pd.DataFrame({"path": [str(path) for path in two], "note": "mine"}).to_csv(table, index=False)
    before = table.read_text()
    for options in ((), ("--overwrite",)):
        result = command("predict", model, table, "-o", table, *options)
        assert result.status == 2
        assert "--overwrite" not in result.complaint
        assert table.read_text() == before


def test_a_record_whose_table_was_removed_does_not_stop_the_next_prediction(
    command, model, two, tmp_path
):
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    line = ("predict", model, two[0], broken, "--allow-skipped", "-o", tmp_path / "p.csv")
    assert command(*line).status == 0
    (tmp_path / "p.csv").unlink()
    assert {path.name for path in tmp_path.glob("p.*")} == {"p.json", "p.skipped.csv"}
    assert command(*line).status == 0
    assert (tmp_path / "p.csv").exists()


def test_the_record_of_another_table_of_the_same_name_is_kept(command, model, two, tmp_path):
    assert command("predict", model, two[0], "-o", tmp_path / "p.csv").status == 0
    result = command("predict", model, two[0], "-o", tmp_path / "p.parquet")
    assert result.status == 1
    assert "does not belong to p.parquet" in result.complaint


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_of_images_is_predicted_as_the_images_are(
    command, model, images, two, tmp_path, suffix
):
    folder = tmp_path / "tables"
    folder.mkdir()
    rows = [f"../images/{path.relative_to(images).as_posix()}" for path in two]
    # No label; a further column; in no order.
    frame = pd.DataFrame({"case": ["007", "7", "x"], "path": rows[::-1]})
    table = folder / f"unlabelled{suffix}"
    if suffix == ".csv":
        frame.to_csv(table, index=False)
    else:
        frame.to_parquet(table, index=False)
    assert command("predict", model, *two, "-o", tmp_path / "one.csv").status == 0
    result = command("predict", model, table, "-o", tmp_path / "two.csv")
    assert result.status == 0, result.err
    one, two_ = pd.read_csv(tmp_path / "one.csv"), pd.read_csv(tmp_path / "two.csv")
    assert [path.rsplit("/", 1)[1] for path in two_["path"]] == [path.name for path in two[::-1]]
    probabilities = ["prob_benign", "prob_malignant"]
    found = two_[probabilities].to_numpy()[::-1]
    assert found == pytest.approx(one[probabilities].to_numpy(), abs=1e-6)
    # A table and an image in one line.
    result = command("predict", model, table, two[0])
    assert result.status == 0
    assert len(result.out.splitlines()) == 1 + 4


def test_every_format_has_the_same_numbers(command, model, two, tmp_path):
    rows = json.loads(command("predict", model, *two, "--json").out)["predictions"]
    printed = pd.read_csv(io.StringIO(command("predict", model, *two).out))
    tables = [printed]
    for name in ("one.csv", "two.parquet"):
        assert command("predict", model, *two, "-o", tmp_path / name).status == 0
        read = pd.read_csv if name.endswith("csv") else pd.read_parquet
        tables.append(read(tmp_path / name))
    for column in ("prob_benign", "prob_malignant"):
        for table in tables:
            assert list(table[column]) == [row[column] for row in rows]
    assert [row["abstained"] for row in rows] == list(printed["abstained"])


def test_a_table_that_names_no_images_is_refused_by_its_column(command, model, tmp_path):
    table = tmp_path / "train labels.csv"
    table.write_text("id,label\n1,benign\n")
    result = command("predict", model, table)
    assert result.status == 1
    assert "the column 'path' is missing" in result.complaint


def test_a_table_of_another_scale_is_refused(command, model, two, tmp_path):
    info = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**info, "mpp": 0.5}))
    table = tmp_path / "table.csv"
    pd.DataFrame({"path": map(str, two), "mpp": "0.5"}).to_csv(table, index=False)
    assert command("predict", model, table).status == 0
    pd.DataFrame({"path": map(str, two), "mpp": "2"}).to_csv(table, index=False)
    result = command("predict", model, table)
    assert result.status == 1
    assert "µm per pixel" in result.complaint


def test_a_model_file_of_another_training_is_refused_by_every_verb(
    command, model, tiny_run, two, tmp_path
):
    run = shutil.copytree(tiny_run, tmp_path / "a run")
    info = run / "model" / "model.json"
    # One that `compare` does not take for the same.
    info.write_text(json.dumps({**json.loads(info.read_text()), "weights_sha256": "0" * 64}))
    network = run / "model" / "model.onnx"
    network.write_bytes(network.read_bytes() + b"\0")
    for line in (
        ("predict", run, two[0]),
        ("evaluate", run, "-o", tmp_path / "e"),
        ("evaluate", run / "model", "--data", run / "manifest.csv", "-o", tmp_path / "e"),
        ("ensemble", run, tiny_run, "-o", tmp_path / "e"),
        ("compare", run, tiny_run, "-o", tmp_path / "c"),
        ("report", run, "--pseudonymise", "-o", tmp_path / "r"),
    ):
        result = command(*line)
        assert result.status == 1, line
        assert f"{network} is not the file" in result.complaint, line
    assert not (tmp_path / "e").exists()


def test_an_edited_card_is_warned_of_and_made_again_by_the_line_that_the_hint_names(
    command, tiny_run, two, tmp_path
):
    run = shutil.copytree(tiny_run, tmp_path / "a run")
    (run / "model" / "card.md").write_text("Validated at our site.")
    (run / "model" / "card.html").unlink()
    result = command("predict", run, two[0])
    assert result.status == 0
    (line,) = [one for one in result.err.splitlines() if one.startswith("warning: ")]
    verb = shlex.split(line.rpartition("again: eosin ")[2])
    assert command(*verb).status == 0
    assert "warning: " not in command("predict", run, two[0]).err


def test_an_older_model_is_warned_of_once(command, folds_run, two, tmp_path):
    run = shutil.copytree(folds_run, tmp_path / "run")
    for path in run.rglob("model.json"):
        values = json.loads(path.read_text())
        values.pop("files")
        path.write_text(json.dumps(values))
    result = command("predict", run, two[0])
    assert result.status == 0
    assert result.err.count("lists no checksums") == 1
    result = command("evaluate", run, "--split", "oof", "-o", tmp_path / "e")
    assert result.status == 0, result.err
    assert result.err.count("warning: ") == 1


FORMATS = ["csv", "parquet", "json", "jsonl"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_the_same_table(command, model, two, name, tmp_path):
    expected = eosin.predict(model, two).table
    output = tmp_path / f"p.{name}"
    made = eosin.predict(model, two, output=output)
    pd.testing.assert_frame_equal(made.table, expected, check_dtype=False, rtol=1e-15)
    assert made.table["abstained"].dtype == bool
    assert made.record.decisions == expected["decision"].value_counts().to_dict()
    record = read_document(made.files.record, PredictionRecord)
    assert (record.table, record.table_sha256) == (output.name, sha256_file(output))
    # A second prediction replaces the first.
    assert command("predict", model, two[0], "-o", output).status == 0
    assert len(eosin.predict(model, two[0], output=output).table) == 1


def test_json_is_printed_as_it_is_written(command, model, two, tmp_path):
    for name in ("json", "jsonl"):
        output = tmp_path / f"{name}.{name}"
        assert command("predict", model, *two, "-o", output).status == 0
        printed = command("predict", model, *two, "--format", name).out
        assert printed == output.read_text()
    rows = json.loads((tmp_path / "json.json").read_text())
    assert rows == [json.loads(line) for line in printed.splitlines()]
    assert [row["path"] for row in rows] == [str(path) for path in two]
    assert type(rows[0]["abstained"]) is bool


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_written_by_parts(name, tmp_path):
    parts = [
        pd.DataFrame({"path": ["a", "b\r"], "prob_x": [0.1, 1 / 3], "abstained": [True, False]}),
        pd.DataFrame({"path": ["Größe"], "prob_x": [1e-30], "abstained": [False]}),
    ]
    path = tmp_path / f"rows.{name}"
    with outputs.writing_rows(path) as write:
        for part in parts:
            write(part)
    found = outputs.read_rows(path)
    pd.testing.assert_frame_equal(found, pd.concat(parts, ignore_index=True), check_dtype=False)


@pytest.mark.parametrize("name", FORMATS)
def test_what_fails_midway_leaves_the_earlier_file(name, tmp_path):
    path = tmp_path / f"rows.{name}"
    path.write_text("earlier")
    with pytest.raises(KeyboardInterrupt):
        write_one_and_stop(path)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def write_one_and_stop(path):
    with outputs.writing_rows(path) as write:
        write(pd.DataFrame({"path": ["a"], "prob_x": [0.1], "abstained": [True]}))
        raise KeyboardInterrupt


PEAK = """
import resource, sys, eosin
result = eosin.predict(sys.argv[1], sys.argv[2], output=sys.argv[3])
print(result.record.n_images, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_times_the_files_take_no_more_memory(process, model, two, tmp_path):
    """Only the names stay: some hundred bytes an image, where the pixels of one are 12 kB."""
    peaks = []
    for count in (1_500, 15_000):
        folder = tmp_path / f"{count}"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.png").hardlink_to(two[0])
        done = process(PEAK, model, folder, tmp_path / f"{count}.csv", timeout=300)
        n_images, kilobytes = map(int, done.out.split())
        assert n_images == count
        peaks.append(kilobytes)
    assert peaks[1] - peaks[0] < 12_000
