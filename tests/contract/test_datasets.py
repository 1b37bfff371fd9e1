"""Every registered data set through one suite, on tiny trees drawn for it, and on the real data."""

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from tests.facts import tells

import eosin
from eosin.artifacts.manifest import read_manifest, write_manifest
from eosin.core.errors import EosinError
from eosin.core.text import aligned
from eosin.data.sources.base import collect_samples, declared_facts
from eosin.data.sources.catalogue import DATASETS, find_datasets, verify
from eosin.images.containers import read_item
from eosin.images.decode import decode_image
from eosin.images.planes import decode_planes
from eosin.recipe import recipe_from_dict
from eosin.reporting.terminal import dataset_rows, format_samples


@dataclass
class Drawn:
    """A tree as it was drawn: what it must be read with, and what must be found."""

    groups: int
    labels: dict[str, str] | None = None
    options: dict[str, object] = field(default_factory=dict)
    splits: dict[str, int] | None = None


def draw(path, size=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(str(path)))
    Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)


def draw_tree(root, labels):
    for path in labels:
        draw(root / path)
    return labels


def draw_breakhis(root):
    breast = "BreaKHis_v1/histology_slides/breast"
    labels = {
        f"{breast}/{label}/SOB/{subtype}/{slide}/200X/{name}.png": label
        for label, subtype, slide, name in (
            ("benign", "adenosis", "SOB_B_A_14-22549AB", "SOB_B_A-14-22549AB-200-001"),
            ("benign", "adenosis", "SOB_B_A_14-22549G", "SOB_B_A-14-22549G-200-001"),
            ("malignant", "ductal_carcinoma", "SOB_M_DC_14-2523", "SOB_M_DC-14-2523-200-001"),
            ("malignant", "ductal_carcinoma", "SOB_M_DC_14-2523", "SOB_M_DC-14-2523-200-002"),
        )
    }
    return Drawn(groups=2, labels=draw_tree(root, labels))


def draw_folder(root):
    paths = ("benign/p1/a.png", "benign/p1/b.png", "malignant/p2/a.png", "malignant/p3/a.png")
    return Drawn(groups=3, labels=draw_tree(root, {path: path.split("/")[0] for path in paths}))


def draw_phantom(_root):
    return Drawn(groups=3, options={"patients": 3, "images_per_patient": 2, "size_px": 16})


def draw_pcam_h5(root, *, slides=True):
    root.mkdir(parents=True, exist_ok=True)
    labels = {}
    for part, n_images in (("train", 6), ("valid", 4), ("test", 2)):
        stem = root / f"camelyonpatch_level_2_split_{part}"
        targets = np.arange(n_images) % 2
        pixels = np.random.default_rng(n_images).integers(0, 256, (n_images, 8, 8, 3))
        with h5py.File(f"{stem}_x.h5", "w") as file:
            file["x"] = pixels.astype(np.uint8)
        with h5py.File(f"{stem}_y.h5", "w") as file:
            file["y"] = targets.astype(np.uint8).reshape(-1, 1, 1, 1)
        if slides:
            rows = [
                f"{i},{i * 96},0,{t == 1},{t == 1},{part}_{i // 2}" for i, t in enumerate(targets)
            ]
            head = ",coord_y,coord_x,tumor_patch,center_tumor_patch,wsi"
            Path(f"{stem}_meta.csv").write_text("\n".join([head, *rows]) + "\n")
        labels |= {f"{stem.name}_x.h5#{i}": ("normal", "tumour")[t] for i, t in enumerate(targets)}
    return labels


def draw_pcam_official(root):
    return Drawn(6, draw_pcam_h5(root), splits={"train": 6, "val": 4, "test": 2})


def draw_pcam_no_slides(root):
    return Drawn(12, draw_pcam_h5(root, slides=False), splits={"train": 6, "val": 4, "test": 2})


def draw_pcam_judged_on_valid(root):
    labels = {cell: label for cell, label in draw_pcam_h5(root).items() if "_test_" not in cell}
    return Drawn(5, labels, {"evaluate_on": "valid"}, splits={"train": 6, "test": 4})


def draw_pcam_parts(root):
    paths = [f"{part}/{digit}/a.jpg" for part in ("train", "valid", "test") for digit in "01"]
    labels = {path: ("normal", "tumour")[int(path.split("/")[1])] for path in paths}
    return Drawn(6, draw_tree(root, labels), splits={"train": 2, "val": 2, "test": 2})


def draw_pcam_classes(root):
    return Drawn(2, draw_tree(root, {"0/a.png": "normal", "1/a.png": "tumour"}))


