"""A server of one's own on 127.0.0.1, and little patience with it."""

import pytest
from tests.unit.data.download.serving import Server

from eosin.data.download.transfer import Patience


@pytest.fixture
def server(monkeypatch):
    """A server of one's own, reached without any proxy of the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = Server()
    yield found
    found.stop()


@pytest.fixture
def hasty():
    """Patience for tests: no pause, short time-outs."""
    return Patience(
        attempts=3, first_pause_s=0, longest_pause_s=0, connect_timeout_s=5, read_timeout_s=0.4
    )
