"""Tables as people save them: which are read, and which cause of a failure is named."""

import gzip

import pandas as pd
import pytest

from eosin.artifacts.tables import NOTES, is_table, read_table, row_number
from eosin.core.errors import ManifestError

ROWS = [["path", "label", "patient"], ["a.png", "benign", "Müller"], ["b.png", "x", "007"]]


def lines(separator=",", end="\n"):
    return end.join(separator.join(row) for row in ROWS) + end


@pytest.fixture
def save(tmp_path):
    """A function that writes a file and returns its path."""

    def write(data, name="m.csv"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


@pytest.mark.parametrize(
    "data",
    [
        lines(),
        lines().encode("utf-8-sig"),
        lines(";").encode("utf-8-sig"),
        lines("\t"),
        lines("|", "\r\n").encode("cp1252"),
        lines(end="\r\n"),
        lines(end="\r"),
        "sep=;\n" + lines(";"),
        '\ufeff"sep=;"\r\n' + lines(";", "\r\n"),
        "sep=,\r\n" + lines(),
        lines("\t").encode("utf-16"),
        lines().encode("utf-16-be"),
        lines().encode("cp1252"),
        lines(", "),
        lines().replace("\n", ",,\n"),
        lines().replace("patient\n", "patient,,\n"),
        "\n\n" + lines().replace("\nb", "\n\n,,\nb"),
        lines().rstrip(),
        lines().replace("Müller", '"Müller"'),
    ],
)
def test_text_in_any_usual_form_is_one_table(save, data):
    frame = read_table(save(data))
    assert list(frame) == ROWS[0]
    assert frame.to_numpy().tolist() == ROWS[1:]


def test_the_contents_decide_and_not_the_name(save, tmp_path):
    table = pd.DataFrame(ROWS[1:], columns=ROWS[0])
    table.to_excel(tmp_path / "m.xlsx", index=False)
    table.set_index("path").to_parquet(tmp_path / "m.parquet")
    save((tmp_path / "m.xlsx").read_bytes(), "workbook.csv")
    save((tmp_path / "m.parquet").read_bytes(), "parquet.csv")
    save(gzip.compress(lines().encode()), "m.csv.gz")
    for name in ("m.xlsx", "workbook.csv", "m.parquet", "parquet.csv", "m.csv.gz"):
        frame = read_table(tmp_path / name)
        assert frame[ROWS[0]].to_numpy().tolist() == ROWS[1:], name


def test_typed_cells_become_the_text_that_a_user_sees(tmp_path):
    table = pd.DataFrame(
        {
            "patient": [7.0, None, 12.0],
            "text": ["007", "7.0", "NA"],
            "mpp": [0.25, 1.0, None],
            "day": [pd.Timestamp("2024-01-31"), pd.NaT, pd.Timestamp("2024-01-31 12:30")],
        }
    )
    table.to_excel(tmp_path / "m.xlsx", index=False)
    table.to_parquet(tmp_path / "m.parquet")
    for name in ("m.xlsx", "m.parquet"):
        found = read_table(tmp_path / name)
        assert list(found["patient"]) == ["7", "", "12"]
        assert list(found["text"]) == ["007", "7.0", "NA"]
        assert list(found["mpp"]) == ["0.25", "1", ""]
        assert list(found["day"]) == ["2024-01-31", "", "2024-01-31T12:30:00"]


def test_the_one_sheet_with_a_table_is_read(tmp_path):
    table = pd.DataFrame(ROWS[1:], columns=ROWS[0])
    for name, sheets in (("one.xlsx", ["data"]), ("two.xlsx", ["data", "old"])):
        with pd.ExcelWriter(tmp_path / name) as book:
            pd.DataFrame({"about": ["by me"]}).to_excel(book, sheet_name="about", index=False)
            for sheet in sheets:
                table.to_excel(book, sheet_name=sheet, index=False, startrow=2)
    frame = read_table(tmp_path / "one.xlsx")
    assert list(frame["path"]) == ["a.png", "b.png"]
    assert row_number(frame, 0) == 4
    with pytest.raises(ManifestError, match="'data', 'old'"):
        read_table(tmp_path / "two.xlsx")


def test_rows_are_numbered_as_a_spreadsheet_shows_them(save):
    frame = read_table(save("path,label\n\na,x\n,\nb,y\n"))
    assert [row_number(frame, position) for position in (0, 1)] == [3, 5]


def test_a_guess_of_the_encoding_is_noted(save):
    assert read_table(save(lines())).attrs[NOTES] == []
    assert "Windows-1252" in read_table(save(lines().encode("cp1252"))).attrs[NOTES][0]


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"PK\x03\x04" + bytes(range(256)), "like a workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(999), "like a workbook"),
        (b"PAR1 and no more", "cannot be read"),
        ("\n<!DOCTYPE html><html>", "an HTML page"),
        ("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (bytes(range(256)), "a binary file"),
        (b"path,label\n\x81,x\n", "encoding"),
        ("path,label\na,x\nb,y,z\n", "row 3 has 3 cells"),
        ("Export of 1 May\npath,label\na,x\n", r"row 2 has 2 cells.* names of its columns"),
        ("# by me\npath,label\na,x\n", r"row 2 has 2 cells.* names of its columns"),
        ("path,label\n\na\nb,x\n", "row 3 has 1 cell"),
        ("path,label,patient\na,x,1\nb,y", "truncated in row 3"),
        ("path,label,label \na,x,y\n", "more than one column called 'label'"),
        ("path,label\na,x\nPath ,label\npath,label \n", "row 4 repeats the header"),
        ('path,label\n"a,x\nb,y\n', "quotes"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_cause(save, data, cause):
    with pytest.raises(ManifestError, match=cause) as caught:
        read_table(save(data))
    assert "\n" not in str(caught.value)


def test_a_truncated_archive_is_refused(save):
    with pytest.raises(ManifestError, match="cannot be read"):
        read_table(save(gzip.compress(lines().encode())[:-6], "m.csv.gz"))


def test_endings_of_tables(tmp_path):
    assert all(is_table(tmp_path / f"m{end}") for end in (".csv", ".TSV", ".xlsx", ".csv.gz"))
    assert not any(is_table(tmp_path / name) for name in ("m.png", "m", "m.tif.gz", "m.h5"))


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("rows", [["a,x,1"], ["a,x,1", "b,y,2"], ["a,x,1,", "b,y,2,"]])
def test_a_header_that_ends_in_separators_does_not_make_rows_cut_off(save, rows, end):
    table = read_table(save("\n".join(["path,label,patient,,", *rows]) + end))
    assert list(table.columns) == ["path", "label", "patient"]
    assert len(table) == len(rows)


def test_a_row_that_is_shorter_than_all_others_is_cut_off(save):
    with pytest.raises(ManifestError, match="truncated in row 3: it has 3 of 5 cells"):
        read_table(save("path,label,patient,,\na,x,12,,\nb,y,1"))
