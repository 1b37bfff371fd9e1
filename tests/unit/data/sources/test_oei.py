"""Cell lines by the names of their folders."""

from eosin.data.sources.base import NOTES
from eosin.data.sources.oei import collect_oei


def test_folders_are_known_in_any_spelling(tmp_path):
    for folder in ("MCF-10A", "mcf7", "MDA MB 231/dish", "HeLa"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.tif").touch()
    (tmp_path / "MCF7.tif").touch()
    table = collect_oei(tmp_path, {})
    assert dict(zip(table["path"], table["label"], strict=True)) == {
        "MCF-10A/a.tif": "MCF-10A",
        "MDA MB 231/dish/a.tif": "MDA-MB-231",
        "mcf7/a.tif": "MCF-7",
    }
    assert "2 images outside the known class folders: left out" in table.attrs[NOTES]
    assert any("own group" in note for note in table.attrs[NOTES])