def draw_pcam_kaggle(root):
    labels = draw_tree(root, {"train/a1.tif": "normal", "train/b2.tif": "tumour"})
    draw(root / "test" / "c3.tif")
    (root / "train_labels.csv").write_text("id,label\na1,0\nb2,1\n")
    return Drawn(2, labels)


def draw_lc25000(root, *, clusters=True):
    lung, colon = (f"lung_colon_image_set/{part}_image_sets" for part in ("lung", "colon"))
    labels = {
        f"{lung}/lung_n/lungn1.jpeg": "lung_n",
        f"{lung}/lung_n/lungn2.jpeg": "lung_n",
        f"{lung}/lung_aca/lungaca1.jpeg": "lung_aca",
        f"{colon}/colon_aca/colonca1.jpeg": "colon_aca",
    }
    draw_tree(root, labels)
    if clusters:
        # The same number in every class: those are different tiles.
        rows = "".join(f"{path},{label},1\n" for path, label in labels.items())
        (root / "clusters.csv").write_text("path,class,cluster\n" + rows)
    return Drawn(3 if clusters else 4, labels)


def draw_lc25000_unclustered(root):
    return draw_lc25000(root, clusters=False)


def draw_mnist(root):
    root.mkdir(parents=True, exist_ok=True)
    labels = {}
    for part, digits in (("train", (3, 0, 3)), ("t10k", (0, 9))):
        pixels = bytes(len(digits) * 16)
        head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (len(digits), 4, 4))
        (root / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + pixels))
        head = b"\0\0\x08\x01" + len(digits).to_bytes(4, "big")
        (root / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + bytes(digits)))
        labels |= {f"{part}-images-idx3-ubyte.gz#{i}": str(d) for i, d in enumerate(digits)}
    return Drawn(5, labels, splits={"train": 3, "test": 2})


def draw_idc(root):
    paths = (
        "10253/0/10253_idx5_x1001_y1001_class0.png",
        "10253/1/10253_idx5_x501_y351_class1.png",
        "8863/0/8863_idx5_x51_y1_class0.png",
    )
    return Drawn(2, draw_tree(root, {p: ("normal", "idc")[int(p.split("/")[1])] for p in paths}))


def draw_cells(root):
    cells = [("dmso", "p1"), ("dmso", "p2"), ("inhibitor", "p1"), ("inhibitor", "p2")]
    lines, labels = ["path,class,plate,field"], {}
    for index, (label, plate) in enumerate(cells):
        path = f"{label}/{plate}.tif"
        (root / label).mkdir(parents=True, exist_ok=True)
        planes = np.random.default_rng(index).integers(0, 60_000, (3, 8, 8)).astype(np.uint16)
        tifffile.imwrite(root / path, planes, photometric="minisblack")
        lines.append(f"{path},{label},{plate},f{index}")
        labels[path] = label
    (root / "cells.csv").write_text("\n".join(lines) + "\n")
    return Drawn(2, labels, {"test_plates": ["p2"]}, splits={"train": 2, "test": 2})


def draw_cells_by_field(root):
    return Drawn(4, draw_cells(root).labels, {"group": "field"})


def draw_oei(root):
    paths = {"MCF-10A/a.tif": "MCF-10A", "mcf7/a.tif": "MCF-7", "MDA_MB_231/a.tif": "MDA-MB-231"}
    return Drawn(3, draw_tree(root, paths))


#: Draws a tree below a root; the part of a key before the colon is the data set.
VARIANTS = {
    "breakhis": draw_breakhis,
    "cells": draw_cells,
    "cells:by field": draw_cells_by_field,
    "folder": draw_folder,
    "idc": draw_idc,
    "lc25000": draw_lc25000,
    "lc25000:no clusters": draw_lc25000_unclustered,
    "mcf7": draw_cells,
    "mnist": draw_mnist,
    "oei": draw_oei,
    "pcam": draw_pcam_official,
    "pcam:no slides": draw_pcam_no_slides,
    "pcam:evaluated on valid": draw_pcam_judged_on_valid,
    "pcam:parts": draw_pcam_parts,
    "pcam:classes": draw_pcam_classes,
    "pcam_kaggle": draw_pcam_kaggle,
    "phantom": draw_phantom,
}
every_variant = pytest.mark.parametrize("variant", sorted(VARIANTS))
every_name = pytest.mark.parametrize("name", sorted(DATASETS))


def collect(variant, root, **more):
    drawn = VARIANTS[variant](root)
    name = variant.partition(":")[0]
    options = {**drawn.options, **more}
    return drawn, collect_samples(name, root, options, label="label", positive=None)


