"""``evaluate`` and ``predict`` give one image one probability, to 1e-5, in every form of images."""

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile

import eosin
from eosin.data.phantom import PhantomOptions, write_phantom
from eosin.images.decode import decode_image
from eosin.recipe import recipe_from_dict

SAME = 1e-5
PROBABILITIES = ["prob_benign", "prob_malignant"]
SPLIT = {"train": 0.5, "val": 0.2, "test": 0.3}
FOLDS = {"protocol": "folds", "k": 2, "val": 0.4}
PHANTOM = PhantomOptions(
    patients=10, images_per_patient=4, size_px=64, sections=1, magnifications=("100", "200")
)


@pytest.fixture(scope="module")
def table(once):
    """The table of a phantom at two magnifications, whose slides are named."""

    def fill(folder):
        write_phantom(PHANTOM, folder).to_csv(folder / "images.csv", index=False)

    return once("two-magnifications", fill) / "images.csv"


def plain(table, folder):
    return table


def in_h5(table, folder):
    """The same images in one HDF5 file."""
    frame = pd.read_csv(table, dtype=str)
    images = np.stack([decode_image(table.parent / cell) for cell in frame["path"]])
    with h5py.File(folder / "images.h5", "w") as file:
        file["x"] = images
    frame["path"] = [f"images.h5#{number}" for number in range(len(frame))]
    return written(frame, folder)


def in_16_bits(table, folder):
    """The same images as counts of a 12-bit camera, three channels of a 16-bit TIFF."""
    frame = pd.read_csv(table, dtype=str)
    for number, cell in enumerate(frame["path"]):
        counts = decode_image(table.parent / cell).astype(np.uint16) * 16
        tifffile.imwrite(
            folder / f"{number}.tif", np.moveaxis(counts, -1, 0), planarconfig="separate",
            photometric="minisblack",
        )  # fmt: skip
    frame["path"] = [f"{number}.tif" for number in range(len(frame))]
    return written(frame, folder)


def written(frame, folder):
    frame.to_csv(folder / "images.csv", index=False)
    return folder / "images.csv"


FORMS = {
    "plain": (plain, {}),
    "folds": (plain, {"data": {"split": FOLDS}}),
    "stain by tile": (plain, {"stain": {"method": "macenko"}}),
    "stain by slide": (plain, {"stain": {"method": "reinhard", "unit": "slide"}}),
    "stain by patient": (plain, {"stain": {"method": "macenko", "unit": "patient"}}),
    "stain by patient, folds": (
        plain,
        {"stain": {"method": "reinhard", "unit": "patient"}, "data": {"split": FOLDS}},
    ),
    "views at test time": (plain, {"augment": {"policy": "dihedral", "test_time": "dihedral"}}),
    "h5": (in_h5, {}),
    "16 bits": (
        in_16_bits,
        {"data": {"modality": "fluorescence", "channel_names": ["a", "b", "c"]}},
    ),
    "magnification stacks": (
        plain,
        {
            "data": {"magnifications": ["100", "200"], "fuse": True},
            "model": {"name": "fusion:light_cnn"},
        },
    ),
}


def trained(tiny_values, form, table, folder):
    change, sections = FORMS[form]
    images = change(table, folder)
    values = tiny_values(folder)
    values["data"] = {"manifest": str(images), "positive": "malignant", "split": SPLIT}
    for name, changes in sections.items():
        values[name] = {**values.get(name, {}), **changes}
    values["train"] |= {"epochs": 1}
    return eosin.train(recipe_from_dict(values), output=folder / "run").run, images


def probabilities(table):
    found = table.assign(path=[name.rsplit("/", 1)[-1] for name in table["path"].map(str)])
    return found.set_index("path")[PROBABILITIES].sort_index()


def compare(model, images, folder):
    """The probabilities of both for one table, which have to agree."""
    eosin.evaluate(model, data=images, output=folder / "evaluated")
    evaluated = probabilities(pd.read_csv(folder / "evaluated" / "predictions.csv"))
    predicted = probabilities(eosin.predict(model, images).table)
    assert list(evaluated.index) == list(predicted.index)
    assert len(predicted) > 0
    assert np.ptp(predicted["prob_malignant"]) > 0
    np.testing.assert_allclose(evaluated, predicted, rtol=0, atol=SAME)
    return predicted


@pytest.mark.parametrize("form", FORMS)
def test_both_give_one_probability(form, table, tiny_values, tmp_path):
    run, images = trained(tiny_values, form, table, tmp_path)
    predicted = compare(run / "model", images, tmp_path)
    if "test" in (run / "predictions.csv").read_text():
        own = pd.read_csv(run / "predictions.csv")
        own = probabilities(own[own["split"] == "test"])
        if "stain by" not in form or "tile" in form:  # a unit's stain is that of the images given
            np.testing.assert_allclose(predicted.loc[own.index], own, rtol=0, atol=SAME)


def test_an_ensemble_of_runs(table, tiny_values, tmp_path):
    values = tiny_values(tmp_path)
    values["data"] = {"manifest": str(table), "positive": "malignant", "split": SPLIT}
    values["train"] |= {"epochs": 1}
    runs = []
    for rate in (1e-3, 2e-3):
        values["train"]["lr"] = rate
        recipe = recipe_from_dict(values)
        runs.append(eosin.train(recipe, output=tmp_path / f"run-{len(runs)}").run)
    joined = eosin.ensemble(runs, output=tmp_path / "ensemble").run
    compare(joined / "model", table, tmp_path)
