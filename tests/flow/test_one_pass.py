"""One pass through `train`: each file of a run folder is written once."""

import os
from collections import Counter

import eosin
from eosin.recipe import recipe_from_dict

# Each is a run folder's; what a training writes again as it goes on is not among them.
ONCE = ("recipe.toml", "manifest.csv", "split.json", "audit.json", "balance.json")
ONCE += ("layers.json", "environment.json", "metrics.json", "predictions.csv")
ONCE += ("logits.parquet", "report.html")
ONCE += ("model/model.json", "model/model.safetensors", "model/model.onnx", "model/card.md")


def test_every_file_of_a_run_folder_is_written_once(tiny_values, tmp_path, monkeypatch):
    values = tiny_values(tmp_path / "phantom")
    values["train"] |= {"epochs": 1}
    values["data"] |= {"split": {"protocol": "folds", "k": 2, "val": 0.4}}
    earlier = {**values["data"], "split": {}, "root": str(tmp_path / "earlier")}
    earlier["options"] = {**earlier["options"], "seed": 29}
    values["transfer"] = {"stage": [{"name": "first", "epochs": 1, "data": earlier}]}
    written, replace = Counter(), os.replace

    def count(source, target, **options):
        written[str(target)] += 1
        replace(source, target, **options)

    monkeypatch.setattr(os, "replace", count)
    run = tmp_path / "run"
    eosin.train(recipe_from_dict(values), output=run, allow_leak=True)
    trained = [run / "stages" / "1-first", run / "folds" / "0-0", run / "folds" / "0-1"]
    times = {
        str(folder / name): written[str(folder / name)]
        for folder in (run, *trained)
        for name in ONCE
        if folder != run or name not in {"balance.json", "layers.json"}
    }
    assert {path: n for path, n in times.items() if n != 1} == {}
