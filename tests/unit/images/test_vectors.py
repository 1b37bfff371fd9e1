"""Tables of features: what is read, what is refused, and which row is whose."""

import os
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from eosin.artifacts.manifest import make_samples
from eosin.core.errors import ArtifactError, DataError
from eosin.engine.weights import read_weights
from eosin.images.vectors import match_rows, read_features

VALUES = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
CELLS = [f"b/{name}.png" for name in "vwxyz"]


@pytest.fixture
def frame():
    """Five rows of three features, beside what a manifest has."""
    columns = {"path": CELLS, "label": [0, 1, 0, 1, 0], "patient": [7, 7, 8, 8, 9]}
    features = {f"f{place}": VALUES[:, place] for place in (2, 0, 1)}
    return pd.DataFrame({**columns, **features, "remark": list("abcde"), "seen": [True] * 5})


@pytest.fixture
def write(tmp_path, frame):
    """A function that writes the table, some of its columns changed."""

    def make(suffix=".parquet", *, index=False, before=0, **changed):
        path, table = tmp_path / f"features{suffix}", frame.assign(**changed)
        if before:
            rows = pd.concat([table.head(1)] * before).assign(path=np.arange(before).astype(str))
            table = pd.concat([rows, table], ignore_index=True)
        if suffix == ".npz":
            np.savez(path, path=np.array(CELLS), features=VALUES)
        elif suffix == ".csv":
            table.to_csv(path, index=index)
        else:
            table.to_parquet(path, index=index)
        return path

    return make


#: Rows before those that matter: a table that comes in several pieces, and one in one.
several_pieces = pytest.mark.parametrize("before", [4094, 0])


@several_pieces
@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_numbers_are_features_and_a_manifest_s_columns_are_none(write, suffix, index, before):
    table = read_features(write(suffix, index=index, before=before))
    assert table.columns == ("f2", "f0", "f1")
    assert table.values.dtype == np.float32
    np.testing.assert_allclose(table.values[before:], VALUES[:, [2, 0, 1]], rtol=1e-6)
    assert list(table.rows)[before:] == CELLS
    assert table.shape == (before + 5, 1, 1, 3)
    assert table[np.array([3, 1])].shape == (2, 1, 1, 3)


def test_a_column_that_holds_the_label_under_another_name_is_left_out(write):
    assert "outcome" in read_features(write(outcome=[0, 1, 0, 1, 0])).columns
    table = read_features(write(outcome=[0, 1, 0, 1, 0]), apart=["outcome"])
    assert table.columns == ("f2", "f0", "f1")


def test_arrays_are_read_as_they_are(write):
    table = read_features(write(".npz"))
    assert table.columns == ("0", "1", "2")
    assert (table.values == VALUES).all()


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_wanted_columns_come_in_the_model_s_order(write, suffix):
    table = read_features(write(suffix), columns=("f1", "f2"))
    np.testing.assert_allclose(table.values, VALUES[:, [1, 2]], rtol=1e-6)
    with pytest.raises(DataError, match=r"no column 'f9' \(2 lacking\)"):
        read_features(write(suffix), columns=("f0", "f9", "f8"))


@several_pieces
@pytest.mark.parametrize(
    ("suffix", "changed", "reason"),
    [
        (".parquet", {"f0": [0.0, 1.0, 2.0, np.inf, 0.0]}, r"'f0' of 'b/y\.png' is not a finite"),
        (".csv", {"f0": [0.0, 1.0, 2.0, None, 0.0]}, r"'f0' of 'b/y\.png' is not a finite"),
        (".parquet", {"f0": [0.0, 1.0, 2.0, 1e300, 0.0]}, r"'f0' of 'b/y\.png' is not a finite"),
        (".csv", {"f0": [0.0, 1.0, 2.0, "odd", 0.0]}, r"'f0'.*'odd'"),
        (".csv", {"path": ["a", "b", "c", "a", "d"]}, "two rows for 'a'"),
        (".parquet", {"f0": "x", "f1": "x", "f2": "x"}, "no column of numbers"),
    ],
)
def test_what_is_no_number_or_stands_twice_is_named(write, suffix, changed, reason, before):
    with pytest.raises(DataError, match=reason):
        read_features(write(suffix, before=before, **changed))


def test_equal_rows_for_one_path_are_one(write, frame):
    twice = pd.concat([frame, frame.iloc[:1]])
    path = write()
    twice.to_parquet(path)
    assert list(read_features(path).rows) == CELLS


def test_files_that_are_no_table_are_refused_in_a_line(tmp_path):
    damaged = tmp_path / "a.parquet"
    damaged.write_bytes(b"PAR1")
    pickled = tmp_path / "b.npz"
    np.savez(pickled, path=np.array(["a", None], dtype=object), features=np.zeros((2, 1)))
    for path, reason in (
        (damaged, "cannot be read"),
        (pickled, "allow_pickle"),
        (tmp_path / "c.csv", "does not exist"),
        (tmp_path / "d.png", "not a table of features"),
    ):
        with pytest.raises(DataError, match=reason) as caught:
            read_features(path)
        assert "\n" not in str(caught.value)


