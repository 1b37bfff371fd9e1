"""Parsing of ``--set key=value``, by the type of the field."""

from __future__ import annotations

import contextlib
import logging
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from eosin.core.errors import RecipeError
from eosin.core.hints import name_settings
from eosin.core.text import shorten
from eosin.recipe.data import restart_split
from eosin.recipe.schema import Recipe

_LOG = logging.getLogger(__name__)

#: Deepest nesting of tables; a recipe has five levels.
MOST_LEVELS = 32
_EXAMPLE = "For example --set train.epochs=5"
_LONG_KEY = re.compile(r"(?:\.[ \t]*[^.\s=,\[\]{}]{1,999}[ \t]*){100}")


class _Whole(dict[str, Any]):
    """A table given as one value, which replaces the old one instead of extending it."""


#: Changes of a recipe: values by key, ``{"train.epochs": 5}``, nested or not; or ``--set`` texts.
Overrides = Mapping[str, Any] | Iterable[str]


def override(recipe: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """Apply overrides to a recipe; the input is not changed.

    Logs a sentence for each section whose keys were dropped.

    Raises:
        RecipeError: A text has no key, or sets a key that the split's protocol does not use.
    """
    extra = parse_overrides(overrides)
    return merge(_restart_splits(recipe, extra, ""), extra)


def _restart_splits(base: Any, extra: Any, where: str) -> Any:
    """Return ``base`` with a fresh ``data.split`` wherever ``extra`` changes one."""
    if not isinstance(extra, Mapping) or isinstance(extra, _Whole):
        return base
    if where.endswith("data.split"):
        kept, sentence = restart_split(base if isinstance(base, Mapping) else {}, extra, where)
        if sentence:
            _LOG.info(sentence)
        return kept
    if isinstance(base, list | tuple):
        return [
            _restart_splits(item, extra.get(str(place)), f"{where}.{place}")
            for place, item in enumerate(base)
        ]
    changed = dict(base) if isinstance(base, Mapping) else {}
    for key in extra:
        inner = _restart_splits(changed.get(key), extra[key], f"{where}.{key}".strip("."))
        if inner is not None:
            changed[key] = inner
    return changed if changed or base is not None else None


def parse_overrides(
    overrides: Overrides, schema: type[BaseModel] | None = Recipe
) -> dict[str, Any]:
    """Parse ``a.b=value`` texts into a nested dictionary; a dictionary's own values stay.

    The type of the field determines how its value is read: text is taken as typed, with or without
    quotes (``data.positive=1``); a list may lack brackets and quotes
    (``data.magnifications=40,100``); an empty value unsets an optional key. Everything else, and
    all without a schema, is TOML; what is no TOML value is text. ``data.options={}`` empties the
    table, ``data.options.seed=1`` changes one key of it.

    A single text may come without a list around it.

    Raises:
        RecipeError: A text has no ``=`` or no key.
    """
    tree: dict[str, Any] = {}
    if isinstance(overrides, Mapping):
        for key, value in _flatten(overrides):
            _branch_for(tree, key)[key.rpartition(".")[2]] = value
        return tree
    texts: Any = [overrides] if isinstance(overrides, str) else overrides
    if not isinstance(texts, Iterable):
        kind = type(texts).__name__
        raise RecipeError(f"overrides must be a dict, got an object of type {kind}", hint=_EXAMPLE)
    for text in texts:
        if not isinstance(text, str):
            raise RecipeError(f"overrides must be a dict or texts, got {text!r}", hint=_EXAMPLE)
        key, equals, given = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise RecipeError(
                f"{name_settings()} needs key=value, got {shorten(text)!r}",
                hint=_EXAMPLE,
            )
        branch = _branch_for(tree, key)
        parsed = _read_value(given.strip(), _annotation_at(schema, key.split(".")))
        branch[key.rpartition(".")[2]] = _Whole(parsed) if isinstance(parsed, dict) else parsed
    return tree


def _branch_for(tree: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the dictionary inside ``tree`` that the last part of a key belongs into."""
    sections = key.split(".")[:-1]
    if len(sections) >= MOST_LEVELS:
        raise RecipeError(f"{name_settings(shorten(key))} is nested too deeply")
    branch = tree
    for name in sections:
        branch = branch.setdefault(name, {})
        if not isinstance(branch, dict):
            given = name_settings(shorten(key))
            raise RecipeError(f"{given}: {shorten(name)!r} already has a value")
    return branch


def _flatten(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of nested dictionaries with its whole key; an empty one is a value."""
    for name, value in values.items():
        key = f"{before}{name}"
        is_table = isinstance(value, Mapping) and not isinstance(value, _Whole)
        if is_table and value and key.count(".") < MOST_LEVELS:
            yield from _flatten(value, f"{key}.")
        else:
            yield key, _Whole() if is_table else value


def _annotation_at(schema: type[BaseModel] | None, path: Sequence[str]) -> Any:
    """Return the annotation of a field; ``Any`` for a field outside the schema."""
    found: Any = schema
    for name in path:
        if get_origin(found) is tuple:
            found = get_args(found)[0]  # an item of a list, by its index
        elif isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(name)
            found = Any if field is None else field.annotation
        else:
            return Any
    return found


def _read_value(text: str, annotation: Any) -> Any:
    """Parse a value according to the field's annotation."""
    kinds = _alternatives(annotation)
    if type(None) in kinds and not text:
        return None
    items = next((get_args(kind)[0] for kind in kinds if get_origin(kind) is tuple), None)
    if items is not None:
        return _read_list(text, items)
    parsed = _parse_toml(text)
    is_text = str in kinds or any(get_origin(kind) is Literal for kind in kinds)
    if is_text and not isinstance(parsed, str) and not (int in kinds and _is_int(parsed)):
        return text
    if parsed is None and {int, float} & set(kinds):
        return _parse_number(text)
    return text if parsed is None else parsed


def _parse_number(text: str) -> int | float | str:
    """Return a number in a form that TOML does not have (``.5``, ``03``); else the text."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _read_list(text: str, items: Any) -> list[Any]:
    """Parse a list with or without brackets and quotes."""
    parsed = _parse_toml(text if text.startswith("[") else f"[{text}]")
    if isinstance(parsed, list) and all(isinstance(item, str) for item in parsed):
        return parsed
    inner = text.removeprefix("[").removesuffix("]")
    return [_read_value(part.strip(), items) for part in inner.split(",") if part.strip()]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_toml(text: str) -> Any:
    """Return the TOML value of a text; None if it is no TOML."""
    try:
        return load_toml(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # a number of 5,000 digits, or 1,000 brackets
        return None


def load_toml(text: str) -> dict[str, Any]:
    """Parse a TOML document; raises ``ValueError``, or ``RecursionError`` on deep nesting."""
    # The parser's time grows with the square of a key's parts.
    if _LONG_KEY.search(text):
        raise RecursionError("a key has too many parts")
    return tomllib.loads(text)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation allows, unions and ``Annotated`` unwrapped."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return tuple(kind for one in get_args(annotation) for kind in _alternatives(one))
    return (annotation,)


def merge(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` updated with ``extra``, section by section."""
    merged = dict(base)
    for key, value in extra.items():
        mine = merged.get(key)
        if isinstance(value, _Whole):
            merged[key] = dict(value)
        elif isinstance(mine, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(mine, value)
        elif isinstance(mine, list | tuple) and isinstance(value, Mapping):
            merged[key] = _merge_items(key, mine, value)
        else:
            merged[key] = value
    # The two sources of samples cannot be combined: setting one drops the other.
    for new, old in (("manifest", "dataset"), ("dataset", "manifest")):
        if extra.get(new) is not None and old not in extra and {new, old} <= merged.keys():
            merged.pop(old)
    return merged


def _merge_items(key: str, items: Sequence[Any], extra: Mapping[str, Any]) -> list[Any]:
    """Apply ``--set a.0.b=value`` to the items of a list, which are counted from 0."""
    merged = list(items)
    known = {str(place): place for place in range(len(merged))}
    for place, value in extra.items():
        if place not in known:
            listed = f"0 to {len(merged) - 1}" if merged else "none"
            given = name_settings(f"{key}.{shorten(place)}")
            raise RecipeError(f"{given}: the recipe has the items {listed}")
        item = merged[known[place]]
        is_table = isinstance(item, Mapping) and isinstance(value, Mapping)
        merged[known[place]] = merge(item, value) if is_table else value
    return merged
