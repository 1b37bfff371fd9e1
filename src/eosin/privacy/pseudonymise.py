"""Pseudonymisation of tables, JSON documents and recipes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from eosin.artifacts.pseudonyms import load_pseudonyms
from eosin.artifacts.versioned import Document
from eosin.core.types import Image, Samples, parts_of
from eosin.privacy.identifiers import HARMLESS, IDENTIFYING, Identifiers, file_of
from eosin.recipe.schema import EMBEDDING, TRAINING

D = TypeVar("D", bound=Document)
#: Keys of files and folders of the machine.
_FILES = frozenset({"data_root", "root", "manifest", "reference", "source"})
#: Keys that are emptied: a commit identifies its author's working tree.
_EMPTY = frozenset({"git"})
#: Prefixes of columns of numbers, whatever their data type.
_NUMBERS = ("prob_", "logit_")
#: Keys beside ``a`` and ``b`` if these are images; keys of a group joined by a repair.
_PAIRS = (("split_a", "split_b"), ("group_a", "group_b"))
_JOINED = frozenset({"group", "groups", "links"})
#: Parts of an audit's message around the list of names, which may hold a colon, too.
_MESSAGE = re.compile(
    r"(?P<head>[^\n]*? stands? (?:in both|more than once in) [^\n]*?): [^\n]* "
    r"(?P<share>\([^()]* images\))"
)


def knows_images(frame: Any) -> bool:
    """Return True if a table has an identifying column, of images or patients."""
    return any(column in IDENTIFYING for column in frame)


def hide_table(frame: Any, known: Identifiers, root: Path = Path()) -> Any:
    """Pseudonymise a pandas table, whose relative paths start at ``root``.

    A table of images or patients keeps only its identifying and harmless columns, and is sorted by
    pseudonym: in the order of names, anyone with a list of the patients could count them off. Any
    other table is searched as running text.
    """
    is_shown = knows_images(frame)
    columns = [column for column in frame if not is_shown or _may_stay(str(column))]
    table = frame[columns].copy()
    for column in columns:
        kind = IDENTIFYING.get(column)
        if kind is not None:
            table[column] = _mapped(table[column], lambda cell, k=kind: known.cell(k, cell, root))
        elif not str(column).startswith(_NUMBERS):
            table[column] = _mapped(table[column], known.text)
    if "path" in table:
        if "reason" in table:
            cells = zip(frame["path"], frame["reason"], strict=True)
            table["reason"] = [_hide_reason(reason, path, known, root) for path, reason in cells]
        table = table.sort_values("path", kind="stable", ignore_index=True)
    return table.rename(columns={column: known.text(str(column)) for column in columns})


def _may_stay(column: str) -> bool:
    return column in IDENTIFYING or column in HARMLESS or column.startswith(_NUMBERS)


def _mapped(cells: Any, change: Any) -> Any:
    """Return a column with its text replaced, calling ``change`` once per distinct text."""
    changed = {cell: change(cell) for cell in cells.unique() if isinstance(cell, str)}
    return cells.map(lambda cell: changed.get(cell, cell) if isinstance(cell, str) else cell)


def hide_json(value: Any, known: Identifiers, root: Path = Path(), key: str = "") -> Any:
    """Pseudonymise a JSON or TOML value under ``key``; relative paths start at ``root``."""
    if key in _EMPTY:
        return None
    if isinstance(value, Mapping):
        return _hide_mapping(value, known, root, key)
    if isinstance(value, list | tuple):
        items = [hide_json(item, known, root, key.removesuffix("s")) for item in value]
        # Sorted like tables: an order by name would reveal names. The order of thumbnails stays.
        is_shown = key.removesuffix("s") in IDENTIFYING or all(map(_names_images, items))
        return sorted(items, key=str) if is_shown else items
    return _hide_text(value, known, root, key) if isinstance(value, str) else value


def _names_images(item: Any) -> bool:
    return (
        isinstance(item, Mapping)
        and (_is_pair(item) or "path" in item or item.keys() >= _JOINED)
        and ("file" not in item)
    )


def _is_pair(item: Mapping[str, Any]) -> bool:
    """Return True if a mapping is a pair of a finding, or a link of two groups."""
    return any({"a", "b", *sides} <= item.keys() for sides in _PAIRS)


def _hide_mapping(
    value: Mapping[str, Any], known: Identifiers, root: Path, key: str
) -> dict[str, Any]:
    kind = IDENTIFYING.get(key[3:]) if key.startswith("by_") else None
    changed = {
        known.cell(kind, name, root) if kind else known.text(name): (
            hide_json(item, known, root, name)
        )
        for name, item in value.items()
    }
    if _is_pair(value):
        changed |= {side: known.cell("image", value[side], root) for side in "ab"}
        if value.get("kind") == "alike_names":  # spellings as short as "7" escape a search of text
            changed["how"] = None
    if {"kind", "severity", "message"} <= value.keys():
        changed["message"] = _hide_message(str(value["message"]), known)
        if value["kind"] == "alike_names":
            changed["pairs"] = [{**pair, "how": None} for pair in changed.get("pairs", [])]
    return dict(sorted(changed.items())) if kind else changed


def _hide_message(message: str, known: Identifiers) -> str:
    """Remove the names from an audit's message: ``9 groups stand in both … (30 of 60 images)``.

    It lists the first of many, and names may be as short as a number of images.
    """
    match = _MESSAGE.fullmatch(message)
    if match is None:
        return known.text(message.partition(": ")[0])
    return known.text(f"{match['head']} {match['share']}")


def _hide_text(value: str, known: Identifiers, root: Path, key: str) -> str:
    if key in IDENTIFYING:
        return known.cell(IDENTIFYING[key], value, root)
    if key in _FILES and value not in {"", TRAINING} and _is_file(key, value):
        return known.file(value)
    family, colon, file = value.partition(":")
    if family == EMBEDDING and colon:
        return f"{family}{colon}{known.file(file)}"
    return known.text(value)


def _is_file(key: str, value: str) -> bool:
    """Return True if a value is a file: a source of weights may be ``imagenet`` or a sentence."""
    return key != "source" or value.endswith(".safetensors")


def hide_document(document: D, known: Identifiers, root: Path = Path()) -> D:
    """Pseudonymise the document of an artifact."""
    return type(document).model_validate(hide_json(document.model_dump(mode="json"), known, root))


def hide_skipped(
    skipped: list[tuple[str, str]], known: Identifiers, root: Path = Path()
) -> list[tuple[str, str]]:
    """Pseudonymise the list of unreadable files and their reasons, sorted by pseudonym."""
    return sorted(
        (known.cell("image", path, root), _hide_reason(reason, path, known, root))
        for path, reason in skipped
    )


def _hide_reason(reason: str, cell: str, known: Identifiers, root: Path) -> str:
    """Remove an image's name, and the folder before it, from the reason it cannot be read."""
    for part in parts_of(cell):
        name = PurePosixPath(file_of(part)).name
        if name and name in reason:
            rest = reason.rpartition(name)[2]
            return file_of(known.image(part, root)) + known.text(rest)
    return known.text(reason)


def hide_thumbnails(
    pictures: Mapping[str, Image], known: Identifiers, root: Path
) -> dict[str, Image]:
    """Return thumbnails by the pseudonyms of their image references; the pixels stay."""
    return {known.cell("image", cell, root): thumbnail for cell, thumbnail in pictures.items()}


def know_samples(samples: Samples) -> Identifiers:
    """Return the identifiers of a manifest, with the pseudonyms of the user's key.

    Raises:
        ArtifactError: The key is damaged.
    """
    known = Identifiers(load_pseudonyms())
    known.learn(samples.frame, samples.root)
    return known
