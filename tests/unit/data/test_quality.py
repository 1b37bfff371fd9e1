"""Each measure finds what was planted; flags need a set to compare with."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from scipy import ndimage
from tests.facts import tells

from eosin.core.types import Samples
from eosin.data.quality import (
    FLAGS,
    Thresholds,
    decode_stored,
    explain_flag,
    flag_images,
    measure_image,
    measure_samples,
)
from eosin.images.references import list_images

PINK, PURPLE = np.array([225.0, 150, 195]), np.array([95.0, 55, 130])


def draw_tissue(seed, size=(64, 64)):
    """Purple grains in pink, in the best of foci."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=size), 0.8)
    share = np.clip(0.5 + noise / noise.std() / 2, 0, 1)[..., None]
    return np.rint(PINK + share * (PURPLE - PINK)).astype(np.uint8)


def blur(image, sigma):
    return np.rint(ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0))).astype(np.uint8)


def expose(image, factor):
    return np.clip(image * float(factor), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def sharp():
    """The numbers of thirty good images."""
    return {f"{n}.png": measure_image(draw_tissue(n)) for n in range(30)}


def flags_of(sharp, image, **options):
    """Flags of one image among good ones."""
    report = flag_images({**sharp, "odd one": measure_image(image, **options)})
    flags = dict(zip(report.table["path"], report.table["flags"], strict=True))
    assert not any(flags[path] for path in sharp)
    return flags["odd one"]


def test_good_images_have_no_flag(sharp):
    assert flags_of(sharp, draw_tissue(99)) == ""


@pytest.mark.parametrize("sigma", [2, 3, 6, 10])
def test_a_blurred_image_is_found_however_blurred(sharp, sigma):
    assert flags_of(sharp, blur(draw_tissue(99), sigma)) == "blurred"


def test_neither_a_pale_stain_nor_background_is_blur(sharp):
    image = draw_tissue(99)
    assert flags_of(sharp, np.rint(200 + 0.2 * image).astype(np.uint8)) == ""
    image[:, 20:] = 245
    assert flags_of(sharp, image) == ""


def test_focus_is_detail_against_coarser_detail():
    image = draw_tissue(0)
    sharp, soft = measure_image(image).focus, measure_image(blur(image, 1)).focus
    assert 0 < soft < sharp / 2
    assert measure_image(expose(image, 0.5)).focus == pytest.approx(sharp, rel=0.02)
    for flat in (np.full((9, 9, 3), 7, np.uint8), image[:2, :50], image[:1, :1]):
        assert measure_image(flat).focus is None


def test_glass_is_blank_and_not_blurred(sharp):
    noise = np.random.default_rng(0).normal(238, 2, (64, 64, 1))
    glass = np.rint(np.repeat(noise, 3, axis=2)).astype(np.uint8)
    assert flags_of(sharp, glass) == "blank"
    glass[:30] = draw_tissue(5)[:30]
    assert measure_image(glass).tissue == pytest.approx(30 / 64, abs=0.03)
    assert flags_of(sharp, glass) == ""


def test_an_overexposed_image_is_saturated(sharp):
    assert flags_of(sharp, expose(draw_tissue(99), 1.7)) == "saturated"
    black = draw_tissue(99)
    black[:30] = 0
    assert "saturated" in flags_of(sharp, black)


@pytest.mark.parametrize("ink", [(40, 100, 200), (20, 110, 60), (20, 20, 25)])
def test_a_pen_mark_is_found_by_its_colour(sharp, ink):
    image = draw_tissue(99)
    image[20:26] = ink
    assert "ink" in flags_of(sharp, image).split(";")


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (200, 120, 160)])
def test_of_a_constant_image_nothing_else_is_said(sharp, colour):
    image = np.full((64, 64, 3), colour, dtype=np.uint8)
    image[5, 5] ^= 1  # as JPEG leaves it
    report = flag_images({**sharp, "a": measure_image(image), "b": measure_image(image)})
    assert list(report.table["flags"][-2:]) == ["constant", "constant"]


def test_a_copy_is_told_with_its_original(sharp):
    report = flag_images({**sharp, "copy.png": sharp["7.png"]})
    (row,) = report.flagged("duplicate").to_dict("records")
    assert (row["path"], row["duplicate_of"]) == ("copy.png", "7.png")


def test_a_size_is_odd_only_where_most_have_another(sharp):
    assert flags_of(sharp, draw_tissue(99, (64, 50))) == "odd_size"
    mixed = {f"{n}": measure_image(draw_tissue(n, (40 + n, 40))) for n in range(30)}
    report = flag_images(mixed)
    assert len(report.flagged("odd_size")) == 0
    assert tells(report.notes, "30 sizes")


def test_focus_is_compared_within_a_magnification(sharp):
    soft = {f"soft {n}": measure_image(blur(draw_tissue(n), 2)) for n in range(20)}
    together = flag_images({**sharp, **soft}).table.set_index("path")["focus_z"]
    assert together.max() - together.min() > 1
    taken = dict.fromkeys(sharp, "400") | dict.fromkeys(soft, "40")
    apart = flag_images({**sharp, **soft}, magnifications=taken).table.set_index("path")["focus_z"]
    assert apart[list(soft)].median() == pytest.approx(0)
    assert apart[list(sharp)].median() == pytest.approx(0)
    few = {"soft 1": "40", **dict.fromkeys(sharp, "400")}
    mixed = flag_images({**sharp, "soft 1": soft["soft 1"]}, magnifications=few)
    assert list(mixed.flagged("blurred")["path"]) == ["soft 1"]


