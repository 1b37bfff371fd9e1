"""``data.audit = "full"``: near-duplicates of a training are found by what they show."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

import eosin
from eosin.artifacts.manifest import read_manifest
from eosin.core.errors import LeakError
from eosin.recipe import recipe_from_dict

pytest.importorskip("cv2", reason="OpenCV is not installed")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Thirty images of blobs; one of the test part is one of the training part, rotated by 20°."""
    folder = tmp_path_factory.mktemp("turned")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:128, :128]
    lines = ["path,label,group,split"]
    for number in range(30):
        dark = np.zeros((128, 128))
        places = zip(*rng.uniform(0, 128, (2, 90)), rng.uniform(2, 7, 90), strict=True)
        for cy, cx, r in places:
            dark = np.maximum(dark, np.exp(-((((y - cy) ** 2 + (x - cx) ** 2) / r**2) ** 2)))
        image = Image.fromarray((235 - dark[..., None] * [90, 140, 60]).astype(np.uint8))
        if number == 0:
            first = image
        if number == 29:
            image = first.rotate(20, Image.Resampling.BICUBIC).crop((18, 18, 110, 110))
        image.resize((96, 96)).save(folder / f"{number}.png")
        split = "train" if number < 14 else "val" if number < 20 else "test"
        lines.append(f"{number}.png,{'ab'[number // 2 % 2]},g{number},{split}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


def make_recipe(manifest, audit):
    assert len(read_manifest(manifest)) == 30
    return recipe_from_dict(
        {
            "name": "turned",
            "seed": 1,
            "data": {
                "manifest": str(manifest),
                "positive": "b",
                "audit": audit,
                "split": {"protocol": "column"},
            },
            "model": {"name": "light_cnn", "input_px": 64, "preprocessing": "unit"},
            "train": {"epochs": 1, "batch_size": 8, "device": "cpu"},
            "evaluate": {"resamples": 100},
        }
    )


def test_a_turned_copy_stops_a_strict_run_and_is_shown(images, tmp_path):
    recipe = make_recipe(images, "full")
    with pytest.raises(LeakError, match=r"near copies: 0\.png ~ 29\.png \(rotated by 20°"):
        eosin.train(recipe, output=tmp_path / "run")
    run = eosin.train(recipe, output=tmp_path / "run", allow_leak=True).run
    (leak,) = json.loads((run / "audit.json").read_text())["findings"]
    assert (leak["kind"], leak["severity"]) == ("near_duplicate", "leak")
    assert {file.name for file in (run / "samples").glob("pair-*")} == {
        "pair-00-a.jpg", "pair-00-b.jpg",
    }  # fmt: skip
    assert "rotated by 20°, scaled by" in (run / "report.html").read_text()


def test_what_the_full_search_lacks_is_said(images, tmp_path, monkeypatch, messages):
    monkeypatch.setitem(sys.modules, "cv2", None)
    run = eosin.train(make_recipe(images, "full"), output=tmp_path / "run").run
    (result,) = (line for line in messages if "was not searched for" in line)
    assert "OpenCV" in result
    assert "pip install 'eosin[train]'" in result
    audit = json.loads((run / "audit.json").read_text())
    assert audit["findings"] == []
    assert any("not installed" in words for words in audit["reach"])
