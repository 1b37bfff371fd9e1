"""How large an image may be: settings from the environment."""

import pytest

from eosin.core.errors import ImageError, UsageError
from eosin.images.limits import Limits, read_limits


def test_the_defaults(monkeypatch):
    monkeypatch.delenv("EOSIN_MAX_PIXELS", raising=False)
    monkeypatch.delenv("EOSIN_MAX_CHANNELS", raising=False)
    monkeypatch.delenv("EOSIN_MAX_BYTES", raising=False)
    assert read_limits() == Limits(max_pixels=50_000_000, max_channels=32, max_bytes=512 * 1024**2)


def test_the_environment_sets_them(monkeypatch):
    monkeypatch.setenv("EOSIN_MAX_PIXELS", "100")
    monkeypatch.setenv("EOSIN_MAX_CHANNELS", "2")
    monkeypatch.setenv("EOSIN_MAX_BYTES", "9")
    assert read_limits() == Limits(max_pixels=100, max_channels=2, max_bytes=9)


@pytest.mark.parametrize("text", ["", "0", "-1", "1e6", "many"])
def test_what_is_no_number_is_refused_by_name(monkeypatch, text):
    monkeypatch.setenv("EOSIN_MAX_PIXELS", text)
    with pytest.raises(UsageError, match=r"\$EOSIN_MAX_PIXELS must be a whole number above 0"):
        read_limits()


def test_a_refusal_names_the_setting(tmp_path):
    limits = Limits(max_pixels=12, max_channels=3, max_bytes=7)
    limits.check_size(tmp_path, 4, 3)
    limits.check_channels(tmp_path, 3)
    with pytest.raises(ImageError, match=r"13 × 1 pixels; at most 12 .*EOSIN_MAX_PIXELS"):
        limits.check_size(tmp_path, 13, 1)
    with pytest.raises(ImageError, match=r"4 channels; at most 3 .*EOSIN_MAX_CHANNELS"):
        limits.check_channels(tmp_path, 4)
    limits.check_bytes(tmp_path, 7)
    with pytest.raises(ImageError, match=r"8 bytes; at most 7 .*EOSIN_MAX_BYTES"):
        limits.check_bytes(tmp_path, 8)
    with pytest.raises(ImageError, match=r"1 × 50000000 pixels; at most 500000 per side"):
        Limits().check_size(tmp_path, 1, 50_000_000)
    with pytest.raises(ImageError, match="has no pixels"):
        limits.check_size(tmp_path, 0, 5)
