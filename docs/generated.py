"""Parts of pages that are made from the code when the site is built.

A page holds `<!-- generated: NAME -->`; `conf.py` puts the Markdown of `GENERATED[NAME]` there.
"""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import eosin
from eosin.cli.app import app
from eosin.recipe import Recipe

RECIPES = Path(__file__).parents[1] / "recipes"
#: Characters of an example that is taken from a recipe.
MOST_WIDE = 70
#: Examples of keys that no shipped recipe sets, or not for everybody.
EXAMPLES: dict[str, Any] = {
    "name": "own-patches",
    "description": "The light CNN on our own patches.",
    "seed": 1,
    "data.manifest": "patches.csv",
    "data.root": "~/patches",
    "data.path": "file",
    "data.patient": "patient_id",
    "data.group": "block",
    "data.label": "diagnosis",
    "data.limit": 20,
    "data.channels": ["dna", "actin"],
    "data.percentiles": [1.0, 99.0],
    "data.split.train": 0.6,
    "data.split.val": 0.2,
    "data.split.test": 0.2,
    "data.split.k": 10,
    "data.split.repeats": 3,
    "data.split.seed": 0,
    "stain.method": "macenko",
    "stain.reference": "typical.png",
    "augment.copies": 4,
    "transfer.unfreeze_every": 5,
    "transfer.layer_decay": 0.8,
    "transfer.stage.lr": 0.0001,
    "transfer.stage.augment": "dihedral",
    "train.focal_gamma": 1.0,
    "train.label_smoothing": 0.1,
    "train.mixup": 0.2,
    "train.ema_decay": 0.9999,
    "train.teachers": ["runs/a", "runs/b"],
    "train.teacher_weight": 0.7,
    "train.threads": 4,
    "train.clip_gradient": 1.0,
    "train.checkpoint_minutes": 10.0,
    "train.momentum": 0.8,
    "train.schedule.factor": 0.1,
    "train.schedule.patience": 5,
    "train.schedule.every": 10,
    "train.schedule.min_lr": 1e-6,
    "train.schedule.warmup": 1.0,
    "train.loggers": ["tensorboard"],
    "evaluate.prevalence": 0.08,
    "evaluate.resamples": 5000,
    "evaluate.target_recall": 0.95,
    "evaluate.alpha": 0.05,
    "evaluate.gate": False,
    "evaluate.robustness": True,
}


class Key(NamedTuple):
    """A key of the recipe, as the page shows it."""

    name: str  # "train.lr"
    values: str  # what it may be
    default: str
    example: str  # a line of TOML
    text: str


def recipe_keys() -> dict[str, tuple[str, list[Key]]]:
    """Return the sections of a recipe: name → (what it is, its keys)."""
    used = _used_in_recipes()
    found = {}
    for section, model in _sections(Recipe, ""):
        summary, texts = _attributes(model)
        keys = []
        for name, field in model.model_fields.items():
            if _section_of(field) is not None:
                continue  # a section of its own
            dotted = f"{section}.{name}".lstrip(".")
            example = _example(dotted, field, used)
            keys.append(Key(dotted, _values(field), _default(field), example, texts[name]))
        found[section] = (summary, keys)
    return found


def recipe_page() -> str:
    """Return every key of the recipe as Markdown."""
    parts = []
    for section, (summary, keys) in recipe_keys().items():
        parts.append(f"## {_heading(section)}\n\n{summary}")
        parts += [
            f"### `{key.name}`\n\n{key.text}\n\n"
            f"Value: {key.values}. Default: {key.default}.\n\n```toml\n{key.example}\n```"
            for key in keys
        ]
    return "\n\n".join(parts)


def _heading(section: str) -> str:
    if section == "transfer.stage":
        return "`[[transfer.stage]]`"
    return f"`[{section}]`" if section else "Top level"


