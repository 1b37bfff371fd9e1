"""What a data set declares, and the registry that a recipe's ``data.dataset`` looks into."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eosin.core.errors import DataError
from eosin.core.registry import Registry
from eosin.core.types import Samples

#: Environment variable that names the folder of all data sets.
DATA_VARIABLE = "EOSIN_DATA"


@dataclass(frozen=True)
class DataSetFacts:
    """What a data set says of itself; goes into ``environment.json`` and the report.

    Attributes:
        name: Registered name.
        title: Full name.
        modality: ``brightfield`` or ``fluorescence``.
        licence: Licence of the images.
        citation: Whom to cite.
        positive: The positive class of its binary task, if it has one.
        simulated: Whether the images are simulated.
    """

    name: str
    title: str
    licence: str
    citation: str
    modality: str = "brightfield"
    positive: str | None = None
    simulated: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class DataSet:
    """A registered data set.

    Attributes:
        facts: What it says of itself.
        collect: From its root folder and its options to a manifest table (see
            :mod:`eosin.artifacts.manifest`), paths relative to the root.
        needs_root: Whether it reads a folder that the user has; the phantom makes its own.
    """

    facts: DataSetFacts
    collect: Callable[[Path, Mapping[str, Any]], Any]
    needs_root: bool = True


DATASETS: Registry[DataSet] = Registry("data set")


def find_root(name: str, root: str | None) -> Path:
    """Return the folder of a named data set.

    Args:
        name: The data set.
        root: The recipe's ``data.root``; ``$NAME`` and ``~`` expand. Else ``$EOSIN_DATA/<name>``.

    Raises:
        DataError: Neither is given, or the folder does not exist.
    """
    if root is not None:
        folder = Path(os.path.expandvars(root)).expanduser()
        if "$" in str(folder):
            raise DataError(
                f"data.root is {root!r}, but that environment variable is not set",
                mend=f"Set it, or give the folder: --set data.root={name}",
            )
    elif base := os.environ.get(DATA_VARIABLE):
        folder = Path(base).expanduser() / name
    else:
        raise DataError(
            f"where the images of {name!r} lie is not known",
            mend=f"Set ${DATA_VARIABLE}, or give the folder: --set data.root=FOLDER",
        )
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(
            f"the folder {folder} of the data set {name!r} {what}",
            mend=f"Set ${DATA_VARIABLE}, or give the folder: --set data.root=FOLDER",
        )
    return folder.resolve()


def collect_samples(
    name: str, root: Path, options: Mapping[str, Any], *, label: str, positive: str | None
) -> Samples:
    """Run a data set's adapter.

    Args:
        name: Registered name.
        root: Its folder.
        options: The adapter's own arguments.
        label: The column that holds the class.
        positive: The positive class; the data set's own by default, where ``label`` is untouched.
    """
    from eosin.artifacts.manifest import make_samples

    dataset = DATASETS.get(name)
    table = dataset.collect(root, options)
    if positive is None and label == "label" and dataset.facts.positive in set(table["label"]):
        positive = dataset.facts.positive
    return make_samples(table, root=root, label=label, positive=positive, name=name)
