"""Loading of plugins: modules that register a user's own parts, see :mod:`eosin.plugins`.

An installed package names them as entry points, ``--plugin`` for one command. Entry points of a
group are loaded when a name of that group is first looked up: one that cannot be imported is a
warning, because a broken package must not stop a command that does not need it.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import sysconfig
import traceback
from importlib import import_module, metadata
from pathlib import Path

from eosin.core.errors import UsageError

#: Where no code of a user's own is: Eosin, the standard library, and code without a file.
_FOREIGN = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"), "<frozen")
_LOG = logging.getLogger(__name__)
#: Plugins that this process has loaded, as they were named.
loaded_plugins: list[str] = []
#: Groups of entry points that were loaded in this process.
_loaded: set[str] = set()


def load_entry_points(group: str) -> None:
    """Import what installed packages name in a group, e.g. ``eosin.networks``, once a process."""
    if group in _loaded:
        return
    _loaded.add(group)
    for entry in metadata.entry_points(group=group):
        try:
            entry.load()
        except Exception as error:  # noqa: BLE001 -- somebody else's code
            package = getattr(getattr(entry, "dist", None), "name", None)
            what = f"{entry.value}{f' of the package {package}' if package else ''}"
            _LOG.warning(f"the plugin {what} cannot be loaded: {describe_error(error)}")


def load_plugin(name: str) -> None:
    """Import a plugin by the name of its module, or by its file, ``my_parts.py``.

    Modules are found in the working folder, too.

    Raises:
        UsageError: It does not exist, or its import fails.
    """
    try:
        if name.endswith(".py"):
            _import_file(Path(name))
        else:
            if "" not in sys.path and str(Path.cwd()) not in sys.path:
                sys.path.append(str(Path.cwd()))
            import_module(name)
        loaded_plugins.append(name)
    except (Exception, SystemExit) as error:  # a script may end Python
        absent = not Path(name).is_file() if name.endswith(".py") else _is_absent(name, error)
        raise UsageError(
            f"the plugin {name} cannot be loaded: {describe_error(error)}",
            hint="Name a Python module or a .py file" if absent else None,
        ) from error


def _is_absent(name: str, error: BaseException) -> bool:
    return isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}.")


def _import_file(path: Path) -> None:
    if path.stem in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise


def describe_error(error: BaseException) -> str:
    """Return the kind, the first line and the place of an error in a user's own code."""
    lines = str(error).strip().splitlines()
    shown = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_FOREIGN) and "site-packages" not in frame.filename
    ]
    if isinstance(error, SyntaxError) or not own:  # a syntax error names its place itself
        return shown
    return f"{shown} ({Path(own[-1].filename).name}, line {own[-1].lineno})"
