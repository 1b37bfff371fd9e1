"""Hints in the words of whoever reads them: what the command's user types, or Python's call.

Hints are written as commands and options. Where no command runs, an option becomes the argument of
the function, and a command the call: ``--allow-leak`` is ``allow_leak=True``, ``eosin train
--resume RUN`` is ``eosin.train(resume=RUN)``. Placeholders in capitals stay as they are.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

#: Options that Python calls otherwise.
_RENAMED = {"-o": "output", "--set": "overrides", "--map": "labels"}
_OPTION = r"(?<![-\w])(?:--[a-z][a-z-]*|-o)\b"
#: A placeholder, something quoted, or a word that no sentence has: a path, an assignment, a name;
#: the name of a method is a word.
_VALUE = (
    r"(?:'[^']*'|(?<=--method[ =])[a-z_]+|[A-Z][A-Z]+\b[\w.=]*"
    r"|[^\s,;()'`]*[/=._][^\s,;()'`]*[^\s,;.()'`])"
)
_GIVEN = rf"{_OPTION}(?:[ =]{_VALUE})?"
#: A word is a path or a name, not the sentence's, before an option and at the end.
_BARE = r"[^\W_][^\s,;()'`]*(?=$| (?:--[a-z]|-o\b))"
_COMMAND = re.compile(
    rf"\beosin (?:data )?([a-z]+)\b((?:(?<=fetch|ifest) [a-z]\w*)?"
    rf"(?: (?:{_GIVEN}|{_VALUE}|{_BARE}))*)"
)
_ARGUMENT = re.compile(rf"({_OPTION})(?:[ =]({_VALUE}))?")
_WORD = re.compile(rf"{_GIVEN}|{_VALUE}|\S+")

#: The folders of a path, behind an option or a setting's key; its name stays.
_FOLDERS = re.compile(r"(?s)^((?:--?[\w-]+=)?(?:[\w.]+=)?)(?:.*[\\/])(?=[^\\/])")
#: Words that a shell takes as they are; ``…`` stands for folders.
_PLAIN = re.compile(r"[\w@%+=:,./…-]+")

#: What was typed after ``eosin``; ``None`` where no command runs.
_typed: Sequence[str] | None = None


@contextmanager
def typed_hints(arguments: Sequence[str] = ()) -> Iterator[None]:
    """Leave hints as what is typed while a command runs, the arguments of which are given."""
    global _typed
    before, _typed = _typed, arguments
    try:
        yield
    finally:
        _typed = before


def typed_command() -> str:
    """Return the command that runs as it was typed, of each path the name; empty without one."""
    if not _typed:
        return ""
    words = [_FOLDERS.sub(r"\1…/", re.sub(r"(?<=.)[\\/]+$", "", word)) for word in _typed]
    shown = [word if _PLAIN.fullmatch(word) else shlex.quote(word) for word in words]
    return " ".join(["eosin", *shown])


def typed_value(option: str) -> str | None:
    """Return the value that was typed for an option, which may not exist; ``None`` without one."""
    for word, following in pairwise([*(_typed or ()), ""]):
        if word == option:
            return following if following and not following.startswith("-") else None
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def name_settings(*settings: str) -> str:
    """Return texts ``key=value``, or keys, as what they were given in: ``--set``, or overrides."""
    if _typed is not None:
        return " ".join(["--set", *settings])
    pairs = [text.partition("=") for text in settings]
    if not pairs or not all(equals for _, equals, _ in pairs):
        return " ".join(["overrides", *(repr(text) for text in settings)])
    values = ", ".join(f"{key!r}: {_read(value)!r}" for key, _, value in pairs)
    return f"overrides={{{values}}}"


def in_users_words(hint: str) -> str:
    """Return a hint as it is typed while a command runs, otherwise as Python's call."""
    if _typed is not None:
        return hint
    called = _ARGUMENT.sub(lambda found: _argument(*found.groups()), _COMMAND.sub(_call, hint))
    # An option that is given twice is one dictionary.
    return re.sub(r"\},? (?:overrides|labels)=\{", ", ", called)


def _call(command: re.Match[str]) -> str:
    name, rest = command.groups()
    given = [_ARGUMENT.fullmatch(word) or word for word in _WORD.findall(rest)]
    shown = [_value(one) if isinstance(one, str) else _argument(*one.groups()) for one in given]
    return f"eosin.{name}({', '.join(shown)})"


def _argument(option: str, value: str | None) -> str:
    if option == "--plugin":
        return f"import {value}"
    name = _RENAMED.get(option) or option.lstrip("-").replace("-", "_")
    if value is None:
        # An option that takes a value is meant by its name alone.
        return f"{name}=True" if _is_switch(name) else f"`{name}`"
    if name in {"overrides", "labels"}:
        key, _, setting = shlex.split(value)[0].partition("=")
        return f"{name}={{{key!r}: {_read(setting)!r}}}"
    return f"{name}={_value(value)}"


def _is_switch(name: str) -> bool:
    return name.startswith(("accept_", "allow_", "keep_")) or name in {
        *("independent", "offline", "overwrite", "pseudonymise", "quick", "reduced"),
    }


def _read(setting: str) -> Any:
    """Return the value of a setting: a number or a switch as such, nothing as None."""
    try:
        return json.loads(setting) if setting else None
    except ValueError:
        return setting


def _value(text: str) -> str:
    """Return a placeholder as it is, any other value as Python's text."""
    return text if re.fullmatch(r"[A-Z][A-Z]+", text) else repr(shlex.split(text)[0])
