"""Folders that name other classes than a data set's file names do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from eosin.core.errors import DataError

#: Folders of parts and of magnifications divide any tree.
_NEUTRAL = re.compile(r"train(ing)?|val(id(ation)?)?|test(ing)?|fold[ _-]?\d+|\d+x?", re.IGNORECASE)


def refuse_foreign_folders(
    name: str, root: Path, paths: Iterable[str], known: re.Pattern[str], classes: str
) -> None:
    """Refuse a tree whose folders divide the images otherwise than the data set's own tree does.

    A data set that takes class and patient from file names would pass over the classes that
    somebody else's folders name.

    Args:
        name: The data set.
        root: Its folder.
        paths: Its images, relative to ``root``.
        known: What folders of the data set's own tree are called.
        classes: The classes that the data set would give.

    Raises:
        DataError: Two folders side by side have other names.
    """
    beside: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        above = path.split("/")[:-1]
        for depth, folder in enumerate(above):
            if not (known.fullmatch(folder) or _NEUTRAL.fullmatch(folder)):
                beside["/".join(above[:depth])].add(folder)
    foreign = next((sorted(names) for _, names in sorted(beside.items()) if len(names) > 1), None)
    if foreign is not None:
        listed = ", ".join([*foreign[:3], *(["…"] if len(foreign) > 3 else [])])
        raise DataError(
            f"{root} holds the folders {listed}, which are not of {name}: it takes the classes "
            f"{classes} from the file names and would ignore the folders",
            mend="Read the folders as classes: --set data.dataset=folder or give the data "
            "set's own tree: --set data.root=FOLDER",
        )
