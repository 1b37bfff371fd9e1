"""Reading and validation of a recipe from TOML and ``--set``; errors name the key."""

from __future__ import annotations

import codecs
import json
import re
import shlex
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Any, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ValidationError

from eosin.core.errors import RecipeError, close_matches
from eosin.core.files import open_file
from eosin.core.hints import name_settings
from eosin.core.text import is_text, listing, quantity, shorten
from eosin.recipe.data import shares_hint
from eosin.recipe.overrides import MOST_LEVELS, Overrides, load_toml, override, parse_overrides
from eosin.recipe.schema import EMBEDDING, TRAINING, Recipe

#: Largest recipe in bytes; the largest of Eosin's has 3,000.
_MOST_BYTES = 1 << 20
#: Settings that give the keys without which there is no recipe.
_EXAMPLES = {
    "name": "name=first",
    "data": "data.manifest=MANIFEST.csv",
    "model": "model.name=light_cnn",
    "model.name": "model.name=light_cnn",
}
#: The folders of an absolute path, or of that of a table of features.
_FOLDERS = re.compile(rf"(?s)^({EMBEDDING}:)?(?:~|[A-Za-z]:)?[\\/](?:.*[\\/])?")


def read_recipe(path: Path, overrides: Overrides = ()) -> Recipe:
    """Read a recipe from a TOML file.

    Args:
        path: The file. Relative ``data.manifest`` and ``data.root`` start from its folder; for a
            named pipe, from the working folder.
        overrides: Values by key, or ``section.key=value`` texts; see :func:`parse_overrides`.

    Raises:
        RecipeError: The file is absent, no TOML, or has an unknown key or a value out of range.
    """
    path = Path(path)
    data = _read_toml(path)
    check_values(data, str(path))
    # The output of a process (`eosin train <(…)`) is in no folder of the user's.
    _anchor_all(data, Path.cwd() if path.is_fifo() else path.parent.resolve())
    return recipe_from_dict(data, source=str(path), overrides=overrides)


def _read_toml(path: Path) -> dict[str, Any]:
    """Read the tables of a TOML file; raises ``RecipeError`` if it cannot be read."""
    try:
        with open_file(path, pipe=True) as stream:
            content = stream.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise RecipeError(f"the recipe {path} does not exist") from None
    except IsADirectoryError:
        raise RecipeError(
            f"{path} is a folder, not a recipe", hint="Name the TOML file inside it"
        ) from None
    except OSError as error:
        raise RecipeError(f"the recipe {path} cannot be read: {error.strerror}") from error
    if len(content) > _MOST_BYTES:
        raise RecipeError(f"the recipe {path} is too large: at most {_MOST_BYTES:,} bytes are read")
    # No text has two in a row, in any encoding that an editor writes.
    if b"\0\0" in content and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise RecipeError(
            f"{path} is a binary file, not a recipe",
            hint="Name a recipe, a folder or a table of images; unpack an archive first",
        )
    try:
        # Windows' editors write two-byte line ends and a byte-order mark.
        return load_toml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"the recipe {path} is not valid TOML: it is not UTF-8 ({error.reason} at byte "
            f"{error.start:,})",
            hint="Save it as UTF-8",
        ) from None
    except RecursionError:
        raise RecipeError(f"the recipe {path} is nested too deeply") from None
    except ValueError as error:
        raise RecipeError(f"the recipe {path} is not valid TOML: {error}") from error