def read(samples, name, cell):
    path, _, index = cell.partition("#")
    if index:
        return read_item(samples.resolve(cell), int(index))
    if DATASETS.get(name).facts.modality == "fluorescence":
        return decode_planes(samples.root / path)
    return decode_image(samples.root / path)


def test_every_data_set_is_drawn():
    assert {variant.partition(":")[0] for variant in VARIANTS} == set(DATASETS)


@every_name
def test_facts_are_told(name):
    facts = DATASETS.get(name).facts
    assert facts.name == name
    for text in (facts.title, facts.licence, facts.citation):
        assert text.strip()
    assert facts.modality in {"brightfield", "fluorescence"}
    assert set(facts.as_dict()) >= {"title", "licence", "citation", "simulated", "positive"}
    assert facts.positive is None or facts.positive in (facts.classes or [facts.positive])
    assert {count.label for count in facts.counts} <= {"", *facts.classes}
    assert facts.homepage is None or facts.homepage.startswith("http")


@every_name
def test_facts_are_values_that_json_gives_back(name):
    result = DATASETS.get(name).facts.as_dict()
    assert json.loads(json.dumps(result)) == result


@every_variant
def test_the_manifest_s_columns(variant, tmp_path):
    _, samples = collect(variant, tmp_path)
    assert {"path", "label", "patient", "group"} <= set(samples.frame.columns)
    for column in samples.frame.columns:
        assert all(isinstance(cell, str) for cell in samples.frame[column]), column
    assert samples.name == variant.partition(":")[0]


@every_variant
def test_paths_are_relative_unique_and_images(variant, tmp_path):
    _, samples = collect(variant, tmp_path)
    assert len(samples) > 0
    assert samples.frame["path"].is_unique
    for cell in samples.frame["path"]:
        assert not PurePosixPath(cell).is_absolute()
        assert "\\" not in cell
        assert read(samples, samples.name, cell).ndim in {2, 3}


@every_variant
def test_labels_and_the_positive_class(variant, tmp_path):
    drawn, samples = collect(variant, tmp_path)
    found = dict(zip(samples.frame["path"], samples.frame["label"], strict=True))
    if drawn.labels is not None:
        assert found == drawn.labels
    facts = DATASETS.get(samples.name).facts
    assert set(found.values()) <= set(facts.classes or found.values())
    assert samples.positive == (facts.positive if facts.positive in found.values() else None)


@every_variant
def test_groups_keep_together_what_belongs_together(variant, tmp_path):
    drawn, samples = collect(variant, tmp_path)
    frame = samples.frame
    assert frame["group"].nunique() == drawn.groups
    assert (frame["group"] != "").all()
    known = frame[frame["patient"] != ""]
    assert (known.groupby("patient")["group"].nunique() == 1).all()


@every_variant
def test_splits_are_the_published_ones(variant, tmp_path):
    drawn, samples = collect(variant, tmp_path)
    if drawn.splits is None:
        assert "split" not in samples.frame
    else:
        assert samples.frame["split"].value_counts().to_dict() == drawn.splits


@every_variant
def test_collecting_twice_gives_the_same(variant, tmp_path):
    first, second = (collect(variant, tmp_path)[1].frame for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_dtype=False)


@every_variant
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_manifest_survives_writing(variant, suffix, tmp_path):
    _, samples = collect(variant, tmp_path / "data")
    write_manifest(tmp_path / "out" / f"m{suffix}", samples)
    back = read_manifest(tmp_path / "out" / f"m{suffix}")
    assert all(back.resolve(cell).exists() for cell in back.frame["path"])
    rest = [column for column in samples.frame if column != "path"]
    pd.testing.assert_frame_equal(back.frame[rest], samples.frame[rest], check_dtype=False)


@every_variant
def test_what_is_missing_is_told_in_sentences(variant, tmp_path):
    _, samples = collect(variant, tmp_path)
    result = verify(samples.name, samples)
    assert all(sentence and sentence == sentence.strip(" .\n") for sentence in result)
    # No drawn tree is whole: whoever publishes counts must say so.
    if DATASETS.get(samples.name).facts.counts:
        assert any(" of " in sentence and "images" in sentence for sentence in result)
        assert not any(sentence.startswith("complete: all") for sentence in result)


@every_variant
def test_unknown_options_are_refused_by_name(variant, tmp_path):
    with pytest.raises(EosinError, match="colour") as caught:
        collect(variant, tmp_path, colour=1)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("name", [name for name in DATASETS if DATASETS.get(name).needs_root])
