"""Exports, names, sizes, and what no file may hold."""

import ast
import inspect
from pathlib import Path

import pytest

import eosin
from eosin.core import errors

LONGEST_FILE = 400
VERBS = {
    "audit", "bench", "cache", "check", "check_explanations", "compare", "convert", "demo",
    "doctor", "ensemble", "evaluate", "explain", "export", "fetch", "list", "load", "load_run",
    "manifest", "models", "plan", "predict", "recipes", "report", "reproduce", "train",
}  # fmt: skip
# Each of these runs code that a file brings along.
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}


@pytest.fixture(scope="module")
def sources(repository):
    """Every module of the package, parsed, by its path."""
    folder = repository / "src" / "eosin"
    return {
        path.relative_to(folder): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.py"))
    }


def test_the_exports_are_locked():
    kinds = {name for name, kind in vars(errors).items() if hasattr(kind, "exit_status")}
    kinds = {name for name in kinds if not name.startswith("_")}
    assert set(dir(eosin)) == {"__version__", *kinds, *VERBS}
    assert set(eosin.__all__) == {*dir(eosin)} - {"__version__", "list"}
    assert eosin.__version__
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        eosin.trian  # noqa: B018


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_is_a_documented_function(verb):
    function = getattr(eosin, verb)
    assert inspect.isfunction(function)
    assert function.__name__ == verb
    assert function.__doc__


def test_no_room_shares_a_verb_s_name(repository):
    # A module `eosin.train` would take the function's place.
    rooms = {path.stem for path in (repository / "src" / "eosin").iterdir()}
    commands = {"bench", "reproduce"}
    assert not rooms & (VERBS | commands)
    assert not rooms & VAGUE


def test_files_are_short(repository):
    lengths = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in (repository / "src" / "eosin").rglob("*.py")
    }
    assert {name: count for name, count in lengths.items() if count >= LONGEST_FILE} == {}


def find_unpickling(tree):
    """Name every way in which a parsed module could unpickle something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            names = [module] if module else [alias.name for alias in node.names]
            # An error's name reads nothing.
            if {alias.name for alias in node.names} == {"UnpicklingError"}:
                names = []
            yield from (name for name in names if name.partition(".")[0] in UNPICKLERS)
        elif isinstance(node, ast.Attribute) and node.attr == "read_pickle":
            yield "read_pickle"
        elif isinstance(node, ast.Attribute) and node.attr == "load":
            if isinstance(node.value, ast.Name) and node.value.id == "torch":
                yield "torch.load"
        elif isinstance(node, ast.keyword):
            value = getattr(node.value, "value", None)
            if (node.arg, value) in {("allow_pickle", True), ("weights_only", False)}:
                yield f"{node.arg}={value}"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import os, pickle as p",
        "from joblib import load",
        "torch.load(path)",
        "pandas.read_pickle(path)",
        "numpy.load(path, allow_pickle=True)",
        "trainer.fit(weights_only=False)",
    ],
)
def test_a_planted_unpickling_is_found(code):
    assert list(find_unpickling(ast.parse(code)))


def test_only_one_file_unpickles_and_then_only_tensors(sources):
    found = {path.as_posix(): list(find_unpickling(tree)) for path, tree in sources.items()}
    assert {path: ways for path, ways in found.items() if ways} == {
        "runtime/unpickling.py": ["torch.load", "torch.load"]
    }
    for node in ast.walk(sources[Path("runtime/unpickling.py")]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            assert getattr(given.get("weights_only"), "value", None) is True


def test_only_the_door_imports_torchvision_and_timm(sources):
    found = {
        str(path)
        for path, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        if name.partition(".")[0] in {"torchvision", "timm"}
    }
    assert found == set()


def test_one_file_imports_onnxruntime_and_another_its_quantiser(sources):
    found = {
        path.as_posix()
        for path, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        if name.partition(".")[0] == "onnxruntime"
    }
    assert found == {"inference/onnx.py", "exporting/int8.py"}


def test_every_package_says_what_it_is(sources):
    silent = [str(path) for path, tree in sources.items() if not ast.get_docstring(tree)]
    assert silent == []