def manifest(root, *cells):
    frame = pd.DataFrame({"path": cells, "label": ["x", "y"] * (len(cells) // 2)})
    return make_samples(frame, root=root)


@pytest.mark.parametrize(
    ("root", "prefix"),
    [
        ("data", "b/"),  # as the table spells it
        ("data/b", ""),  # from a folder further in
        ("runs/one", "../../data/b/"),  # as a run's manifest has it
    ],
)
def test_manifests_of_one_data_set_find_the_same_rows(write, tmp_path, root, prefix):
    table = read_features(write())
    cells = [f"{prefix}{name}.png" for name in "xv"]
    samples = manifest(tmp_path / root, *cells, f"{prefix}q.png", f"{prefix}r.png")
    assert match_rows(table, samples) == {cells[0]: 2, cells[1]: 0}


def test_a_table_s_paths_may_start_from_its_own_folder(write, tmp_path):
    cells = [f"../elsewhere/{cell}" for cell in CELLS]
    table = read_features(write(path=cells))
    samples = manifest(tmp_path.parent / "elsewhere", "b/w.png", "b/x.png")
    assert match_rows(table, samples) == {"b/w.png": 1, "b/x.png": 2}


def test_a_row_that_would_be_two_images_is_refused(write, tmp_path):
    table = read_features(write(path=[cell.rpartition("/")[2] for cell in CELLS]))
    samples = manifest(tmp_path, "one/v.png", "two/v.png")
    with pytest.raises(DataError, match=r"one row matches both .*one/v\.png and .*two/v\.png"):
        match_rows(table, samples)


@pytest.mark.parametrize(
    ("before", "separator", "encoding"),
    [("", ";", "utf-8-sig"), ("sep=;\r\n", ";", "utf-8"), ("", "\t", "utf-16")],
)
def test_text_as_spreadsheets_save_it_is_read(tmp_path, frame, before, separator, encoding):
    path = tmp_path / "features.csv"
    text = before + frame.to_csv(index=False, sep=separator, lineterminator="\r\n")
    path.write_bytes(text.encode(encoding))
    table = read_features(path)
    assert table.columns == ("f2", "f0", "f1")
    np.testing.assert_allclose(table.values, VALUES[:, [2, 0, 1]], rtol=1e-6)


def test_rows_are_found_whatever_way_their_paths_are_written(write, tmp_path):
    table = read_features(write(path=["b\\v.png", "b/w.png ", "b/Mu\u0308.png", "b/y.png", "z"]))
    manifest = pd.DataFrame(
        {"path": ["b/v.png", "b/w.png", "b/Mü.png", "b\\y.png"], "label": ["x", "y"] * 2},
        dtype=object,
    )
    rows = match_rows(table, make_samples(manifest, root=tmp_path))
    assert list(rows.values()) == [0, 1, 2, 3]


def npy_header(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy_header((10**10,)), "does not have the size"),
        (npy_header((-5, -5)), "does not have the size"),
        (npy_header("-" * 6000 + "1"), "damaged header"),
        (npy_header((25_000_000,)) + bytes(100_000_000), "100 times"),
        (b"junk", "cannot be read"),
    ],
)
def test_an_array_that_lies_about_its_size_is_refused_unread(tmp_path, content, reason):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("features.npy", content)
    tracemalloc.start()
    with pytest.raises(DataError, match=reason):
        read_features(tmp_path / "a.npz")
    with pytest.raises(ArtifactError, match=reason):
        read_weights(tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_table_of_absurd_columns_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("path" + "".join(f",f{i}" for i in range(100_001)) + "\n")
    with pytest.raises(DataError, match="100,002 columns"):
        read_features(path)
    path.write_text("path,f,f\na,1,2\n")
    with pytest.raises(DataError, match="more than one column 'f'"):
        read_features(path)
    twice = pyarrow.table([["a"], [1.0], [2.0]], names=["path", "f", "f"])
    pyarrow.parquet.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="more than one column 'f'"):
        read_features(tmp_path / "a.parquet")


def test_a_parquet_bomb_is_refused_unread(tmp_path):
    zeros = np.zeros(2_000_000, np.float32)
    table = pyarrow.table({"path": np.full(len(zeros), "a"), **{f"f{i}": zeros for i in range(9)}})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(DataError, match="would unpack to 80,000,000 bytes"):
        read_features(tmp_path / "a.parquet")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_what_is_no_file_is_not_opened(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a{suffix}")
    with pytest.raises(DataError, match="it is a named pipe, not a file"):
        read_features(tmp_path / f"a{suffix}")
    with pytest.raises(DataError, match="it is not a valid file name"):
        read_features(tmp_path / f"\0{suffix}")