def test_too_few_to_compare_is_said():
    report = flag_images({f"{n}": measure_image(draw_tissue(n)) for n in range(19)})
    (note,) = report.notes
    assert tells(note, "focus", "19 images", 20)
    assert report.table["focus_z"].isna().all()


def test_limits_are_given_and_told(sharp):
    half = draw_tissue(99)
    half[:32] = 240
    report = flag_images(
        {**sharp, "half": measure_image(half)}, limits=Thresholds(least_tissue=0.6)
    )
    assert list(report.flagged("blank")["path"]) == ["half"]
    assert tells(explain_flag("blank", report.limits), 60, "tissue")
    assert len({explain_flag(flag, report.limits) for flag in FLAGS}) == len(FLAGS)


def test_the_worst_come_first(sharp):
    bare = {}
    for rows in (62, 64, 63):
        image = draw_tissue(rows)
        image[:rows] = np.random.default_rng(0).integers(230, 240, (rows, 64, 1))
        bare[f"{rows}"] = measure_image(image)
    assert list(flag_images({**bare, **sharp}).flagged("blank")["path"]) == ["64", "63", "62"]


@pytest.fixture
def cells(tmp_path):
    """Thirty fluorescence files of two channels, 16 bits."""
    for n in range(30):
        channels = np.moveaxis(draw_tissue(n)[..., :2], -1, 0).astype(np.uint16) * 40
        tifffile.imwrite(tmp_path / f"{n:02d}.tif", channels, metadata={"axes": "CYX"})
    return tmp_path


def samples_of(folder):
    frame = pd.DataFrame({"path": list_images([folder]).cells}, dtype=object)
    return Samples(frame=frame, root=folder, class_names=())


@pytest.mark.parametrize("top", [4095, 65535])
def test_fluorescence_is_asked_neither_for_tissue_nor_for_pens(cells, top):
    cut = np.clip(tifffile.imread(cells / "03.tif").astype(float) * top / 5000, 0, top)
    tifffile.imwrite(cells / "cut.tif", cut.astype(np.uint16), metadata={"axes": "CYX"})
    tifffile.imwrite(cells / "none.tif", np.zeros_like(cut, np.uint16), metadata={"axes": "CYX"})
    table = flag_images(measure_samples(samples_of(cells))).table
    assert set(table["kind"]) == {"fluorescence"}
    assert table[["tissue", "ink"]].isna().all(axis=None)
    assert list(table["flags"][-2:]) == ["saturated", "constant"]
    assert set(table["flags"][:-2]) == {""}


def test_grey_images_of_16_bits_keep_all_of_them(tmp_path):
    dim = draw_tissue(0)[..., 0].astype(np.uint16)  # the upper eight bits hold nothing
    Image.fromarray(dim).save(tmp_path / "dim.png")
    image, is_rgb = decode_stored(tmp_path / "dim.png")
    assert not is_rgb
    assert np.array_equal(image[..., 0], dim)


def test_images_in_a_container_and_broken_ones_are_told_in_order(tmp_path, sharp):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.stack([draw_tissue(n) for n in range(3)])
    cells = [*list_images([tmp_path / "x.h5"]).cells, str(tmp_path / "none.png")]
    samples = Samples(pd.DataFrame({"path": cells}, dtype=object), tmp_path, ())
    found = measure_samples(samples)
    assert found[cells[2]] == sharp["2.png"]
    report = flag_images(found)
    assert list(report.table["path"]) == cells
    assert [path for path, _ in report.skipped] == [cells[3]]
    assert "does not exist" in report.skipped[0][1]


def test_nothing_readable_is_a_table_of_reasons():
    report = flag_images({"a.png": "a.png is not an image"})
    assert report.skipped == [("a.png", "a.png is not an image")]
    assert report.n_flagged == 0


@pytest.mark.data
@pytest.mark.parametrize("name", ["breakhis-700x460", "pcam/valid/1"])
def test_of_real_images_the_planted_faults_are_flagged(data_root, name):
    cells = list_images([data_root / name]).cells[:120]
    found = measure_samples(Samples(pd.DataFrame({"path": cells}, dtype=object), data_root, ()))
    image, _ = decode_stored(Path(cells[3]))
    faults = {"blurred": blur(image, 2), "saturated": expose(image, 2), "odd_size": image[:, :40]}
    found |= {flag: measure_image(fault) for flag, fault in faults.items()}
    flags = flag_images(found).table.set_index("path")["flags"]
    assert all(flag in flags[flag].split(";") for flag in faults), flags[list(faults)]
    assert (flags[cells] != "").mean() <= 0.02


def test_images_of_fewer_bits_than_their_file_are_noted(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (8, 8), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values * 16).save(tmp_path / "b.png")
    frame = pd.DataFrame({"path": ["a.png", "b.png"]}, dtype=object)
    report = flag_images(measure_samples(Samples(frame=frame, root=tmp_path, class_names=())))
    assert sum("1 image uses less than a quarter" in note for note in report.notes) == 1
