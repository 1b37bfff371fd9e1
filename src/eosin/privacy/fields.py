"""Columns of tables and keys of documents that identify, and those that may leave as they are.

A column in neither list is left out of a copy; a key in neither is a number, or a text that is
replaced as a whole if it holds an identifier.
"""

from __future__ import annotations

import re

#: Identifying columns, with the kind of their pseudonyms.
COLUMNS = {
    **{"path": "image", "image": "image", "duplicate_of": "image"},
    **{kind: kind for kind in ("patient", "group", "slide", "site", "cluster", "accession")},
}
#: Identifying keys of documents; ``a`` and ``b`` are the images of a pair.
KEYS = COLUMNS | {"a": "image", "b": "image", "group_a": "group", "group_b": "group"}
#: Columns whose values are the data set's own words: they identify no patient, in a path either.
WORDS = ("label", "subtype", "magnification", "split", "predicted", "decision")
#: Columns of a table of images that may leave; no others may, but those of :data:`NUMBERS`.
HARMLESS = frozenset({
    *WORDS, "mpp", "modality", "fold", "repeat", "copy", "appearance", "abstained", "correct",
    "stain", "reason", "gate",
    "kind", "height", "width", "tissue", "focus", "focus_z", "saturation", "ink", "flags",
    "explained", "log_odds", "for", "against", "flat", "completeness_gap",
})  # fmt: skip
#: Prefixes of columns of numbers.
NUMBERS = ("prob_", "logit_")
#: Keys of files and folders; the group that matches is the part of a value that is one.
FILES = {
    **dict.fromkeys(("data_root", "root", "manifest", "table"), re.compile("(?s)(.+)")),
    **dict.fromkeys(("options", "arguments"), re.compile(r"(?s)embedding:(.+)|(.*[/\\].*)")),
    "reference": re.compile("(?s)(?!training$)(.+)"),
    "source": re.compile(r"(?s)(.+\.safetensors)"),
    "fitted_on": re.compile(r"(?s)(.+\.\w+)"),
    **dict.fromkeys(("name", "architecture", "model"), re.compile(r"(?s)embedding:(.+)")),
}
#: Keys of settings that have names of their own, which are all treated as these keys.
SETTINGS = ("options", "arguments")
#: Keys of pixels in text, where letters in a row occur by chance.
PIXELS = ("images_base64",)
#: Keys that are emptied: the state of the author's working tree, and free text.
EMPTIED = {"git": None, "description": "", "command": ""}
#: Reasons why an image cannot be read that leave; any other leaves as the last of them.
REASONS = (
    *("does not exist", "is truncated", "is damaged", "is empty", "has no pixels", "is packed"),
    *("is not an image that can be read", "is a ZIP archive", "is a HEIC or AVIF image"),
    *("is a web page or XML", "is a pointer of Git LFS", "is larger than", "has no row for it"),
    *("needs more memory than is free", "one image per file is read", "cannot be decoded"),
    *("cannot be listed", "cannot be processed", "cannot be read"),
)


def may_leave(column: str) -> bool:
    """Return True if a column of a table of images may leave, as it is or under pseudonyms."""
    return column in COLUMNS or column in HARMLESS or column.startswith(NUMBERS)
