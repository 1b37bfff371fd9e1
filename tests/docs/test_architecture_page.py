"""docs/architecture.md names only what exists, and every package in the order of imports."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_LINES = 130
#: Files of run and model folders, and what stands for a name.
ELSEWHERE = {"recipe.toml", "model.json", "metrics.json", "history.csv", "last.ckpt"}
ELSEWHERE |= {"eosin.load", "eosin.train", "nn.Module"}

TOKENS = sorted(set(re.findall(r"`([^`\n]+)`", TEXT)))
PATHS = [token for token in TOKENS if re.fullmatch(r"[\w.-]+/[\w./-]*|[\w-]+\.(md|toml)", token)]
NAMES = [token for token in TOKENS if re.fullmatch(r"[a-z_]+(\.\w+)+", token)]


def resolve(name):
    """Return what a dotted name below the package stands for; raises if there is none."""
    first, *rest = name.split(".")
    found = import_module(f"eosin.{first}")
    for part in rest:
        found = getattr(found, part, None) or import_module(f"{found.__name__}.{part}")
    return found


@pytest.mark.parametrize("path", sorted({*PATHS} - ELSEWHERE))
def test_every_path_exists(path):
    if "NAME" in path:
        path = path.rpartition("/")[0]
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", sorted({*NAMES} - {*PATHS} - ELSEWHERE))
def test_every_name_exists(name):
    assert resolve(name) is not None


@pytest.mark.parametrize("name", ["training.loop.absent", "absent", "core.types.Samples.absent"])
def test_a_name_that_does_not_exist_is_found(name):
    with pytest.raises((ImportError, AttributeError)):
        resolve(name)


def test_links_lead_to_files():
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_map_is_that_of_the_import_contract():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = pyproject["tool"]["importlinter"]["contracts"][0]
    # A layer in brackets is optional: the package is not there yet.
    layers = [
        [one for one in map(str.strip, layer.split("|")) if not one.startswith("(")]
        for layer in contract["layers"]
    ]
    table = TEXT.partition("| package | contains |")[2].partition("\n\n")[0]
    shown = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, flags=re.MULTILINE)
    rows = [re.findall(r"`(\w+)`", row) for row in shown]
    order = {name: level for level, layer in enumerate(layers) for name in layer}
    levels = [order[name] for row in rows for name in row]
    assert {name for row in rows for name in row} == order.keys()
    assert levels == sorted(levels)


def test_it_is_one_page():
    assert len(TEXT.splitlines()) <= MOST_LINES
