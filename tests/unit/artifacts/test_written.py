"""Tables that Eosin writes come back as they were; what users bring is a table or is refused."""

import bz2
import csv
import gzip
import io
import os
import threading
import zipfile
from contextlib import suppress

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from eosin.artifacts import bounds
from eosin.artifacts.manifest import (
    csv_text,
    make_samples,
    read_manifest,
    read_written,
    write_table,
)
from eosin.artifacts.tables import is_table, read_table
from eosin.core.errors import ArtifactError, ManifestError

ODD = "\r\n\t,;\"'=+-@|# \u00a0\ufeff\u2028\u0085é\x0b\x1f"
CELLS = st.text(st.sampled_from("ab1" + ODD), max_size=8)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that examples share."""
    return tmp_path_factory.mktemp("tables")


@given(ROWS)
@example([("a\rb.png", "x\n", "'")])
@example([("=1+1", "-1.5", "@x"), ("\r", "\r\n", " ")])
@settings(max_examples=60)
def test_every_reader_gets_the_cells_that_were_written(folder, rows):
    frame = pd.DataFrame(rows, columns=["path", "label", "n\rote"], dtype=object)
    frame["prob"] = [n / 3 for n in range(len(frame))]
    path = folder / "t.csv"
    write_table(path, frame)
    expected = [list(map(str, row)) for row in frame.to_numpy()]
    assert [list(row) for row in read_written(path).to_numpy()] == expected
    assert read_written(path).columns.tolist() == frame.columns.tolist()
    with path.open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream))[1:] == expected
    result = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert [list(row) for row in result.to_numpy()] == expected
    write_table(folder / "t.parquet", frame)
    pd.testing.assert_frame_equal(
        read_written(folder / "t.parquet").astype(object), frame.astype(object)
    )


@given(
    st.lists(st.text(st.sampled_from("ab" + ODD), min_size=1, max_size=8), min_size=2, max_size=5)
)
@settings(max_examples=40)
def test_the_reader_of_users_tables_gets_them_too(folder, names):
    frame = pd.DataFrame({"path": [f"x{n}.png" for n in names], "label": "a", "note": names})
    write_table(folder / "u.csv", frame)
    assert list(read_table(folder / "u.csv")["note"]) == names
    assert list(read_table(folder / "u.csv")["path"]) == list(frame["path"])


def test_numbers_are_not_quoted_and_plain_tables_look_as_ever():
    frame = pd.DataFrame({"path": ["a,b", "c"], "p": [0.5, -1.5]})
    assert csv_text(frame) == 'path,p\n"a,b",0.5\nc,-1.5\n'
    assert csv_text(frame.assign(path=["a\r", "b"])) == '"path","p"\n"a\r",0.5\n"b",-1.5\n'


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_name_that_is_no_text_is_written_escaped(tmp_path, name):
    write_table(tmp_path / name, pd.DataFrame({"path": ["tum\udcf6r.png"]}, dtype=object))
    assert list(read_written(tmp_path / name)["path"]) == ["tum\\xf6r.png"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"path,label\na,b", "truncated"),
        (b"path,label\na,b\nc\n", "row 3"),
        (b"path,label,path\na,b,c\n", "'path'"),
        (b'path,label\na,"b\n', "end of data"),
        (b"path,label\na,b\0\n", "NUL"),
        (b"path,label\na,\xff\n", "utf-8"),
        (b"\0" * 30, "truncated"),
        (b"path,label\n" + b"a" * 200_000 + b",b\n", "field"),
    ],
)
def test_a_damaged_table_of_a_run_is_named(tmp_path, data, reason):
    path = tmp_path / "history.csv"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=rf"history\.csv .*{reason}"):
        read_written(path)


@pytest.mark.parametrize("column", ["label", "magnification"])
@pytest.mark.parametrize("odd", ["tum\tour", "tum\nour", "x" * 1001], ids=["tab", "line", "long"])
def test_a_class_that_no_model_could_name_is_refused_with_its_row(tmp_path, column, odd):
    rows = {"path": ["a", "b"], "label": ["x", "y"], "magnification": ["40", "40"]}
    rows[column][1] = odd
    pd.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(ManifestError, match=f"the {column} of row 3 is"):
        read_manifest(tmp_path / "m.csv")


def test_a_table_of_ours_that_is_only_large_is_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("EOSIN_MAX_CELLS", "5")
    (tmp_path / "predictions.csv").write_text("path\n" + "a" * 200 + "\n")
    with pytest.raises(ArtifactError, match="EOSIN_MAX_CELLS") as caught:
        read_written(tmp_path / "predictions.csv")
    assert "damaged" not in str(caught.value)


def test_damaged_parquet_is_named(tmp_path):
    write_table(tmp_path / "a.parquet", pd.DataFrame({"path": ["a"] * 500}))
    whole = (tmp_path / "a.parquet").read_bytes()
    for data in (b"", b"PAR1", whole[: len(whole) // 2], whole[:-9] + b"\xff" * 9, b"\0" * 99):
        (tmp_path / "b.parquet").write_bytes(data)
        with pytest.raises(ArtifactError, match=r"b\.parquet"):
            read_written(tmp_path / "b.parquet")


VALID = (
    b"path,label,patient\na.png,x,1\nb.png,y,2\n",
    b'\xef\xbb\xbfpath;label;mpp\r\n"a;1.png";x;0.5\r\nb.png;y;\r\n',
    "path\tlabel\tsplit\na.png\tx\ttrain\nb.png\ty\ttest\n".encode("utf-16"),
    b"path,label\nx.h5#1,a\nx.h5#2,b\n",
    b"path,label\na|b,x\nc|d,y\n",
)


@given(st.data())
@settings(max_examples=150)
def test_altered_bytes_are_a_manifest_or_are_refused(folder, data):
    if data.draw(st.booleans()):
        text = bytearray(data.draw(st.sampled_from(VALID)))
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(text)))
            piece = data.draw(st.binary(max_size=6) | st.sampled_from([b"\r", b'"', b"\0", b"#"]))
            text[place : place + data.draw(st.integers(0, 4))] = piece
    else:
        start = data.draw(
            st.sampled_from([b"", b"PAR1", b"PK\x03\x04", b"\xff\xfe", b"path,label\n"])
        )
        text = start + data.draw(st.binary(max_size=60))
    path = folder / data.draw(st.sampled_from(["m.csv", "m.csv.gz", "m.xlsx", "m.csv.xz"]))
    path.write_bytes(bytes(text))
    with suppress(ManifestError):
        samples = read_manifest(path, allow_one_class=True)
        assert len(samples) > 0
        assert all(samples.frame["path"].str.strip())


def test_what_a_table_unpacks_to_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setenv("EOSIN_MAX_CELLS", "37449")  # 1 MiB
    zeros = b"path,label\n" + bytes(1 << 22)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(zeros))
    (tmp_path / "a.csv.bz2").write_bytes(bz2.compress(zeros))
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", zeros)
    text = pa.array(["a" * 1000]).dictionary_encode().take(pa.array([0] * 50_000))
    parquet.write_table(pa.table({"path": text, "label": text}), tmp_path / "a.parquet")
    with (tmp_path / "sparse.csv").open("wb") as stream:
        stream.truncate(1 << 40)
    for name in ("a.csv.gz", "a.csv.bz2", "a.xlsx", "a.parquet", "sparse.csv"):
        with pytest.raises(ManifestError, match=rf"{name} is too large"):
            read_table(tmp_path / name)


SHEET = '<worksheet><sheetData><row r="1"><c r="A1"/></row><row r="{r}"><c r="{c}{r}"/></row>'
ODS_CELL = '<table:table-cell table:number-columns-repeated="{c}"><text:p>x</text:p>'


@pytest.mark.parametrize(
    ("member", "text"),
    [
        ("xl/worksheets/sheet1.xml", SHEET.format(c="XFD", r=1_048_576)),
        (
            "content.xml",
            f'<table:table-row table:number-rows-repeated="1048576">{ODS_CELL.format(c=16_384)}',
        ),
    ],
)
def test_a_sheet_that_says_it_is_huge_is_refused(tmp_path, member, text):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr(member, text)
    with pytest.raises(ManifestError, match="cells in a sheet"):
        read_table(tmp_path / "a.xlsx")


def test_empty_cells_that_a_sheet_ends_in_do_not_count():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        rest = '<table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
        rows = f"<table:table-row><table:table-cell><text:p>x</text:p></table:table-cell>{rest}"
        rows += f'<table:table-row table:number-rows-repeated="1048570">{rest}'
        archive.writestr("content.xml", rows)
    bounds.check_workbook("a.ods", data.getvalue())


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**31 - 1], pa.date32()),
        pa.array([2**62], pa.timestamp("us")),
        pa.array([2**40], pa.timestamp("us", tz="Mars/Phobos")),
        pa.array([b"\xff\xfe"]).view(pa.string()),
    ],
)
def test_parquet_values_that_have_no_text_are_refused(tmp_path, column):
    parquet.write_table(pa.table({"path": column, "label": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(ManifestError, match=r"a\.parquet"):
        read_table(tmp_path / "a.parquet")


@pytest.mark.parametrize("cell", ["a\0b.png", "a\udce9.png", "x.h5#" + "1" * 5000])
def test_cells_that_name_no_image_are_refused(tmp_path, cell):
    frame = pd.DataFrame({"path": [cell, "b.png"], "label": ["a", "b"]}, dtype=object)
    with pytest.raises(ManifestError, match=r"row 2|whole number"):
        make_samples(frame, root=tmp_path)


def test_a_path_too_long_for_a_file_is_read(tmp_path):
    (tmp_path / "m.csv").write_text(f"path,label\n{'a' * 5000}.png,b\n{'é' * 300}/x.png,c\n")
    assert len(read_manifest(tmp_path / "m.csv")) == 2


def test_more_columns_than_a_table_has_are_refused(tmp_path):
    (tmp_path / "m.csv").write_text(",".join(map(str, range(20_000))) + "\n")
    with pytest.raises(ManifestError, match="columns"):
        read_table(tmp_path / "m.csv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read_where_the_user_names_it_and_refused_elsewhere(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ManifestError, match="pipe"):
        read_table(pipe)
    with pytest.raises(ArtifactError, match="pipe"):
        read_manifest(pipe, verbatim=True)
    assert is_table(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("path,label\na,b\nc,d\n",))
    writer.start()
    samples = read_manifest(pipe)
    writer.join()
    assert len(samples) == 2
    assert str(samples.root) == "."
    os.mkfifo(tmp_path / "x.png")
    assert not is_table(tmp_path / "x.png")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs devices")  # noqa: PTH110
def test_a_device_is_no_table(tmp_path):
    (tmp_path / "m.csv").symlink_to("/dev/zero")
    for read in (read_manifest, read_table):
        with pytest.raises(ManifestError, match="device"):
            read(tmp_path / "m.csv")
