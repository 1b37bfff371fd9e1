"""Tiny real runs on the phantom, and changes to the files of a finished run."""

import json
from dataclasses import dataclass

import pandas as pd

import eosin
from eosin.artifacts.integrity import list_run_files
from eosin.artifacts.layout import AS_PUBLISHED, STRICT, RunFolder
from eosin.artifacts.versioned import read_document, write_document
from eosin.data.phantom import PhantomOptions, write_phantom
from eosin.recipe import recipe_from_dict

OPTIONS = {
    "patients": 40,
    "images_per_patient": 4,
    "size_px": 64,
    "contrast": 1.5,
    "sites": 2,
    "subtypes": True,
}
THIRDS = {"train": 0.4, "val": 0.3, "test": 0.3}


@dataclass(frozen=True)
class Kind:
    """A run of the light CNN: its split, and classes other than the phantom's two."""

    split: dict
    classes: tuple[str, ...] = ()
    positive: str | None = None
    epochs: int = 1


HOSTILE = ("<script>alert(1)</script> <b>|a*</b>", "_腫瘍 [x](y) $x_1$ & Größe")
THREE = ("a_1", "<script>alert(1)</script>", "a_class_name_" + "without_any_space_" * 4)
GROUPED = {"protocol": "grouped", **THIRDS}
IMAGE = {"protocol": "image", **THIRDS}

KINDS = {
    "grouped": Kind(GROUPED, epochs=4),
    "image": Kind(IMAGE),
    "folds": Kind({"protocol": "folds", "k": 3, "val": 0.4}),
    "hostile names": Kind(GROUPED, HOSTILE, HOSTILE[1]),
    "three classes": Kind(GROUPED, THREE),
    "thirty classes": Kind(
        IMAGE, tuple(f"class {i:02d} with a name that runs on and on" for i in range(30))
    ),
}


def write_images(folder):
    """Write the phantom that all kinds of runs are trained on."""
    write_phantom(PhantomOptions(**OPTIONS), folder).to_csv(folder / "images.csv", index=False)


def train_kind(name, images, output):
    """Train a run of the kind ``name`` in the folder ``output``."""
    kind = KINDS[name]
    if kind.classes:
        data = {"manifest": str(_relabel(kind, images, output)), "positive": kind.positive}
    else:
        data = {"dataset": "phantom", "root": str(images), "options": OPTIONS}
    values = {
        "name": "phantom-light-cnn",
        "description": "The light CNN on a tiny phantom.",
        "data": {**data, "split": kind.split},
        "model": {"name": "light_cnn", "input_px": 64, "preprocessing": "unit"},
        "train": {"epochs": kind.epochs, "batch_size": 16, "lr": 2e-3, "device": "cpu"},
        "evaluate": {"resamples": 100, "alpha": 0.2},
    }
    eosin.train(recipe_from_dict(values), output=output / "run")


def _relabel(kind, images, output):
    """Write a manifest without magnifications and sites in which patients take classes in turn."""
    table = pd.read_csv(images / "images.csv", dtype=str)[["path", "patient"]]
    turn = pd.factorize(table["patient"])[0] % len(kind.classes)
    table["label"] = [kind.classes[i] for i in turn]
    table["path"] = [str(images / path) for path in table["path"]]
    table.to_csv(output / "manifest.csv", index=False)
    return output / "manifest.csv"


def edit(run, name, change):
    """Change a JSON file of a run in place, or by returning another value, and list it anew."""
    path = run / name
    data = json.loads(path.read_text(encoding="utf-8"))
    changed = change(data)
    path.write_text(json.dumps(data if changed is None else changed), encoding="utf-8")
    relist(run)


def edit_document(run, name, kind, **values):
    """Change values of a document of a run, and list it anew."""
    document = read_document(run / name, kind)
    write_document(run / name, document.model_copy(update=values))
    relist(run)


def relist(run):
    """List the files of a run as they are now."""
    if (run / "environment.json").exists():
        list_run_files(RunFolder(run))


PROTOCOLS = {STRICT: "grouped", AS_PUBLISHED: "image"}
