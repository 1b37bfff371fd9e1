"""Pseudonymisation of tables and documents, by column and by key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ValidationError

from eosin.artifacts.pseudonyms import load_pseudonyms
from eosin.core.errors import OutputError
from eosin.core.types import ImageReference, Samples, parts_of
from eosin.privacy import fields
from eosin.privacy.identifiers import Identifiers

D = TypeVar("D", bound=BaseModel)
#: Parts of an audit's message around the list of names, which may hold a colon, too.
_MESSAGE = re.compile(
    r"([^\n]*? (?:stands?|is|are|occurs?) (?:in both|more than once in) [^\n]*?): "
    r"[^\n]* (\([^()]* images\))"
)


def know_samples(samples: Samples) -> Identifiers:
    """Return the identifiers of a manifest, with the pseudonyms of the user's key.

    Raises:
        ArtifactError: The key is damaged.
    """
    known = Identifiers(load_pseudonyms())
    known.learn(samples.frame, samples.root)
    return known


def hide_table(frame: Any, known: Identifiers, root: Path = Path()) -> Any:
    """Pseudonymise a pandas table of images, whose relative paths start at ``root``.

    It keeps only its identifying and harmless columns, and is sorted by pseudonym: in the order of
    names, anyone with a list of the patients could count them off.
    """
    table = frame[[column for column in frame if fields.may_leave(str(column))]].copy()
    for column in (one for one in table if not str(one).startswith(fields.NUMBERS)):
        kind = fields.COLUMNS.get(column)
        change = partial(known.cell, kind, root=root) if kind else known.text
        changed = {cell: change(cell) for cell in table[column].unique() if isinstance(cell, str)}
        table[column] = [changed.get(cell, cell) for cell in table[column]]
    if "path" not in table:
        return table
    if "reason" in table:
        cells = zip(frame["reason"], table["path"], strict=True)
        table["reason"] = [_hide_reason(reason, path) for reason, path in cells]
    return table.sort_values("path", kind="stable", ignore_index=True)


def _hide_reason(reason: str, hidden: str) -> str:
    """Return the reason why an image cannot be read in known words, behind its pseudonym."""
    why = next((words for words in fields.REASONS if words in reason), fields.REASONS[-1])
    image = ImageReference.parse(next(filter(None, parts_of(hidden)), ""))
    return reason and f"{image.path} {why}"


def hide_skipped(
    skipped: list[tuple[str, str]], known: Identifiers, root: Path = Path()
) -> list[tuple[str, str]]:
    """Pseudonymise the list of unreadable files and their reasons, sorted by pseudonym."""
    table = hide_table(pd.DataFrame(skipped, columns=["path", "reason"]), known, root)
    return list(table.itertuples(index=False, name=None))


def hide_document(
    document: D,
    known: Identifiers,
    root: Path = Path(),
    kinds: Mapping[str, str] = fields.KEYS,
) -> D:
    """Pseudonymise the document of an artifact; see :func:`hide_json`.

    Raises:
        OutputError: A word of its format is an identifier, too.
    """
    values = hide_json(document.model_dump(mode="json"), known, root, kinds)
    try:
        return type(document).model_validate(values)
    except ValidationError as error:
        message = "a patient, group or image is called like a word of the run's own files"
        raise OutputError(message, hint="Give it another name in the manifest") from error


def hide_json(
    value: Any, known: Identifiers, root: Path = Path(), kinds: Mapping[str, str] = fields.KEYS
) -> Any:
    """Pseudonymise a JSON value; relative paths start at ``root``.

    ``kinds`` are the keys that identify: none in a recipe, whose ``patient`` is a column's name.
    """

    def hide(value: Any, key: str) -> Any:
        if isinstance(value, Mapping):
            kind = kinds.get(key[3:]) if key.startswith("by_") else None
            inner = {
                known.cell(kind, name, root) if kind else name: hide(
                    item, key if key in fields.SETTINGS else name
                )
                for name, item in value.items()
            }
            return dict(sorted(inner.items())) if kind else inner
        if isinstance(value, list | tuple):
            key = key.removesuffix("s")
            items = [hide(item, key) for item in value]
            # Sorted like tables: an order by name would reveal names.
            is_sorted = key in kinds or all(map(_names_images, items))
            return sorted(items, key=str) if is_sorted else items
        if not isinstance(value, str):
            return value
        if key in kinds:
            return known.cell(kinds[key], value, root)
        return _hide_text(value, known, key)

    return hide(value, "")


def _names_images(item: Any) -> bool:
    """Return True for an image, a pair or a joined group; thumbnails keep their order."""
    if not isinstance(item, Mapping) or "file" in item:
        return False
    return "path" in item or "a" in item or "groups" in item


def _hide_text(value: str, known: Identifiers, key: str) -> str | None:
    if key in fields.PIXELS:
        return value
    if key in fields.EMPTIED:
        return fields.EMPTIED[key]
    if key == "how" and ("'" in value or '"' in value):
        return None  # two spellings of a name, which may be as short as "7"
    if key == "message":
        # The list of names that it holds may have one as short as a number of images.
        match = _MESSAGE.fullmatch(value)
        return known.text(" ".join(match.groups()) if match else value.partition(": ")[0])
    if key in fields.FILES and (match := fields.FILES[key].fullmatch(value)):
        start = match.start(match.lastindex or 0)
        return value[:start] + known.file(value[start:])
    return known.text(value)
