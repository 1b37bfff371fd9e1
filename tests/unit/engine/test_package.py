"""The engine stands on NumPy, the standard library and the core alone, and stays short."""

import ast
import sys
from pathlib import Path

import pytest

import eosin.engine

FILES = sorted(Path(eosin.engine.__file__).parent.rglob("*.py"))
OWN = ("eosin.core", "eosin.engine")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_else_is_imported(path):
    for name in imported(path):
        top = name.partition(".")[0]
        is_own = any(name == own or name.startswith(f"{own}.") for own in OWN)
        assert is_own or top == "numpy" or top in sys.stdlib_module_names, name


def test_it_is_read_in_one_sitting():
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES) < 1200