def _sections(model: type[BaseModel], name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield name, model
    for key, field in model.model_fields.items():
        inner = _section_of(field)
        # The data of a stage has the keys of `data`.
        if inner is not None and not name.startswith("transfer.stage"):
            yield from _sections(inner, f"{name}.{key}".lstrip("."))


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    for one in (field.annotation, *get_args(field.annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def _attributes(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """Return a docstring's text before its attributes, and the text of each attribute."""
    before, _, block = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?= {4}\w)", "\n" + block.rstrip()):
        name, _, text = entry.strip().partition(":")
        found[name] = _markdown(" ".join(text.split()))
    return _markdown(before.strip()), found


def _markdown(text: str) -> str:
    """Return a docstring's text as Markdown, with links to the pages that it names."""
    text = re.sub(r"docs/([\w-]+)\.md", r"[\1](\1.md)", text.replace("``", "`"))
    return text[:1].upper() + text[1:]


def _values(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(one, name):,}"
        for one in field.metadata + _metadata(field.annotation)
        for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if getattr(one, name, None) is not None and getattr(one, name) < 2**31
    ]
    return _type_name(field.annotation) + (
        f", {', '.join(dict.fromkeys(bounds))}" if bounds else ""
    )


def _metadata(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        inner, *rest = get_args(annotation)
        flat = [one for item in rest for one in getattr(item, "metadata", [item])]
        return flat + _metadata(inner)
    return [one for inner in get_args(annotation) for one in _metadata(inner)]


def _type_name(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(inner[0])
    if origin is Literal:
        return " or ".join(f"`{json.dumps(one)}`" for one in inner)
    if origin in (Union, UnionType):
        return " or ".join(_type_name(one) for one in inner if one is not NoneType)
    if origin is tuple:
        items = list(dict.fromkeys(_type_name(one) for one in inner if one is not Ellipsis))
        return f"list of {' and '.join(items)}" + ("" if Ellipsis in inner else f" ({len(inner)})")
    names = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}
    return names.get(annotation, "table")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "none; the key is required"
    return "not set" if value is None else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {_toml(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _example(name: str, field: FieldInfo, used: dict[str, list[tuple[str, Any]]]) -> str:
    """Return a line of TOML that sets the key to something else than its default."""
    default = field.get_default(call_default_factory=True)
    key = name.rpartition(".")[2]
    if name in EXAMPLES:
        return f"{key} = {_toml(EXAMPLES[name])}"
    for recipe, value in used.get(name, ()):
        if value != default and len(_toml(value)) < MOST_WIDE:
            return f"{key} = {_toml(value)}  # recipes/{recipe}"
    choices = [one for inner in _literals(field.annotation) for one in get_args(inner)]
    if isinstance(default, bool):
        choices = [not default]
    other = [one for one in choices if one != default]
    if not other:
        raise LookupError(f"docs/generated.py: `EXAMPLES` needs an example of {name}")
    return f"{key} = {_toml(other[0])}"


def _literals(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return [annotation]
    return [one for inner in get_args(annotation) for one in _literals(inner)]


def _used_in_recipes() -> dict[str, list[tuple[str, Any]]]:
    """Return for each key the shipped recipes that set it, with the values."""
    found: dict[str, list[tuple[str, Any]]] = {}

    def collect(values: dict[str, Any], prefix: str, recipe: str) -> None:
        for key, value in values.items():
            name = f"{prefix}{key}"
            found.setdefault(name, []).append((recipe, value))
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    collect(one, f"{name}.", recipe)

    for path in sorted(RECIPES.glob("*.toml")):
        collect(tomllib.loads(path.read_text(encoding="utf-8")), "", path.name)
    return found


def commands_page() -> str:
    """Return every command with its arguments and options as Markdown."""
    root = typer.main.get_command(app)
    shared = {one.name for one in root.params}
    parts = [f"## Options of every command\n\n{_parameters(root)}"]
    for path, command in _commands(root, "eosin"):
        usage = " ".join([path, *command.collect_usage_pieces(_context(command, path))])
        text = inspect.cleandoc(command.help or "")
        table = _parameters(command, shared)
        parts.append(f"## `{path}`\n\n{text}\n\n```sh\n{usage}\n```\n\n{table}")
    return "\n\n".join(part.rstrip() for part in parts)


def _context(command: Any, path: str) -> Any:
    return command.context_class(command, info_name=path)


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, one in getattr(command, "commands", {}).items():
        if hasattr(one, "commands"):
            yield from _commands(one, f"{path} {name}")
        else:
            yield f"{path} {name}", one


def _parameters(command: Any, shared: Collection[str] = ()) -> str:
    rows = []
    for one in command.params:
        name, help_text = one.get_help_record(_context(command, "eosin")) or (one.name, "")
        if one.name not in {"help", *shared}:
            rows.append(f"| `{name.strip()}` | {help_text.replace('|', chr(92) + '|')} |")
    return "\n".join(["| argument or option | meaning |", "|---|---|", *rows]) if rows else ""


def functions_page() -> str:
    """Return the functions, classes and errors of the package, for autodoc."""
    lines = []
    for name in eosin.__all__:
        found = getattr(eosin, name)
        kind = "autoexception" if name.endswith("Error") else "autoclass"
        kind = kind if isinstance(found, type) else "autofunction"
        lines += [f"## `eosin.{name}`", "", "```{eval-rst}", f".. {kind}:: eosin.{name}", "```", ""]
    return "\n".join(lines)


GENERATED = {
    "recipe keys": recipe_page,
    "commands": commands_page,
    "functions": functions_page,
}
