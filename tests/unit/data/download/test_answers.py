"""What a server's answer means."""

from types import SimpleNamespace

import pytest

from eosin.data.download.answers import CutError, read_answer
from eosin.data.download.part import Part


def test_a_number_of_thousands_of_digits_is_none(tmp_path):
    headers = {"Retry-After": "9" * 5000}
    response = SimpleNamespace(status_code=503, reason="busy", url="", headers=headers)
    with pytest.raises(CutError) as caught:
        read_answer(response, Part(tmp_path / "a.zip"), "")
    assert caught.value.wait_s == 0
