"""The phantom as a stream and as a folder."""

import itertools

import numpy as np
import pytest
from PIL import Image

from eosin.core.errors import OutputError
from eosin.data.phantom import PhantomOptions, simulate, write_phantom

SMALL = PhantomOptions(
    patients=4, images_per_patient=5, size_px=32, magnifications=("100", "400"), seed=3
)


def test_the_stream_is_lazy():
    endless = PhantomOptions(patients=10**6, images_per_patient=10**6, size_px=16)
    assert len(list(itertools.islice(simulate(endless), 3))) == 3


def test_magnifications_and_sections_take_turns():
    patches = list(itertools.islice(simulate(SMALL), 5))
    assert [patch.magnification for patch in patches] == ["100", "400", "100", "400", "100"]
    assert [patch.slide[-1] for patch in patches] == ["A", "A", "B", "B", "A"]
    assert [patch.mpp for patch in patches[:2]] == [6.0, 1.5]


def test_an_image_does_not_depend_on_the_counts():
    more = PhantomOptions(
        patients=6, images_per_patient=9, size_px=32, magnifications=("100", "400"), seed=3
    )
    ours = {patch.path: patch.image for patch in simulate(SMALL)}
    theirs = {patch.path: patch.image for patch in simulate(more)}
    for path, image in ours.items():
        np.testing.assert_array_equal(image, theirs[path])


def test_the_folder_holds_what_the_stream_yields(tmp_path):
    table = write_phantom(SMALL, tmp_path)
    assert list(table.columns) == [
        "path", "label", "patient", "group", "slide", "magnification", "mpp",
    ]  # fmt: skip
    assert table["path"].is_unique
    assert (table["group"] == table["patient"]).all()
    assert table.groupby("patient")["label"].nunique().eq(1).all()
    for patch, row in zip(simulate(SMALL), table.itertuples(), strict=True):
        assert row.path == patch.path
        assert row.path.startswith(f"{row.label}/{row.patient}/{row.slide}-")
        with Image.open(tmp_path / row.path) as image:
            np.testing.assert_array_equal(np.asarray(image), patch.image)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert files == set(table["path"])


def test_sites_and_subtypes_add_their_columns(tmp_path):
    options = PhantomOptions(patients=4, images_per_patient=1, size_px=16, sites=2, subtypes=True)
    table = write_phantom(options, tmp_path)
    assert {"site", "subtype"} <= set(table.columns)
    assert set(table["site"]) == {"site-0", "site-1"}
    assert table["subtype"].ne("").all()


def test_an_unwritable_root_is_told_in_one_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OutputError, match="could not"):
        write_phantom(SMALL, blocked)
