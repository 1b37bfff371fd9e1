"""Listing a folder tree by names."""

import os

import pytest

from eosin.core.errors import DataError
from eosin.datasets.listing import list_files, list_folders


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_images_are_listed_sorted_and_relative(tmp_path):
    touch(tmp_path, "b/c.PNG", "b/a.jpeg", "a.tif", "notes.txt", "b/d.png.txt")
    assert list_files(tmp_path) == ["a.tif", "b/a.jpeg", "b/c.PNG"]
    assert list_files(tmp_path, [".txt"]) == ["b/d.png.txt", "notes.txt"]


def test_hidden_files_and_folders_are_left_out(tmp_path):
    touch(tmp_path, "a.png", "._a.png", ".cache/b.png", "b/.hidden/c.png")
    assert list_files(tmp_path) == ["a.png"]
    assert list_folders(tmp_path) == ["b"]


def test_a_hash_in_a_name_is_refused(tmp_path):
    touch(tmp_path, "a.png", "slide#3/b.png")
    with pytest.raises(DataError, match=r"slide#3/b.png has a '#'"):
        list_files(tmp_path)


def test_linked_folders_are_followed_without_going_round(tmp_path):
    touch(tmp_path, "real/a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "class").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "back").symlink_to(tmp_path / "root")
    assert list_files(tmp_path / "root") == ["class/a.png"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_may_not_be_listed_is_told(tmp_path):
    touch(tmp_path, "a/b.png")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be listed"):
            list_files(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o700)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be listed: No such file"):
        list_files(tmp_path / "a")
