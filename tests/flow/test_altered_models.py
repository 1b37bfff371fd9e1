"""A model folder whose ``model.json`` was edited is used as it says, or refused in one line."""

import copy
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eosin
from eosin.core.errors import EosinError

VALUES = [
    float("nan"), float("inf"), -1, 0, 5, 0.5, 10**400, True, None, "x", "", "\ud800", [], {},
    [1, 1], ["malignant", "malignant"],
]  # fmt: skip


def places(node, path=()):
    """Every key of a document but those of its headline metrics."""
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        if key != "metrics":
            yield (*path, key)
            yield from places(node[key], (*path, key))


def altered(data, path, value):
    data = copy.deepcopy(data)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return data


@pytest.fixture(scope="module")
def place(tiny_run, tmp_path_factory):
    """A copy of the tiny model folder that is altered again and again."""
    return shutil.copytree(tiny_run / "model", tmp_path_factory.mktemp("altered") / "model")


@settings(max_examples=80)
@given(data=st.data())
def test_an_altered_model_predicts_or_is_refused(data, place, tiny_run, tiny_phantom):
    whole = json.loads((tiny_run / "model/model.json").read_text())
    path = data.draw(st.sampled_from(sorted(places(whole), key=str)))
    found = altered(whole, path, data.draw(st.sampled_from(VALUES)))
    (place / "model.json").write_text(json.dumps(found))
    image = next(tiny_phantom.rglob("*.png"))
    try:
        table = eosin.predict(place, [image]).table
    except EosinError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 -- either will do
    else:
        probabilities = table.filter(like="prob_").to_numpy()
        assert np.isfinite(probabilities).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", float("inf")),
        ("class_names", ["benign", "benign"]),
        ("positive", "unknown"),
        ("threshold", {"value": 5, "source": "val", "target_recall": 0.9}),
    ],
)
def test_every_verb_refuses_it_with_the_key(command, tiny_run, tiny_phantom, tmp_path, key, value):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    info = json.loads((run / "model/model.json").read_text())
    (run / "model/model.json").write_text(json.dumps({**info, key: value}))
    image = next(tiny_phantom.rglob("*.png"))
    table = tmp_path / "outside.csv"
    pd.DataFrame({"path": [str(image)], "label": ["benign"]}).to_csv(table, index=False)
    for arguments in (
        ("predict", run / "model", image),
        ("evaluate", run, "-o", tmp_path / "own"),
        ("evaluate", run / "model", "--data", table, "--independent", "-o", tmp_path / "outside"),
        ("ensemble", run, tiny_run, "-o", tmp_path / "ensemble"),
        ("compare", run, tiny_run, "-o", tmp_path / "compared"),
        ("report", run),
    ):
        result = command(*arguments)
        assert result.status == 1, arguments
        assert "model.json does not fit its schema" in result.complaint
        assert key in result.complaint
