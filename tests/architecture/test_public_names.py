"""Tests go through public names: what is private may change without a test knowing."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
#: Of other packages: without a public name, or the name by which Jupyter asks for it.
FOREIGN = frozenset({"_BatchNorm", "_repr_html_"})


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def find_private(tree):
    """Yield line and text of each use of a private name that is not the file's own."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)):
                parts = [*module.split("."), *(alias.name for alias in node.names)]
                found = any(map(is_private, parts))
            case ast.Import():
                parts = [part for alias in node.names for part in alias.name.split(".")]
                found = any(map(is_private, parts))
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                found = False
            case ast.Attribute(attr=name):
                found = is_private(name) and name not in FOREIGN
            # monkeypatch.setattr("eosin.…", …)
            case ast.Call(func=ast.Attribute(attr="setattr" | "delattr"), args=[first, *_]):
                found = isinstance(first, ast.Constant) and str(first.value).startswith("eosin.")
            case _:
                found = False
        if found:
            yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize(
    "code",
    [
        "from eosin.data import _read",
        "from eosin._data import read",
        "import eosin._data",
        "run._state",
        "monkeypatch.setattr('eosin.data.read', None)",
    ],
)
def test_a_private_name_is_found(code):
    assert list(find_private(ast.parse(code))) == [(1, code)]


def test_own_names_and_dunder_names_are_no_private_names():
    assert not list(find_private(ast.parse("import os\nself._state, os.__name__")))


def test_no_test_uses_a_private_name():
    found = [
        f"{path.relative_to(TESTS)}:{line}: {text}"
        for path in sorted(TESTS.rglob("*.py"))
        for line, text in find_private(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []
