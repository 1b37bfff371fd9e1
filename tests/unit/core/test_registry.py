"""Registries refuse duplicates and explain a miss."""

import pytest
from tests.facts import tells

from eosin.core.errors import UnknownNameError
from eosin.core.registry import Registry


@pytest.fixture
def registry():
    registry = Registry("colour")
    registry.add("red", 1)
    registry.register("blue")(2)
    return registry


def test_entries_are_found_by_name(registry):
    assert registry.get("red") == 1
    assert registry.get("blue") == 2


def test_names_come_sorted(registry):
    assert list(registry) == ["blue", "red"]
    assert len(registry) == 2
    assert "red" in registry
    assert "green" not in registry


def test_a_second_entry_of_a_name_is_refused(registry):
    with pytest.raises(ValueError, match="the colour 'red' is registered twice"):
        registry.add("red", 3)
    assert registry.get("red") == 1


def test_a_miss_offers_close_matches(registry):
    with pytest.raises(UnknownNameError) as caught:
        registry.get("bleu")
    assert tells(str(caught.value), "colour", "'bleu'", "'blue'")
