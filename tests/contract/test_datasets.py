"""Every registered data set through one suite, on tiny trees drawn for it."""

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eosin.artifacts.manifest import read_manifest, write_manifest
from eosin.core.errors import EosinError
from eosin.datasets.base import collect_samples
from eosin.datasets.catalogue import DATASETS
from eosin.inference.decode import decode_image


def draw(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(str(path)))
    Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


def draw_breakhis(root):
    breast = root / "BreaKHis_v1" / "histology_slides" / "breast"
    for label, subtype, slide, name in (
        ("benign", "adenosis", "SOB_B_A_14-22549AB", "SOB_B_A-14-22549AB-200-001"),
        ("benign", "adenosis", "SOB_B_A_14-22549G", "SOB_B_A-14-22549G-200-001"),
        ("malignant", "ductal_carcinoma", "SOB_M_DC_14-2523", "SOB_M_DC-14-2523-200-001"),
        ("malignant", "ductal_carcinoma", "SOB_M_DC_14-2523", "SOB_M_DC-14-2523-200-002"),
    ):
        draw(breast / label / "SOB" / subtype / slide / "200X" / f"{name}.png")
    return {}


def draw_folder(root):
    for path in ("benign/p1/a.png", "benign/p1/b.png", "malignant/p2/a.png", "malignant/p3/a.png"):
        draw(root / path)
    return {}


def draw_phantom(_root):
    return {"patients": 3, "images_per_patient": 2, "size_px": 16}


#: Draws a tree below a root and returns the options to read it with, and how many groups it has.
DRAWN = {
    "breakhis": (draw_breakhis, 2),
    "folder": (draw_folder, 3),
    "phantom": (draw_phantom, 3),
}

pytestmark = pytest.mark.parametrize("name", sorted(DATASETS))


def collect(name, root, **more):
    options = DRAWN[name][0](root)
    return collect_samples(name, root, {**options, **more}, label="label", positive=None)


def test_facts_are_told(name):
    facts = DATASETS.get(name).facts
    assert facts.name == name
    for text in (facts.title, facts.licence, facts.citation):
        assert text.strip()
    assert facts.modality in {"brightfield", "fluorescence"}
    assert set(facts.as_dict()) >= {"title", "licence", "citation", "simulated", "positive"}


def test_the_manifest_s_columns(name, tmp_path):
    samples = collect(name, tmp_path)
    assert {"path", "label", "patient", "group"} <= set(samples.frame.columns)
    for column in samples.frame.columns:
        assert all(isinstance(cell, str) for cell in samples.frame[column]), column
    assert samples.name == name


def test_paths_are_relative_unique_and_images(name, tmp_path):
    samples = collect(name, tmp_path)
    assert len(samples) > 0
    assert samples.frame["path"].is_unique
    for cell in samples.frame["path"]:
        assert not PurePosixPath(cell).is_absolute()
        assert "\\" not in cell
        assert decode_image(samples.resolve(cell)).ndim == 3


def test_labels_and_the_positive_class(name, tmp_path):
    samples = collect(name, tmp_path)
    assert samples.class_names == ("benign", "malignant")
    assert samples.positive == DATASETS.get(name).facts.positive
    for cell, label in zip(samples.frame["path"], samples.frame["label"], strict=True):
        assert label in PurePosixPath(cell).parts


def test_groups_keep_patients_together(name, tmp_path):
    frame = collect(name, tmp_path).frame
    assert frame["group"].nunique() == DRAWN[name][1]
    assert (frame["group"] != "").all()
    known = frame[frame["patient"] != ""]
    assert (known.groupby("patient")["group"].nunique() == 1).all()


def test_collecting_twice_gives_the_same(name, tmp_path):
    first, second = collect(name, tmp_path).frame, collect(name, tmp_path).frame
    pd.testing.assert_frame_equal(first, second, check_dtype=False)


def test_the_manifest_survives_writing(name, tmp_path):
    samples = collect(name, tmp_path / "data")
    write_manifest(tmp_path / "out" / "m.csv", samples)
    back = read_manifest(tmp_path / "out" / "m.csv")
    assert all(back.resolve(cell).exists() for cell in back.frame["path"])
    rest = [column for column in samples.frame if column != "path"]
    pd.testing.assert_frame_equal(back.frame[rest], samples.frame[rest], check_dtype=False)


def test_unknown_options_are_refused_by_name(name, tmp_path):
    with pytest.raises(EosinError, match="colour") as caught:
        collect(name, tmp_path, colour=1)
    assert caught.value.exit_status == 2


def test_an_empty_folder_is_refused(name, tmp_path):
    if not DATASETS.get(name).needs_root:
        pytest.skip(f"{name} makes its own images")
    with pytest.raises(EosinError) as caught:
        collect_samples(name, tmp_path, {}, label="label", positive=None)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.mend
    assert list(Path(tmp_path).iterdir()) == []
