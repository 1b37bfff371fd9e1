"""Where Eosin keeps what it can make again."""

from pathlib import Path

import pytest

from eosin.core.places import cache_folder


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"EOSIN_CACHE": "/a/b", "XDG_CACHE_HOME": "/x"}, Path("/a/b")),
        ({"EOSIN_CACHE": "~/b"}, Path.home() / "b"),
        ({"XDG_CACHE_HOME": "/x"}, Path("/x/eosin")),
        ({}, Path.home() / ".cache" / "eosin"),
    ],
)
def test_the_variables_are_asked_in_order(monkeypatch, variables, folder):
    for name in ("EOSIN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == folder