def test_an_empty_folder_is_refused(name, tmp_path):
    with pytest.raises(EosinError) as caught:
        collect_samples(name, tmp_path, {}, label="label", positive=None)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_channels_can_be_told_as_an_option():
    assert declared_facts("cells", {"channels": ["DNA", "actin"]}).channels == ("DNA", "actin")
    assert declared_facts("mcf7", {}).channels == ("DNA", "actin", "tubulin")
    assert declared_facts("pcam", {"evaluate_on": "valid"}) is DATASETS.get("pcam").facts


def test_an_option_under_its_former_name_is_read_as_the_new_one(tiny_values, tmp_path):
    old, new = (
        recipe_from_dict(
            {**tiny_values(tmp_path), "data": {"dataset": "pcam", "options": {name: "valid"}}}
        )
        for name in ("judge", "evaluate_on")
    )
    assert old == new
    draw_pcam_h5(tmp_path)
    tables = [
        eosin.manifest("pcam", tmp_path, tmp_path / f"{name}.csv", options={name: "valid"}).samples
        for name in ("judge", "evaluate_on")
    ]
    assert tables[0].frame.equals(tables[1].frame)


def test_the_list_of_data_sets_is_a_table_of_100_columns():
    head, *lines = aligned(dataset_rows(eosin.list()))
    assert [line.split()[0] for line in lines] == sorted(DATASETS)
    assert max(map(len, [head, *lines])) <= 100
    for column in ("title", "licence", "modality", "classes"):
        start = head.index(column)
        assert all(line[start - 1] == " " != line[start] for line in lines), column


def test_a_manifest_is_made_with_options_and_tells_what_is_missing(tmp_path):
    draw_pcam_h5(tmp_path / "data")
    made = tmp_path / "m.csv"
    options = {"evaluate_on": "valid"}
    written = eosin.manifest("pcam", tmp_path / "data", made, options=options)
    samples, result = written.samples, written.notes
    line = format_samples(samples)
    facts = ("10 images", "5 groups", "normal 5", "tumour 5", "train 6", "test 4")
    assert tells(line, *facts)
    assert result == verify("pcam", samples)
    assert "train: 6 of 262,144 images" in result
    assert "2 images of test left out: valid is evaluated instead" in result
    assert len(read_manifest(made)) == 10


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "folder", "rows", "groups", "labels", "sentence"),
    [
        ("breakhis", "breakhis-200x-224", 550, 29, 2, "absent: magnification 40, magnification"),
        ("breakhis", "breakhis-700x460", 30, 18, 2, "benign of magnification 40: 7 of 625 images"),
        ("pcam", "pcam", 9500, 9500, 2, "valid: 1,500 of 32,768 images"),
        ("lc25000", "lc25000", 2250, 450, 3, "lung_scc: 750 of 5,000 images"),
        ("mnist", "mnist", 70_000, 70_000, 10, "complete: all 70,000 images of mnist are present"),
        ("idc", "idc", 2773, 186, 2, "idc: 1,133 of 78,786 images"),
        ("mcf7", "mcf7-fluorescence", 1200, 2, 2, "only 2 plates"),
    ],
)
def test_the_real_data(data_root, name, folder, rows, groups, labels, sentence):
    samples = collect_samples(name, data_root / folder, {}, label="label", positive=None)
    assert len(samples) == rows
    assert samples.frame["group"].nunique() == groups
    assert len(samples.class_names) == labels
    assert any(result.startswith(sentence) for result in verify(name, samples))
    assert read(samples, name, samples.frame["path"].iloc[-1]).size > 0


#: Data sets whose files have names that others' have not: folders 0 and 1 may hold anything, and
#: the table of `mcf7` here names cells that are not of BBBC021.
RECOGNISED = sorted(
    variant
    for variant in set(VARIANTS) - {"pcam:classes", "mcf7"}
    if DATASETS.get(variant.partition(":")[0]).layout
)


@pytest.mark.parametrize("variant", RECOGNISED)
def test_it_is_recognised_by_its_files_below_a_folder_of_any_name(variant, tmp_path):
    name, folder = variant.partition(":")[0], tmp_path / "downloads" / "set 7"
    folder.mkdir(parents=True)
    VARIANTS[variant](folder)
    assert find_datasets(tmp_path)[name] == [folder]


def test_it_is_recognised_behind_a_link_and_a_link_back_ends(tmp_path):
    (tmp_path / "store").mkdir()
    VARIANTS["idc"](tmp_path / "store")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "back").symlink_to(tmp_path / "data")
    assert find_datasets(tmp_path / "data")["idc"] == [tmp_path / "data" / "mine"]


def test_two_folders_of_a_data_set_are_both_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        VARIANTS["idc"](tmp_path / name)
    assert sorted(find_datasets(tmp_path)["idc"]) == [tmp_path / "a", tmp_path / "b"]
