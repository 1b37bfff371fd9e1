"""What the audit says of each finding, for readers who think in patients and slides."""

from __future__ import annotations

from collections.abc import Sequence

from eosin.artifacts.audit import Kind

#: So many examples are named; all are in the pairs.
_NAMED = 3

_NOUNS: dict[Kind, tuple[str, str]] = {
    "same_path": ("image file", "image files"),
    "same_group": ("group", "groups"),
    "same_accession": ("accession", "accessions"),
    "same_cluster": ("cluster of look-alike tiles", "clusters of look-alike tiles"),
    "identical_bytes": ("image", "images"),
    "identical_pixels": ("image", "images"),
    "near_duplicate": ("image", "images"),
    "alike_names": ("name", "names"),
    "label_conflict": ("image", "images"),
}
_HOW: dict[Kind, str] = {
    "identical_bytes": " as exact copies under different names",
    "identical_pixels": " with exactly the same pixels in different files",
    "near_duplicate": " as near copies",
    "alike_names": " in two spellings",
    "label_conflict": " under different labels",
}


def describe(
    kind: Kind,
    parts: tuple[str | None, str | None],
    names: Sequence[str],
    n_touched: int,
    n_images: int,
) -> str:
    """Say what was found.

    Args:
        kind: What is shared.
        parts: Between which parts; equal for what one part holds twice, nothing for the table.
        names: A name of each thing shared.
        n_touched: Images of the second part that are concerned.
        n_images: Images of the second part.

    Returns:
        For example "12 groups stand in both train and test: 22549, 29960, … (103 of 110 test
        images)".
    """
    one, many = _NOUNS[kind]
    things = f"1 {one} stands" if len(names) == 1 else f"{len(names)} {many} stand"
    first, second = parts
    if first != second:
        where = f"in both {first} and {second}"
    else:
        where = f"more than once in {first or 'the table'}"
    listed = ", ".join([*names[:_NAMED], *(["…"] if len(names) > _NAMED else [])])
    share = f"{n_touched} of {n_images} {f'{second} ' if second else ''}images"
    return f"{things} {where}{_HOW.get(kind, '')}: {listed} ({share})"