def _anchor_all(recipe: dict[str, Any], folder: Path) -> None:
    """Anchor every relative path of a recipe at its folder."""
    transfer = recipe.get("transfer")
    transfer = transfer if isinstance(transfer, dict) else {}
    stages = transfer.get("stage")
    stages = stages if isinstance(stages, list) else []
    sections = [recipe.get("data"), *(s.get("data") for s in stages if isinstance(s, dict))]
    for section in sections:
        if isinstance(section, dict):
            _anchor_paths(section, ("manifest", "root"), folder)
    if str(transfer.get("source", "")).endswith(".safetensors"):
        _anchor_paths(transfer, ("source",), folder)
    stain = recipe.get("stain")
    if isinstance(stain, dict) and stain.get("reference", TRAINING) != TRAINING:
        _anchor_paths(stain, ("reference",), folder)
    train = recipe.get("train")
    if isinstance(train, dict) and isinstance(train.get("teachers"), list):
        train["teachers"] = [_anchored(one, folder) for one in train["teachers"]]
    model = recipe.get("model")
    if isinstance(model, dict):
        family, colon, file = str(model.get("name", "")).partition(":")
        if family == EMBEDDING and not file.startswith(("$", "~")):
            model["name"] = f"{family}{colon}{folder / file}"


def _anchor_paths(section: dict[str, Any], keys: tuple[str, ...], folder: Path) -> None:
    for key in keys:
        if key in section:
            section[key] = _anchored(section[key], folder)


def _anchored(value: Any, folder: Path) -> Any:
    is_relative = isinstance(value, str) and not value.startswith(("$", "~"))
    return str(folder / value) if is_relative else value


def recipe_from_dict(
    data: Mapping[str, Any], *, source: str = "the recipe", overrides: Overrides = ()
) -> Recipe:
    """Validate a nested dictionary against the schema, after applying overrides to it.

    Raises:
        RecipeError: It does not fit; the message has the key, the expected value and close
            matches, and names the override if that is the cause.
    """
    check_values(data, source)
    given = parse_overrides(overrides)
    changed = override(data, given)
    check_values(changed, name_settings())
    try:
        return Recipe.model_validate(changed)
    except ValidationError as error:
        if not (cause := _find_overrides(error, data, given)):
            raise _explain(error, source) from None
        hint = shares_hint(changed, error.errors()[0]["loc"], given) or _find_place(error)
        raise _explain(error, name_settings(*cause), hint) from None


def find_key(name: str) -> str | None:
    """Return the key of a recipe that ends in ``name``, with its section.

    One outside all sections comes first; there is none if several sections have it.
    """
    found: list[str] = []
    todo: list[tuple[str, Any]] = [("", Recipe)]
    while todo:
        section, model = todo.pop(0)
        for key, field in model.model_fields.items():
            if key == name:
                found.append(f"{section}{key}")
            if _is_section(field.annotation):
                todo.append((f"{section}{key}.", field.annotation))
    return found[0] if len(found) == 1 or (found and "." not in found[0]) else None


def _find_place(error: ValidationError) -> str | None:
    """Return a hint to the section of a key that an override looks for in another."""
    first = error.errors()[0]
    key = find_key(str(first["loc"][-1])) if first["type"] == "extra_forbidden" else None
    value = first["input"]
    return f"Use --set {shlex.quote(f'{key}={value}')}" if key else None


def _find_overrides(
    error: ValidationError, data: Mapping[str, Any], overrides: Mapping[str, Any]
) -> list[str]:
    """Return the overrides that cause an error; empty if the recipe has it without them."""
    where = tuple(str(part) for part in error.errors()[0]["loc"])
    try:
        Recipe.model_validate(dict(data))
    except ValidationError as before:
        if tuple(map(str, before.errors()[0]["loc"])) == where:
            return []
    found: list[str] = []
    todo: list[tuple[tuple[str, ...], Any]] = [((), overrides)]
    while todo:
        key, value = todo.pop()
        if key[: len(where)] != where[: len(key)]:
            continue
        if isinstance(value, Mapping) and value:
            todo += [((*key, name), value[name]) for name in reversed([*value])]
        elif key:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            found.append(shorten(f"{'.'.join(key)}={text}"))
    return found


