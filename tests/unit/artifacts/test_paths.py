"""Paths in tables: written on another system, with blanks, in another Unicode form or case."""

import unicodedata

import pandas as pd
import pytest

from eosin.artifacts.manifest import make_samples
from eosin.core.errors import ManifestError

FILES = ("d/Mu\u0308ller/a.png", "d/P 1/b.png", "d/c .png", "d/e\\f.png")


@pytest.fixture
def root(tmp_path):
    """A folder with files of odd names, one of them in the form that macOS writes."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_an_absolute_path_with_an_invisible_mark_is_that_file(root):
    file = str(root / FILES[1])
    assert list(resolve(root, f"\u202a{file}").frame["path"]) == [file]


def resolve(root, *cells):
    frame = pd.DataFrame({"path": cells, "label": ["x", *"y" * (len(cells) - 1)]}, dtype=object)
    return make_samples(frame, root=root, class_names=("x", "y"), name="m")


@pytest.mark.parametrize("file", FILES)
def test_a_path_as_the_file_is_called_stays(root, file):
    assert list(resolve(root, file).frame["path"]) == [file]


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        (unicodedata.normalize("NFC", FILES[0]), FILES[0]),
        (f" {FILES[0]} ", FILES[0]),
        (" d/P 1/b.png", FILES[1]),
        ("\u202ad/P 1/b.png", FILES[1]),  # as Windows' dialogs copy it
        ("d/P 1 /b.png", FILES[1]),
        ("d\\P 1\\b.png", FILES[1]),
        (".\\d\\Müller\\a.png", f"./{FILES[0]}"),
        ("./d//P 1/b.png", "./d//P 1/b.png"),
        ("d/c .png", FILES[2]),
        ("absent\\g.png ", "absent/g.png"),
        ("d\\x.h5#3", "d/x.h5#3"),
    ],
)
def test_a_path_that_differs_in_writing_finds_its_file(root, cell, file):
    samples = resolve(root, cell)
    assert list(samples.frame["path"]) == [file]
    # An image that is its own group stays so.
    assert list(samples.frame["group"]) == [file]


def test_absolute_paths_are_resolved_as_well(root):
    cell = unicodedata.normalize("NFC", str(root / FILES[0]))
    assert list(resolve(root, cell).frame["path"]) == [str(root / FILES[0])]


def test_images_of_a_bundle_are_resolved_one_by_one(root):
    stack = "d\\P 1\\b.png| d/c .png|"
    assert list(resolve(root, stack).frame["path"]) == [f"{FILES[1]}|{FILES[2]}|"]


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        ("C:\\data\\a.png", "a Windows drive"),
        ("C:/data/a.png", "a Windows drive"),
        ("\\\\server\\share\\a.png", "a Windows drive"),
        ("file:///data/a.png", "a URL"),
        ("https://example.org/a.png", "a URL"),
    ],
)
def test_a_path_of_another_machine_is_refused_with_its_row(root, cell, cause):
    with pytest.raises(ManifestError, match=rf"row 3: .*{cause}"):
        resolve(root, "d/P 1/b.png", cell)


def test_another_case_is_named_as_the_cause(root):
    with pytest.raises(ManifestError, match=r"the file is called 'd/P 1/b\.png'"):
        resolve(root, "D/p 1/B.PNG", "d/none.png")
    # Where others exist it is one bad path, which is listed when it is read.
    assert len(resolve(root, "D/p 1/B.PNG", "d/P 1/b.png")) == 2
