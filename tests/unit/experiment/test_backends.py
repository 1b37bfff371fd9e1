"""Both backends know P3's networks as the same."""

from dataclasses import fields

import pytest

from eosin.engine import ARCHITECTURES
from eosin.experiment.backends import engine, find_backend
from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.layers import list_layers
from eosin.networks.registry import count_macs
from eosin.recipe.schema import ModelSection


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_network_is_registered_alike(name):
    ours, theirs = engine.SPECS.get(name), NETWORKS.get(name)
    for field in fields(ours):
        if field.name not in ("build", "stages"):
            assert getattr(ours, field.name) == getattr(theirs, field.name), field.name


@pytest.mark.parametrize(
    ("name", "px", "classes", "channels"),
    [
        ("light_cnn", 224, 2, 3),
        ("light_cnn", 51, 5, 6),
        ("mnist_cnn", 28, 10, 1),
        ("mnist_cnn", 7, 2, 3),
    ],
)
def test_weights_and_operations_are_counted_alike(name, px, classes, channels):
    ours = ARCHITECTURES[name](classes, px, channels)
    given = {"num_classes": classes, "input_px": px, "in_channels": channels, "arguments": {}}
    theirs = build_network(name, **given)
    assert ours.count_params() == count_params(theirs)
    assert engine.count_macs(ours) == count_macs(theirs, px, channels)


@pytest.mark.parametrize(
    ("name", "px", "classes", "channels", "params"),
    [("light_cnn", 224, 2, 3, 319_106), ("mnist_cnn", 28, 10, 1, 3_554)],
)
def test_layers_are_listed_alike(name, px, classes, channels, params):
    given = {"num_classes": classes, "input_px": px, "in_channels": channels, "arguments": {}}
    tables = [
        engine.list_layers(ARCHITECTURES[name](classes, px, channels)),
        list_layers(build_network(name, **given), px, channels),
    ]
    ours, theirs = (
        [(row.output_shape, row.params, row.trainable, row.buffers) for row in table.layers]
        for table in tables
    )
    assert ours == theirs
    assert tables[0].total.params == params


def test_the_backend_is_the_recipe_s():
    for name in ("pytorch", "numpy"):
        backend = find_backend(ModelSection(name="light_cnn", backend=name))
        assert backend.find_spec("light_cnn").name == "light_cnn"
    assert backend.__name__.endswith("engine")
