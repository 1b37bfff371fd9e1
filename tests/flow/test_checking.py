"""``eosin data check``: what it says, what it writes, and with which status it leaves."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter
from tests.facts import has_files, tells

from eosin.data.quality import FLAGS


@pytest.fixture
def folder(tmp_path):
    """Twenty-five good patches and four faulty ones."""
    place = tmp_path / "patches & <b>"
    place.mkdir()
    random = np.random.default_rng(0)
    for n in range(25):
        pixels = random.normal((190, 110, 160), 25, (48, 48, 3)).clip(1, 254).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{n:02d}.png")
    first = Image.open(place / "00.png")
    first.filter(ImageFilter.GaussianBlur(3)).save(place / "soft.png")
    first.save(place / "twice.png")
    first.crop((0, 0, 40, 48)).save(place / "cut.png")
    Image.new("RGB", (48, 48), "white").save(place / "white.png")
    return place


def test_flags_are_advice_and_told_by_name(command, folder):
    result = command("data", "check", folder)
    assert result.status == 0
    lines = result.out.splitlines()
    assert lines[0] == "29 images, 0 unreadable"
    assert "constant       1  uniform colour" in lines
    assert f"{'':<18}{folder / 'white.png'}  (48 × 48 px)" in lines
    (soft,) = [line for line in lines if "soft.png" in line]
    assert re.search(r"\(z −\d+\.\d\)$", soft)
    assert f"{'':<18}{folder / 'twice.png'}  (duplicate of {folder / '00.png'})" in lines
    assert f"{'':<18}{folder / 'cut.png'}  (40 × 48 px)" in lines
    assert tells(lines[-1], "4 flagged", "13.8")


def test_a_good_folder_has_nothing_flagged(command, folder):
    for name in ("soft", "twice", "cut", "white"):
        (folder / f"{name}.png").unlink()
    result = command("data", "check", folder)
    assert result.status == 0
    assert tells(result.out, "25 images", "0 unreadable", "no image flagged")


def test_table_and_gallery_are_written(command, folder, tmp_path):
    (folder / "broken.png").write_bytes(b"no image")
    result = command("data", "check", folder, "-o", tmp_path / "out")
    assert result.status == 1
    table = pd.read_csv(tmp_path / "out" / "quality.csv", keep_default_na=False)
    table.index = [path.rpartition("/")[2] for path in table["path"]]
    flags = table["flags"].to_dict()
    assert len(flags) == 30
    planted = {"soft.png": "blurred", "twice.png": "duplicate", "cut.png": "odd_size"}
    planted |= {"white.png": "constant"}
    assert {name: cell for name, cell in flags.items() if cell} == planted
    (reason,) = [cell for cell in table["reason"] if cell]
    assert "broken.png is not an image" in reason
    html = (tmp_path / "out" / "quality.html").read_text(encoding="utf-8")
    assert "4 of 30 images" in html
    assert html.count("<img ") == 4
    assert has_files(tmp_path / "out" / "quality.html")
    unread = pd.read_csv(tmp_path / "out" / "tables" / "unreadable.csv")
    assert list(unread["File"]) == ["broken.png"]
    # A page is passed on; quality.csv has the whole paths.
    assert str(folder) not in html
    assert str(folder / "broken.png") in set(table["path"])
    for flag in planted.values():
        anchor = flag.replace("_", "-")
        assert f'id="{anchor}"' in html
        assert f'href="#{anchor}"' in html
    assert "patches &amp; &lt;b&gt;" in html
    assert "<b>" not in html

    again = command("data", "check", folder, "-o", tmp_path / "out")
    assert again.status == 1
    assert "is not empty" in again.complaint


def test_many_of_a_flag_are_capped_on_the_page(command, folder, tmp_path):
    for n in range(30):
        Image.open(folder / f"{n % 25:02d}.png").save(folder / f"copy {n}.png")
    assert command("data", "check", folder, "-o", tmp_path / "out").status == 0
    html = (tmp_path / "out" / "quality.html").read_text(encoding="utf-8")
    assert html.count("<img ") == 24 + 3
    assert "… and 7 more in quality.csv." in html


def test_json_lists_what_was_flagged(command, folder):
    (folder / "broken.png").write_bytes(b"no image")
    result = command("data", "check", folder, "--json")
    assert result.status == 1
    found = json.loads(result.out)
    assert found["n_images"] == 30
    assert found["n_flagged"] == 4
    assert set(found["flags"]) == set(FLAGS)
    (twice,) = [row for row in found["images"] if row["flags"] == ["duplicate"]]
    assert twice["duplicate_of"].endswith("00.png")
    assert [row["path"] for row in found["unreadable"]] == [str(folder / "broken.png")]


def test_a_manifest_s_bundles_are_checked_image_by_image(command, folder, tmp_path):
    rows = [(f"{n:02d}.png|{n + 1:02d}.png", "xy"[n % 4 // 2], "40+100") for n in range(0, 16, 2)]
    frame = pd.DataFrame(rows, columns=["path", "label", "magnification"])
    frame.to_csv(folder / "m.csv", index=False)
    result = command("data", "check", folder / "m.csv", "-o", tmp_path / "out")
    assert result.status == 0
    assert result.out.splitlines()[0] == "16 images, 0 unreadable"
    assert "focus of 16 images was not evaluated" in result.out
    assert "Focus of 16 images was not evaluated" in (tmp_path / "out" / "quality.html").read_text()