def check_values(data: Mapping[str, Any], source: str) -> None:
    """Reject values that no recipe can hold, so that later steps may rely on it.

    Raises:
        RecipeError: Tables nested deeper than any section, or a value without a form in TOML.
    """
    todo: list[tuple[str, Any, int]] = [("", data, 0)]
    while todo:
        key, value, depth = todo.pop()
        if depth > MOST_LEVELS:
            raise RecipeError(f"{source} is nested too deeply: {shorten(key)!r}")
        if fault := _fault_of(value):
            raise RecipeError(f"{source}: {shorten(key)!r} {fault}")
        if isinstance(value, Mapping):
            bad = next((name for name in value if not is_text(str(name))), None)
            if bad is not None:
                raise RecipeError(f"{source}: a key is not UTF-8 text: {shorten(str(bad))!r}")
            todo += [(f"{key}.{name}".strip("."), value[name], depth + 1) for name in value]
        elif isinstance(value, list | tuple):
            todo += [(f"{key}.{place}", item, depth + 1) for place, item in enumerate(value)]


def _fault_of(value: Any) -> str | None:
    """Return why a value has no form in TOML; None where it has one."""
    if isinstance(value, str):
        return None if is_text(value) else f"is not UTF-8 text: {shorten(repr(value))}"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "is a number of more than 64 bits"
    if isinstance(value, list | tuple) and None in value:
        return "is a list with an empty value"
    known = (bool, int, float, date, time, Mapping, list, tuple, BaseModel, type(None))
    return None if isinstance(value, known) else f"is of the type {type(value).__name__}"


def _explain(error: ValidationError, source: str, hint: str | None = None) -> RecipeError:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = shorten(".".join(path))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        return RecipeError(
            f"{source}: unknown key {key!r}{more}", hint=hint or close_matches(path[-1], known)
        )
    if first["type"] == "missing":
        return _explain_missing(error, source)
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[0].lower() + reason[1:] if reason else reason
    got = "" if first["type"] == "value_error" else f", got {shorten(repr(first['input']))}"
    where = f"{key!r}: " if key else ""
    return RecipeError(f"{source}: {where}{reason}{got}{more}", hint=hint)


def _explain_missing(error: ValidationError, source: str) -> RecipeError:
    """Return the error that names all missing keys."""
    found = [one["loc"] for one in error.errors() if one["type"] == "missing"]
    keys = [".".join(map(str, path)) for path in found]
    n_others = error.error_count() - len(keys)
    more = f" (and {quantity(n_others, 'other error')})" if n_others else ""
    named = listing(map(repr, keys))
    are = f"the keys {named} are" if len(keys) > 1 else f"the key {named} is"
    examples = " ".join(f"--set {_EXAMPLES[key]}" for key in keys if key in _EXAMPLES)
    hint = (
        f"Add {'it' if len(keys) == 1 else 'them'}, for example: {examples}" if examples else None
    )
    return RecipeError(f"{source}: {are} missing{more}", hint=hint)


def _known_keys(path: list[str]) -> list[str]:
    annotation: Any = Recipe
    for part in path:
        if get_origin(annotation) is tuple:
            annotation = get_args(annotation)[0]  # all items have one type
        elif _is_section(annotation):
            annotation = annotation.model_fields[part].annotation
        else:
            return []
    return list(annotation.model_fields) if _is_section(annotation) else []


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def recipe_to_toml(recipe: Recipe) -> str:
    """Return the resolved recipe as TOML, every default written out.

    A null has no form in TOML: such a key is left out and means its default.
    """
    return tomli_w.dumps(_without_none(recipe.model_dump(mode="json")))


def recipe_for_page(recipe: Recipe) -> str:
    """Return a recipe as TOML to be passed on: no description, of an absolute path the name."""
    values = recipe.model_dump(mode="json", exclude={"description"})
    return tomli_w.dumps(_without_folders(_without_none(values)))


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return _FOLDERS.sub(r"\1…/", value) if isinstance(value, str) else value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
