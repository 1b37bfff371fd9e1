"""The site: it builds without a warning, and its generated parts hold what the code has."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from docs import generated
from eosin.recipe import recipe_from_dict

DOCS = Path(__file__).parents[2] / "docs"


def build(source, target):
    """Build the site of a folder; return what Sphinx printed and its status."""
    words = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", source, target]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    status, printed = build(DOCS, folder)
    assert status == 0, printed
    return folder


def test_links_and_anchors_lead_somewhere(site):
    assert (site / "index.html").exists()


def test_every_page_is_in_the_navigation(site):
    index = (site / "index.html").read_text(encoding="utf-8")
    top = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert [name for name in sorted(top) if f'href="{name}.html"' not in index] == []


def test_pages_of_the_site_load_nothing_from_elsewhere(site):
    for page in ("index.html", "recipe.html"):
        text = (site / page).read_text(encoding="utf-8")
        assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?:https?:)?//", text) == []


@pytest.mark.parametrize("link", ["nowhere.md", "other.md#no-heading", "nowhere.png"])
def test_a_broken_link_fails_the_build(tmp_path, link):
    for name in ("conf.py", "generated.py"):
        (tmp_path / name).write_text((DOCS / name).read_text("utf-8"), "utf-8")
    (tmp_path / "other.md").write_text("---\norphan: true\n---\n# Other\n", "utf-8")
    mark = "!" if link.endswith(".png") else ""
    (tmp_path / "index.md").write_text(f"# Top\n\n{mark}[text]({link})\n", "utf-8")
    status, printed = build(tmp_path, tmp_path / "site")
    assert status != 0
    assert link.partition("#")[2] or link in printed


def test_the_recipe_page_has_every_key_with_a_default_and_an_example(site):
    page = (site / "recipe.html").read_text(encoding="utf-8")
    keys = [key for _, keys in generated.recipe_keys().values() for key in keys]
    assert len(keys) > 70
    for key in keys:
        assert key.text and key.default and key.example, key.name  # noqa: PT018
        assert f">{key.name}<" in page, key.name


FRACTIONS = {"data.split.train": 0.6, "data.split.val": 0.2, "data.split.test": 0.2}
#: What a key needs beside itself.
BESIDE = {
    "data.manifest": {"data.dataset": None},
    "data.fuse": {"data.magnifications": ["40", "100"]},
    "data.percentiles": {"data.window": "percentile"},
    "stain": {"stain.method": "macenko"},
    "data.split.by": {"data.split.protocol": "folds"},
    "data.split.k": {"data.split.protocol": "folds"},
    "data.split.repeats": {"data.split.protocol": "folds"},
    "data.split.train": FRACTIONS,
    "data.split.val": FRACTIONS,
    "data.split.test": FRACTIONS,
    "augment.copies_before_split": {"augment.copies": 2, "data.split.protocol": "image"},
}


@pytest.mark.parametrize("section", [*generated.recipe_keys()])
def test_the_reader_accepts_every_example(section):
    for key in generated.recipe_keys()[section][1]:
        values = {"name": "x", "data": {"dataset": "phantom"}, "model": {"name": "light_cnn"}}
        beside = BESIDE.get(key.name) or BESIDE.get(key.name.partition(".")[0], {})
        given = {**beside, key.name: tomllib.loads(key.example)[key.name.rpartition(".")[2]]}
        for name, value in given.items():
            put(values, name, value)
        recipe_from_dict(values)


def put(values, name, value):
    """Set a dotted key of a recipe's values; None removes it."""
    *sections, last = name.split(".")
    if sections == ["transfer", "stage"]:
        whole = {"name": "first", "data": {"dataset": "phantom"}, "epochs": 1}
        values.setdefault("transfer", {})["stage"] = [whole | {last: value}]
        return
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value
    if value is None:
        del values[last]


def test_the_command_line_page_has_every_command_and_option(site):
    from typer.main import get_command

    from eosin.cli.app import app

    page = (site / "commands.html").read_text(encoding="utf-8")
    root = get_command(app)
    inner = root.commands.pop("data").commands
    commands = root.commands | {f"data-{name}": inner[name] for name in inner}
    for name, command in commands.items():
        assert f'id="eosin-{name}"' in page
        for option in (one for one in command.params if one.name != "help"):
            assert option.opts[0] in page, (name, option.name)


def test_the_python_page_has_every_public_name(site):
    import eosin

    page = (site / "python.html").read_text(encoding="utf-8")
    assert [name for name in eosin.__all__ if f'id="eosin.{name}"' not in page] == []
