"""Where Eosin keeps what it can make again."""

from pathlib import Path

import pytest

from eosin.core.errors import OutputError
from eosin.core.places import cache_folder, expand_path, settings_folder


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


def test_a_user_who_is_not_known_is_no_internal_error():
    assert expand_path("~no-such-user-here/a") == Path("~no-such-user-here/a")
    assert expand_path("$NO_SUCH_VARIABLE/a") == Path("$NO_SUCH_VARIABLE/a")


def test_a_user_without_a_home_folder_has_a_cache_and_is_asked_for_a_settings_folder(monkeypatch):
    for name, folder in (("EOSIN_CACHE", None), ("XDG_CACHE_HOME", "~no-such-user-here")):
        monkeypatch.delenv(name, raising=False)
        if folder is not None:
            monkeypatch.setenv(name, folder)
    assert cache_folder().is_absolute()
    monkeypatch.setenv("XDG_CONFIG_HOME", "~no-such-user-here")
    with pytest.raises(OutputError, match="XDG_CONFIG_HOME"):
        settings_folder()
