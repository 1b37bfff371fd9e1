"""The package's functions: one for each command, seen by editors and type checkers."""

import builtins
import inspect
import subprocess
import sys

import pytest
import typer

import eosin
from eosin.cli.app import app

# Options that a function has no argument for: how a result is printed, a function of its own, and
# what every command takes.
ONLY_COMMANDS = {"all", "check", "help", "json", "plan", "selftest"}
ONLY_COMMANDS |= {"verbose", "quiet", "log_file", "threads", "offline", "plugin", "debug"}
# Arguments that cannot be called as their option, because Python has a function of that name.
RENAMED = {
    "train": {"set": "overrides"},
    "manifest": {"set": "options"},
    "evaluate": {"map": "labels"},
}
# Functions for programs alone.
NO_COMMANDS = {"check_explanations", "load", "load_run", "plan"}
# What only a program can give.
ONLY_FUNCTIONS = {"fetch": {"confirm", "limits", "patience"}}


def list_commands():
    """Return every command by its last word."""
    whole = typer.main.get_command(app)
    data = whole.commands.pop("data")
    return whole.commands | data.commands


COMMANDS = list_commands()


def name_argument(parameter):
    """Return the name of a command's argument, or of its long option, as Python spells it."""
    long = [option for option in parameter.opts if option.startswith("--")]
    return (long[0] if long else parameter.name).lstrip("-").replace("-", "_").lower()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_s_function_has_its_arguments(name):
    wanted = {name_argument(parameter) for parameter in COMMANDS[name].params} - ONLY_COMMANDS
    wanted = {RENAMED.get(name, {}).get(one, one) for one in wanted}
    taken = set(inspect.signature(getattr(eosin, name)).parameters)
    assert taken - ONLY_FUNCTIONS.get(name, set()) == wanted


def test_functions_and_commands_are_the_same():
    functions = {name for name in dir(eosin) if inspect.isfunction(getattr(eosin, name))}
    assert functions == {*COMMANDS, *NO_COMMANDS}


def test_importing_all_leaves_built_in_names_alone():
    names = {}
    exec("from eosin import *", names)  # noqa: S102 -- the statement under test
    assert names["train"] is eosin.train
    assert not names.keys() & vars(builtins).keys()


@pytest.fixture(scope="module")
def type_check(repository, tmp_path_factory):
    """Return a function that runs mypy on a script which uses the package."""

    def run(script):
        path = tmp_path_factory.mktemp("script") / "script.py"
        path.write_text(script, encoding="utf-8")
        # As `make check` calls it, so that its cache is warm.
        line = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(path)]
        done = subprocess.run(line, cwd=repository, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    return run


def test_type_checkers_know_every_name_and_no_other(type_check):
    names = [*dir(eosin), "trian"]
    found = type_check("import eosin\n" + "".join(f"reveal_type(eosin.{name})\n" for name in names))
    *known, misspelt = [line for line in found.splitlines() if ": note: R" in line]
    assert len(known) == len(names) - 1
    assert [line for line in known if '"Any"' in line] == []
    assert 'error: Module has no attribute "trian"' in found, misspelt
    assert found.count("error:") == 1


def test_type_checkers_know_arguments_and_results(type_check):
    found = type_check(
        "import eosin\n"
        "eosin.train('recipe.toml', trian=[])\n"
        "n: str = eosin.predict('model', 'images').skipped\n"
    )
    assert '"trian" for "train"' in found
    assert found.count("error:") == 2


def test_the_package_declares_its_types(repository):
    # PEP 561; hatchling packs every file of the folder that git does not ignore.
    marker = repository / "src" / "eosin" / "py.typed"
    assert marker.read_text() == ""
    line = ["git", "check-ignore", "--quiet", str(marker)]
    assert subprocess.run(line, cwd=repository, check=False).returncode == 1
