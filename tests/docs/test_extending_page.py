"""The page on plugins runs as it is printed."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eosin.__main__ import call
from eosin.runtime.door import import_companion

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)


def draw_biopsies(folder):
    """Draw images of ten patients of each class, and the table of them."""
    folder.mkdir()
    random, rows = np.random.default_rng(0), []
    for case in range(20):
        diagnosis = ("benign", "tumour")[case % 2]
        for place in range(4):
            pixels = random.integers(60, 200, (48, 48, 3), dtype=np.uint8)
            pixels[..., case % 2] //= 2
            name = f"{case:02d}-{place}.png"
            Image.fromarray(pixels).save(folder / name)
            rows.append({"file": name, "diagnosis": diagnosis, "case": f"case {case}"})
    pd.DataFrame(rows).to_csv(folder / "cases.csv", index=False)


@pytest.mark.drawn
def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, own_registries, capsys):
    monkeypatch.chdir(tmp_path)
    # As the training extra installs it for a CPU, torchvision does not import by itself.
    import_companion("torchvision")
    draw_biopsies(Path("biopsies"))
    code = [block for kind, block in BLOCKS if kind == "python"]
    *parts, measured = code
    assert len(parts) == 5
    Path("my_parts.py").write_text("\n".join(parts))
    recipe = next(block for kind, block in BLOCKS if block.startswith("# own.toml"))
    Path("own.toml").write_text(recipe)
    lines = next(block for kind, block in BLOCKS if kind == "sh").splitlines()
    for line in lines:
        assert call(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
    metrics = json.loads(Path("runs/speckle/metrics.json").read_text())["test"]["image"]
    value, low, high = (metrics["f2"][name] for name in ("value", "low", "high"))
    assert value is None or low is None or 0 <= low <= value <= high <= 1
    assert "F2 score" in Path("runs/speckle/report.html").read_text()
    page = Path("runs/compared/comparison.html").read_text()
    assert "F2 score" in page
    made = json.loads(Path("runs/compared/comparison.json").read_text())
    assert made["metric"] == "f2"
    assert all("f2" in pair["metrics"] for pair in made["pairs"])
    known = {}
    exec(measured, known)  # noqa: S102 -- the page's own lines
    assert 0 <= known["found"].value <= 1


def test_its_entry_points_name_groups_that_are_read(repository):
    source = "".join(path.read_text() for path in (repository / "src" / "eosin").rglob("*.py"))
    groups = re.findall(r'entry-points\."(eosin\.\w+)"', PAGE)
    assert len(groups) == 4
    assert [group for group in groups if f'"{group}"' not in source] == []
