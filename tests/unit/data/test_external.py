"""Outside manifests: labels are mapped by the user alone, and what does not fit is refused."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from tests.facts import tells

from eosin.artifacts.metrics import Threshold
from eosin.artifacts.model import ModelInfo, Planes
from eosin.core.errors import DataError, ManifestError, RecipeError, UsageError
from eosin.data.external import parse_labels, read_external
from eosin.images.preprocess import make_preprocessing
from eosin.images.spacing import check_stated_mpp, network_mpp

pytestmark = pytest.mark.usefixtures("typed")
CELLS = Planes(chosen=(0, 2), n_stored=3, bits=16)


def info(mpp=None, classes=("benign", "malignant"), **preprocessing):
    return ModelInfo(
        architecture="light_cnn",
        arguments={},
        class_names=classes,
        positive="malignant",
        preprocessing=make_preprocessing("unit", 32, **preprocessing),
        modality="fluorescence" if "planes" in preprocessing else "brightfield",
        mpp=mpp,
        threshold=Threshold(value=0.5, source="val", target_recall=0.9),
        temperature=1.0,
        data_fingerprint="0",
        data_licence="CC0",
        simulated=False,
        params=1,
        weights_sha256="0",
        licence="none",
    )


@pytest.fixture
def table(tmp_path):
    """Write a manifest of grey squares; returns its path."""

    def write(labels, size=(32, 32), **columns):
        image = Image.new("RGB", size[::-1], (180, 120, 160))
        paths = [f"{place}.png" for place in range(len(labels))]
        for path in paths:
            image.save(tmp_path / path)
        frame = pd.DataFrame({"path": paths, "label": labels, **columns})
        frame.to_csv(tmp_path / "other.csv", index=False)
        return tmp_path / "other.csv"

    return write


def test_several_labels_map_to_one_class_and_an_empty_one_leaves_rows_out(table, messages):
    manifest = table(["tumour", "metastasis", "normal", "unsure", "unsure"])
    labels = {"tumour": "malignant", "metastasis": "malignant", "normal": "benign", "unsure": ""}
    samples = read_external(manifest, info(), labels=labels)
    assert list(samples.frame["label"]) == ["malignant", "malignant", "benign"]
    assert list(samples.frame["label_given"]) == ["tumour", "metastasis", "normal"]
    assert set(samples.frame["split"]) == {"external"}
    assert samples.class_names == ("benign", "malignant")
    assert samples.positive == "malignant"
    assert tells(messages[-1], 2, "unsure")


def test_labels_that_are_the_models_need_no_map_and_another_column_may_hold_them(table):
    manifest = table(["x", "y"], truth=["benign", "malignant"])
    samples = read_external(manifest, info(), label="truth")
    assert list(samples.frame["label"]) == ["benign", "malignant"]
    assert "label_given" not in samples.frame


def test_an_unmapped_label_is_refused_with_the_options_to_add(table):
    with pytest.raises(ManifestError) as caught:
        read_external(table(["Benign", "Malign", "benign"]), info())
    result = str(caught.value)
    assert "the model does not know the labels 'Benign', 'Malign'" in result
    assert "(its classes: benign, malignant)" in result
    assert "--map Benign=benign --map Malign=malignant" in result
    # What nothing is called alike, nobody but the user can say.
    with pytest.raises(ManifestError, match="--map 0=CLASS --map '1 b=CLASS'"):
        read_external(table(["0", "1 b"]), info())


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"tumor": "malignant"}, "the table has no label 'tumor'. Did you mean 'tumour'?"),
        ({"tumour": "malign"}, "the model has no class 'malign'. Did you mean 'malignant'?"),
        ({"tumour": "", "normal": ""}, "--map leaves no row"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(table, labels, said):
    with pytest.raises((UsageError, ManifestError), match="--map") as caught:
        read_external(table(["tumour", "normal"]), info(), labels=labels)
    assert said in str(caught.value)


def test_pairs_are_read_and_odd_ones_refused():
    assert parse_labels(["a=b", "x = y=z", "n="]) == {"a": "b", "x = y": "z", "n": ""}
    for odd in (["a"], ["=b"], ["a=b", "a=c"]):
        with pytest.raises(UsageError, match="--map"):
            parse_labels(odd)


def test_the_other_kind_of_image_is_refused_by_name(table, tmp_path):
    cells = np.random.default_rng(0).integers(0, 4000, (3, 32, 32)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "cells.tif", cells, photometric="minisblack")
    frame = pd.DataFrame({"path": ["cells.tif"], "label": ["benign"]})
    frame.to_csv(tmp_path / "cells.csv", index=False)
    with pytest.raises(DataError, match=r"brightfield images, RGB, but cells\.tif has 3 channels"):
        read_external(tmp_path / "cells.csv", info())

    model = info(channels=("DNA", "actin"), planes=CELLS)
    assert len(read_external(tmp_path / "cells.csv", model)) == 1
    with pytest.raises(DataError, match=r"but 0\.png has 3 channels of 8 bits") as caught:
        read_external(table(["benign"]), model)
    assert "3 channels of 16 bits (DNA, actin)" in str(caught.value)


def test_another_scale_is_refused_after_resizing_is_counted_in(table):
    # 64 px of 0.5 µm become 32 px of 1 µm.
    manifest = table(["benign", "malignant"], size=(64, 64), mpp=["0.5", "0.52"])
    assert len(read_external(manifest, info(mpp=1.0))) == 2
    with pytest.raises(
        DataError, match=r"0\.5 µm per pixel of its input, but 2 of 2 images"
    ) as caught:
        read_external(manifest, info(mpp=0.5))
    assert "1 to 1.04" in str(caught.value)
    assert "each shows 16 × 16 µm" in str(caught.value)


def test_tissue_that_would_be_stretched_in_one_direction_is_refused(table):
    whole = info(mpp=1.0)
    wide = whole.preprocessing.model_copy(update={"input_px": (32, 48), "crop_px": 32})
    field = whole.model_copy(update={"preprocessing": wide})
    # A field of the model's shape passes; a square patch of its scale would become wider.
    assert len(read_external(table(["benign"], size=(64, 96), mpp="0.5"), field)) == 1
    square = table(["benign"], size=(64, 64), mpp="0.5")
    assert len(read_external(square, whole)) == 1
    with pytest.raises(DataError, match=r"1 of 1 images have 0\.667 to 1") as caught:
        read_external(square, field)
    assert "each shows 48 × 32 µm" in str(caught.value)


@pytest.mark.parametrize(
    ("size", "mpp", "expected"),
    [
        ((32, 32), ["0.5", "0.5"], 0.5),
        ((64, 64), ["0.5", "0.5"], 1.0),
        ((32, 32), ["0.5", "0.6"], None),
        ((32, 32), ["0.5", ""], None),
        ((32, 48), ["0.5", "0.5"], None),
    ],
)
def test_a_model_knows_its_scale_where_all_images_share_one(table, size, mpp, expected):
    samples = read_external(table(["benign", "malignant"], size=size, mpp=mpp), info())
    assert network_mpp(samples, info().preprocessing) == expected
    # Where a scale is unknown nothing is refused.
    manifest = table(["benign", "malignant"], size=size)
    assert len(read_external(manifest, info(mpp=0.1))) == 2


@pytest.mark.parametrize(("resize", "expected"), [("stretch", None), ("centre_crop", 0.25)])
def test_a_centre_crop_has_one_scale_where_a_stretch_has_none(table, resize, expected):
    mine = info(resize=resize)
    samples = read_external(table(["benign", "malignant"], size=(16, 24), mpp=0.5), mine)
    assert network_mpp(samples, mine.preprocessing) == expected


def test_labels_to_map_are_cleaned_as_those_of_a_table():
    assert parse_labels(["benign =benign", "Mu\u0308=tumour"]) == {
        "benign": "benign",
        "M\u00fc": "tumour",
    }


def test_a_stated_scale_must_be_the_measured_one(table):
    samples = read_external(table(["benign", "malignant"], size=(64, 64), mpp=["0.5", ""]), info())
    check_stated_mpp(samples, info().preprocessing, None)
    check_stated_mpp(samples, info().preprocessing, 1.05)
    with pytest.raises(RecipeError, match=r"'model.mpp' is 0\.8, but 1 of 2 images .* have 1 µm"):
        check_stated_mpp(samples, info().preprocessing, 0.8)
