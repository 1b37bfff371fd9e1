"""Reading ``[data.options]`` of a recipe: what a data set's adapter may be told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from eosin.core.errors import RecipeError, UsageError, close_matches
from eosin.core.places import expand_path


def check_options(name: str, options: Mapping[str, Any], known: Collection[str] = ()) -> None:
    """Refuse an option that the data set does not have.

    Raises:
        UsageError: It has no such option.
    """
    for key in options:
        if not known:
            raise UsageError(f"{name} takes no options, got {key!r}")
        if key not in known:
            raise RecipeError(
                f"'data.options.{key}': {name} has no such option", mend=close_matches(key, known)
            )


def take_text(options: Mapping[str, Any], key: str, default: str) -> str:
    """Return an option that must be a text.

    Raises:
        RecipeError: It is something else, or empty.
    """
    value = options.get(key, default)
    if not isinstance(value, str) or not value:
        raise RecipeError(f"'data.options.{key}' must be a text, got {value!r}")
    return value


def take_choice(
    options: Mapping[str, Any], key: str, default: str, choices: Collection[str]
) -> str:
    """Return an option that must be one of a few.

    Raises:
        RecipeError: It is none of them.
    """
    value = take_text(options, key, default)
    if value not in choices:
        raise RecipeError(
            f"'data.options.{key}' must be one of {', '.join(choices)}, got {value!r}",
            mend=close_matches(value, choices),
        )
    return value


def take_texts(options: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return an option that must be a list of texts; nothing by default.

    Raises:
        RecipeError: It is something else.
    """
    value = options.get(key, ())
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise RecipeError(f"'data.options.{key}' must be a list of texts, got {value!r}")
    return tuple(value)


def take_file(root: Path, options: Mapping[str, Any], key: str, default: str) -> Path:
    """Return the file that an option names, from ``root`` unless it is absolute.

    ``$NAME`` and ``~`` expand.

    Raises:
        RecipeError: The option is given, but there is no such file.
    """
    file = root / expand_path(take_text(options, key, default))
    if key in options and not file.is_file():
        raise RecipeError(f"'data.options.{key}': there is no file {file}")
    return file
