"""Both backends know P3's network as one."""

from dataclasses import fields

import pytest

from eosin.engine import light_cnn
from eosin.experiment.backends import engine, find_backend
from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.layers import list_layers
from eosin.networks.registry import count_macs
from eosin.recipe.schema import ModelSection


def test_the_network_is_registered_alike():
    ours, theirs = engine.SPECS.get("light_cnn"), NETWORKS.get("light_cnn")
    for field in fields(ours):
        if field.name not in ("build", "stages"):
            assert getattr(ours, field.name) == getattr(theirs, field.name), field.name


@pytest.mark.parametrize(("px", "classes", "channels"), [(224, 2, 3), (51, 5, 6)])
def test_weights_and_operations_are_counted_alike(px, classes, channels):
    ours = light_cnn(classes, px, channels)
    given = {"num_classes": classes, "input_px": px, "in_channels": channels, "arguments": {}}
    theirs = build_network("light_cnn", **given)
    assert ours.count_params() == count_params(theirs)
    assert engine.count_macs(ours) == count_macs(theirs, px, channels)


def test_layers_are_listed_alike():
    given = {"num_classes": 2, "input_px": 224, "in_channels": 3, "arguments": {}}
    tables = [
        engine.list_layers(light_cnn(2, 224, 3)),
        list_layers(build_network("light_cnn", **given), 224),
    ]
    ours, theirs = (
        [(row.output_shape, row.params, row.trainable, row.buffers) for row in table.layers]
        for table in tables
    )
    assert ours == theirs
    assert tables[0].total.params == 319_106


def test_the_backend_is_the_recipe_s():
    for name in ("pytorch", "numpy"):
        backend = find_backend(ModelSection(name="light_cnn", backend=name))
        assert backend.find_spec("light_cnn").name == "light_cnn"
    assert backend.__name__.endswith("engine")
