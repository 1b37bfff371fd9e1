"""Tables that come with a data set."""

import gzip

import pytest

from eosin.core.errors import DataError
from eosin.data.sources.base import count_images, read_text_table


def test_cells_stay_text(tmp_path):
    (tmp_path / "a.csv").write_text("\ufeffid,label\n007,NA\n", encoding="utf-8")
    table = read_text_table(tmp_path / "a.csv", ["id", "label"])
    assert table.to_dict("records") == [{"id": "007", "label": "NA"}]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    assert read_text_table(tmp_path / "a.csv.gz", ["id"])["id"][0] == "007"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"id,label\n", "has no rows"),
        (b"ID,label\n1,2\n", "has no column 'id'"),
        (b"id\n\x81\n", "encoding"),
        (b'id\n"1\n2', "cannot be read"),
    ],
)
def test_what_is_no_table_is_told(content, reason, tmp_path):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_text_table(tmp_path / "a.csv", ["id"])
    assert "a.csv" in caught.value.message


def test_images_are_counted_in_words():
    assert [count_images(n) for n in (0, 1, 12_000)] == ["0 images", "1 image", "12,000 images"]
