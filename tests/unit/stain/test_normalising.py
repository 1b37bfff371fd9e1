"""Fitting, estimating and applying, for every method."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from eosin.artifacts.stain import StainReference
from eosin.core.errors import DataError, UnknownNameError
from eosin.data.phantom import PhantomOptions, draw_patient, render_patch
from eosin.stain import METHODS, Macenko, Vahadane, normaliser_of
from eosin.stain.separation import find_percentile, to_density, to_grey

NAMES = sorted(METHODS)


def test_the_methods_are_registered():
    assert NAMES == ["macenko", "reinhard", "vahadane"]
    with pytest.raises(UnknownNameError, match="Did you mean 'macenko'"):
        METHODS.get("macenco")


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_written_and_read_gives_the_same_bytes(fitted, tissue, name):
    adapter = TypeAdapter(StainReference)
    read = adapter.validate_json(adapter.dump_json(fitted[name].reference_))
    assert read == fitted[name].reference_
    again = normaliser_of(read)
    assert type(again) is type(fitted[name])
    assert np.array_equal(again.apply(tissue).images, fitted[name].apply(tissue).images)


def test_knobs_travel_with_the_reference(tissue):
    macenko = Macenko(i0=250.0, beta=0.1, alpha=2.0).fit(tissue[0])
    assert vars(macenko) == vars(normaliser_of(macenko.reference_))
    vahadane = Vahadane(i0=250.0, beta=0.1, sparsity=0.05).fit(tissue[0])
    assert vars(vahadane) == vars(normaliser_of(vahadane.reference_))


@pytest.mark.parametrize("name", NAMES)
def test_tiles_come_nearer_to_the_reference(fitted, tissue, name):
    normalised, reasons = fitted[name].apply(tissue)
    assert reasons == ("",) * len(tissue)
    # Patients differ in colour; afterwards they differ less.
    before, after = (np.std(tiles.mean(axis=(1, 2)), axis=0) for tiles in (tissue, normalised))
    assert after.mean() < 0.9 * before.mean()


@pytest.mark.parametrize("name", NAMES)
def test_the_input_is_left_alone_and_read_in_any_layout(fitted, tissue, name):
    tile = tissue[0].copy()
    tile.flags.writeable = False
    wanted = fitted[name].apply(tile).images
    assert np.array_equal(tile, tissue[0])
    strided = np.zeros((128, 64, 3), dtype=np.uint8)
    strided[::2] = tile
    assert np.array_equal(fitted[name].apply(strided[::2]).images, wanted)
    assert np.array_equal(fitted[name].apply(np.asfortranarray(tile)).images, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_normalised_stays_as_it_is(fitted, tissue, name):
    once = fitted[name].apply(tissue).images
    twice, reasons = fitted[name].apply(once)
    assert reasons == ("",) * len(tissue)
    change = np.abs(twice.astype(int) - once)
    assert np.median(change) <= 1
    assert np.percentile(change, 95) <= 3


@pytest.mark.parametrize("name", NAMES)
def test_fitting_again_forgets_what_was_fitted(fitted, tissue, name):
    method = METHODS.get(name)
    again = method().fit(tissue[0]).fit_many(tissue)
    assert again.reference_ == fitted[name].reference_


@pytest.mark.parametrize("name", ["macenko", "vahadane"])
def test_white_stays_white(fitted, tissue, name):
    tile = tissue[0].copy()
    tile[:20] = np.linspace(240, 255, 20).astype(np.uint8)[:, None, None]
    normalised, reasons = fitted[name].apply(tile)
    assert reasons == ("",)
    assert normalised[:20].min() >= 235


@pytest.mark.parametrize("name", NAMES)
def test_tiles_too_small_to_fit_take_their_slide_s_stain(fitted, tissue, name):
    small = np.ascontiguousarray(tissue[0, :, :5].reshape(64, 5, 1, 3))
    assert set(fitted[name].apply(small).reasons) != {""}
    source = fitted[name].estimate(iter(small))
    assert source.reason == ""
    changed, reasons = fitted[name].apply(small, [source] * len(small))
    assert set(reasons) == {""}
    whole, _ = fitted[name].apply(tissue[0, :, :5], [source])
    assert np.array_equal(changed.reshape(whole.shape), whole)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_is_the_median_of_units(tissue, name):
    empty = np.full_like(tissue[0], 255)
    method = METHODS.get(name)
    one_each = method().fit_many([*tissue, empty]).reference_
    assert (one_each.n_images, one_each.n_units) == (7, 6)
    # Two units' stains in three parts each: the mixed order of tiles changes nothing.
    units = ["a", "b", "a", "b", "a", "b"]
    mixed = method().fit_many(tissue, units).reference_
    order = [0, 2, 4, 1, 3, 5]
    sorted_ = method().fit_many(tissue[order], [units[row] for row in order]).reference_
    assert mixed == sorted_
    assert mixed.n_units == 2
    assert mixed != one_each


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_s_pixels_are_bounded(tissue, name):
    method = METHODS.get(name)
    whole = method().fit_many(tissue, ["a"] * 6).reference_
    sampled = method().fit_many(tissue, ["a"] * 6, unit_pixels=5000).reference_
    assert sampled != whole
    for field in ("stain_matrix", "max_concentrations", "lab_mean", "lab_std"):
        if hasattr(whole, field):
            assert np.allclose(getattr(sampled, field), getattr(whole, field), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_image_is_refused_by_name(fitted, tissue, name):
    for wrong in (tissue[0].astype(float), tissue[0, ..., :2], np.zeros((4, 4), dtype=np.uint8)):
        with pytest.raises(DataError, match="8-bit images of red, green and blue"):
            fitted[name].apply(wrong)
    with pytest.raises(DataError, match="6 images came with 1 sources"):
        fitted[name].apply(tissue, [fitted[name].estimate(tissue[0])])
    with pytest.raises(DataError, match=r"on 0 reference image.*no images"):
        METHODS.get(name)().fit_many([])


def test_every_byte_comes_back_from_optical_density():
    grey = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_grey(to_density(grey, 240.0), 240.0), grey)


@pytest.mark.parametrize("n", [1, 2, 31, 33, 1000, 20_011])
@pytest.mark.parametrize("levels", [3, 2**24])
def test_percentiles_are_numpy_s(n, levels):
    values = np.random.default_rng(n).integers(0, levels, n).astype(np.float32)
    for percent in (0.0, 1.0, 20.0, 50.0, 99.0, 99.9, 100.0):
        wanted = np.percentile(values.astype(float), percent)
        assert find_percentile(values, percent) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("name", "limit_deg"), [("macenko", 12.0), ("vahadane", 15.0)])
def test_the_phantom_s_stain_vectors_are_found(name, limit_deg):
    errors = []
    for number in range(4):
        patient = draw_patient(PhantomOptions(), number)
        tiles = [render_patch(patient, 0, "200", index, 96) for index in range(6)]
        found = METHODS.get(name)().estimate(tiles).stain_matrix
        cosine = (found * patient.section_stain(0).matrix).sum(axis=1)
        errors.append(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))
    assert np.mean(errors) < limit_deg
