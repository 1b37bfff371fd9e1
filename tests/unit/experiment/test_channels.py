"""Which channels the network sees."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from eosin.artifacts.manifest import make_samples
from eosin.core.errors import DataError, ImageError, RecipeError
from eosin.experiment.channels import resolve_preprocessing
from eosin.images.preprocess import decode_for
from eosin.recipe import recipe_from_dict

FACTS = {"modality": "fluorescence", "channels": ("DNA", "actin", "tubulin")}


@pytest.fixture
def samples(tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"nothing")
    counts = np.zeros((3, 6, 6), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", counts, photometric="minisblack")
    frame = pd.DataFrame({"path": ["broken.tif", "a.tif"], "label": ["x", "y"]})
    return make_samples(frame, root=tmp_path)


def recipe(model=None, **data):
    values = {
        "name": "r",
        "data": {"manifest": "m.csv", **data},
        "model": {"name": "light_cnn", **(model or {})},
    }
    return recipe_from_dict(values)


def resolve(samples, facts=FACTS, **options):
    return resolve_preprocessing(recipe(**options), samples, facts)


def test_all_channels_by_default_under_the_data_set_s_names(samples):
    made = resolve(samples)
    assert made.channels == ("DNA", "actin", "tubulin")
    assert made.planes.chosen == (0, 1, 2)
    assert (made.planes.n_stored, made.planes.bits) == (3, 16)
    assert made.planes.window is None
    # The light CNN's own style is ImageNet's means, which fluorescence has none of.
    assert made.mean == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("modality", ["fluorescence", "brightfield"])
def test_the_resize_rule_and_the_style_are_the_recipe_s(samples, modality):
    model = {"resize": "centre_crop", "preprocessing": "imagenet_twice"}
    made = resolve(samples, {**FACTS, "modality": modality}, model=model)
    assert made.resize == "centre_crop"
    assert made.scale == pytest.approx(1 / 255**2)
    assert resolve(samples).resize == "stretch"


@pytest.mark.parametrize("modality", ["fluorescence", "brightfield"])
def test_a_field_is_seen_in_crops_of_the_network_s_size(samples, modality):
    facts = {**FACTS, "modality": modality}
    made = resolve(samples, facts, model={"field_px": (60, 90), "input_px": 52})
    assert (made.input_px, made.crop_px, made.network_px) == ((60, 90), 52, 52)
    whole = resolve(samples, facts, model={"input_px": 52})
    assert (whole.input_px, whole.crop_px, whole.network_px) == ((52, 52), None, 52)


def test_a_window_is_of_fluorescence_alone(samples):
    with pytest.raises(RecipeError, match=r"data\.window"):
        resolve(samples, {"modality": "brightfield"}, window="none")


@pytest.mark.parametrize("channels", [("tubulin", "DNA"), (2, 0), ("tubulin", 0)])
def test_channels_are_chosen_by_name_or_position(samples, channels):
    made = resolve(samples, channels=channels)
    assert made.channels == ("tubulin", "DNA")
    assert made.planes.chosen == (2, 0)
    assert len(made.mean) == 2


def test_names_of_the_recipe_and_no_names(samples):
    unnamed = {"modality": "fluorescence", "channels": ()}
    assert resolve(samples, unnamed).channels == ("0", "1", "2")
    named = {**unnamed, "channels": ["a", "b", "c"]}
    assert resolve(samples, named, channel_names=("a", "b", "c")).channels == ("a", "b", "c")
    with pytest.raises(RecipeError, match=r"2 names.*3 channels"):
        resolve(samples, named, channel_names=("a", "b"))


@pytest.mark.parametrize(
    ("channels", "result"),
    [
        (("aktin",), "no channel 'aktin'"),
        ((3,), "no channel 3"),
        (("DNA", 0), "names a channel twice"),
    ],
)
def test_channels_that_are_not_there_are_refused_by_name(samples, channels, result):
    with pytest.raises(RecipeError, match=result) as caught:
        resolve(samples, channels=channels)
    if channels == ("aktin",):
        assert "actin" in caught.value.hint


def test_imagenet_s_means_are_refused_where_they_were_asked_for(samples):
    with pytest.raises(RecipeError, match=r"'model\.preprocessing': 'caffe'"):
        resolve(samples, model={"preprocessing": "caffe"})


def test_brightfield_refuses_channels(samples):
    facts = {"modality": "brightfield"}
    assert resolve(samples, facts).planes is None
    with pytest.raises(RecipeError, match=r"'data\.channels' is for fluorescence images"):
        resolve(samples, facts, channels=("DNA",))


def test_nothing_readable_is_an_error(samples):
    with pytest.raises(DataError, match="none of the 1 images can be read"):
        resolve(samples.where(np.array([True, False])))


def test_one_odd_file_does_not_say_what_all_are(tmp_path):
    names = [f"{number}.tif" for number in range(4)]
    for name in names:
        n_channels = 1 if name == "0.tif" else 3
        counts = np.zeros((n_channels, 6, 6), dtype=np.uint16)
        tifffile.imwrite(tmp_path / name, counts, photometric="minisblack")
    frame = pd.DataFrame({"path": names, "label": list("xyxy")})
    assert resolve(make_samples(frame, root=tmp_path)).planes.n_stored == 3


def write_named(path, names, **options):
    """A file whose channel of a name holds the name's length everywhere."""
    counts = np.stack([np.full((6, 6), len(name), dtype=np.uint16) for name in names])
    metadata = {"axes": "CYX", "Channel": {"Name": list(names)}}
    tifffile.imwrite(path, counts, photometric="minisblack", ome=True, metadata=metadata, **options)


def read_first(path, made):
    return decode_for(path, None, made)[0, 0].tolist()


def test_channels_that_files_name_are_found_by_name_in_any_order(samples, tmp_path):
    made = resolve(samples, channels=("tubulin", "DNA"))
    for order in (("DNA", "actin", "tubulin"), ("tubulin", "dna ", "Actin")):
        write_named(tmp_path / "b.ome.tif", order)
        assert read_first(tmp_path / "b.ome.tif", made)[0] == len("tubulin")
        assert read_first(tmp_path / "b.ome.tif", made)[1] in {len("DNA"), len("dna ")}


def test_channels_that_a_file_names_otherwise_are_found_by_their_order(samples, tmp_path):
    write_named(tmp_path / "b.ome.tif", ("DAPI", "FITC-", "Cy5-long"))
    assert read_first(tmp_path / "b.ome.tif", resolve(samples)) == [4, 5, 8]


def test_a_file_that_names_some_of_the_channels_is_refused(samples, tmp_path):
    write_named(tmp_path / "b.ome.tif", ("DNA", "FITC", "tubulin"))
    with pytest.raises(ImageError, match="DNA, FITC, tubulin"):
        decode_for(tmp_path / "b.ome.tif", None, resolve(samples))


def test_without_declared_names_those_of_the_files_count(tmp_path):
    write_named(tmp_path / "a.ome.tif", ("DAPI", "FITC-"))
    write_named(tmp_path / "b.ome.tif", ("FITC-", "DAPI"))
    frame = pd.DataFrame({"path": ["a.ome.tif", "b.ome.tif"], "label": ["x", "y"]})
    samples = make_samples(frame, root=tmp_path)
    made = resolve(samples, {"modality": "fluorescence", "channels": ()})
    assert made.channels == ("DAPI", "FITC-")
    for path in ("a.ome.tif", "b.ome.tif"):
        assert read_first(tmp_path / path, made) == [4, 5]
