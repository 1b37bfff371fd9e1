"""Listing a folder tree by names: what is found, and what was left out."""

import os
import socket
from contextlib import contextmanager

import numpy as np
import pytest

from eosin.core.errors import DataError
from eosin.data.sources.base import NOTES
from eosin.data.sources.catalogue import DATASETS
from eosin.images.references import describe_left_out, list_files, list_images, walk_folder

is_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX file systems")


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@contextmanager
def locked(folder):
    """A folder that this process may not list, the administrator's neither."""
    folder.chmod(0)
    is_root = os.geteuid() == 0
    try:
        if is_root:
            for above in folder.parents[:4]:  # pytest's own folders are the user's alone
                above.chmod(above.stat().st_mode | 0o055)
            os.seteuid(65534)
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


def test_images_are_listed_sorted_and_relative(tmp_path):
    touch(tmp_path, "b/c.PNG", "b/a.jpeg", "a.tif", "notes.txt", "b/d.png.txt")
    assert list_files(tmp_path).files == ["a.tif", "b/a.jpeg", "b/c.PNG"]
    assert list_files(tmp_path, [".txt"]).files == ["b/d.png.txt", "notes.txt"]


def test_hidden_files_and_folders_are_left_out_and_counted(tmp_path):
    touch(tmp_path, "a.png", "._a.png", ".cache/b.png", "b/.hidden/c.png", "__MACOSX/d.png")
    touch(tmp_path, "b/Thumbs.db", ".Trash-1000/e.png", "b/.ipynb_checkpoints/c-checkpoint.png")
    found = list_files(tmp_path)
    assert found.files == ["a.png"]
    assert dict(found.left_out) == {"hidden file": 2, "hidden folder": 5}


def test_files_of_other_types_are_counted_by_their_ending(tmp_path):
    touch(tmp_path, "a.png", "a.HEIC", "b/c.heic", "b/d.svs", "README", "x.jpg.gz")
    left_out = walk_folder(tmp_path).left_out
    assert dict(left_out) == {".heic": 2, ".svs": 1, "no ending": 1, ".gz": 1}
    line = describe_left_out(left_out)
    assert "2 .heic" in line
    assert "1 no ending" in line


def test_nothing_left_out_needs_no_line_and_much_needs_one(tmp_path):
    touch(tmp_path, "a.png")
    assert describe_left_out(walk_folder(tmp_path).left_out) == ""
    touch(tmp_path, *(f"{n}.x{n}" for n in range(30)))
    line = describe_left_out(walk_folder(tmp_path).left_out)
    assert "24 others" in line
    assert len(line) < 100


@pytest.mark.parametrize("name", ["slide#3", "left|right"])
def test_a_mark_of_manifests_in_a_name_is_refused_for_training_alone(tmp_path, name):
    touch(tmp_path, "a.png", f"{name}/b.png")
    with pytest.raises(DataError, match=r"has a '.' in its name"):
        list_files(tmp_path)
    assert walk_folder(tmp_path).files == ["a.png", f"{name}/b.png"]


@is_posix
def test_linked_folders_are_followed_without_going_round(tmp_path):
    touch(tmp_path, "real/a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "class").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "back").symlink_to(tmp_path / "root")
    found = list_files(tmp_path / "root")
    assert found.files == ["class/a.png"]
    assert found.left_out.total() == 1


@is_posix
def test_a_folder_that_is_linked_too_keeps_its_own_name(tmp_path):
    touch(tmp_path, "z/a.png")
    (tmp_path / "a").symlink_to("z")
    assert list_files(tmp_path).files == ["z/a.png"]


@is_posix
def test_what_is_no_regular_file_is_listed_unopened_so_that_its_reason_is(tmp_path, monkeypatch):
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "linked.png").symlink_to("pipe.png")
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("socket.png")
    found = list_files(tmp_path)
    assert found.files == ["a.png", "linked.png", "pipe.png", "socket.png"]
    assert describe_left_out(found.left_out) == ""


@is_posix
def test_a_link_that_leads_nowhere_is_listed_so_that_it_is_missed(tmp_path):
    (tmp_path / "lost.png").symlink_to("nowhere.png")
    (tmp_path / "self.png").symlink_to("self.png")
    assert list_files(tmp_path).files == ["lost.png", "self.png"]


@is_posix
def test_a_folder_that_may_not_be_listed_is_refused_or_named(tmp_path):
    touch(tmp_path, "a/b.png", "c.png")
    with locked(tmp_path / "a"):
        with pytest.raises(DataError, match="cannot be listed"):
            list_files(tmp_path)
        found = list_images([tmp_path])
    assert found.cells == [str(tmp_path / "c.png")]
    assert [folder for folder, _ in found.skipped] == [str(tmp_path / "a")]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be listed: No such file"):
        list_files(tmp_path / "a")


@pytest.mark.parametrize("adapter", ["folder", "oei", "breakhis", "idc", "lc25000", "pcam"])
def test_every_adapter_that_walks_passes_on_what_was_left_out(tmp_path, adapter):
    touch(tmp_path, "T47D/a.png", "T47D/x.heic", "MCF7/b.png", "0/.hidden.png", "0/a.png")
    touch(tmp_path, "lung_n/a.jpeg", "colon_n/b.jpeg", "0/8863_idx5_x1_y1_class0.png")
    touch(tmp_path, "b/SOB_B_A-14-22549AB-100-001.png", "b/SOB_M_DC-14-2523-100-001.png")
    table = DATASETS.get(adapter).collect(tmp_path, {})
    assert "1 hidden file" in " ".join(table.attrs[NOTES])
    assert "1 .heic" in " ".join(table.attrs[NOTES])


@is_posix
@pytest.mark.parametrize("seed", range(20))
def test_training_and_prediction_see_the_same_files_of_any_tree(tmp_path, seed):
    random = np.random.default_rng(seed)
    root = tmp_path / "root"
    root.mkdir()
    folders = [root]
    for number in range(40):
        above = folders[random.integers(len(folders))]
        name = random.choice([f"a{number}", f".b{number}", "__MACOSX", f"c {number}.png"])
        kind = random.choice(["folder", "file", "file", "link", "loop", "pipe"])
        if (above / name).exists():
            continue
        if kind == "folder":
            (above / name).mkdir()
            folders.append(above / name)
        elif kind == "file":
            ending = random.choice([".png", ".JPG", ".jfif", ".gif", ".svs", ".txt", ""])
            (above / (name + ending)).touch()
        elif kind == "link":
            (above / name).symlink_to(folders[random.integers(len(folders))])
        elif kind == "loop":
            (above / name).symlink_to("..")
        else:
            os.mkfifo(above / f"{number}.png")
    files = list_files(root).files
    if files:
        cells = list_images([root]).cells
        assert [os.path.relpath(cell, root) for cell in cells] == files
        assert len({os.path.realpath(cell) for cell in cells}) == len(files)
