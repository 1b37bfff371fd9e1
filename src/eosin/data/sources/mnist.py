"""MNIST: handwritten digits, for a first run that takes a minute.

Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11),
1998. Four idx files, plain or gzipped: ``{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.core.errors import DataError
from eosin.core.types import ImageReference
from eosin.data.download.source import RemoteFile, Source
from eosin.data.sources.base import NOTES, Count, DataSetFacts, check_options, register
from eosin.images.containers import count_items, read_labels

_PARTS = {"train": "train", "t10k": "test"}
_FOLDERS = ("", "raw", "MNIST/raw")


def collect_mnist(root: Path, options: Mapping[str, Any]) -> Any:
    """List the digits below ``root``, ``raw`` or ``MNIST/raw``; every one is its own group.

    Raises DataError if no part has both files, or they do not fit each other.
    """
    check_options("mnist", options)
    notes: list[str] = []
    tables = []
    for part, split in _PARTS.items():
        images = _find(root, f"{part}-images", "idx3-ubyte")
        labels = _find(root, f"{part}-labels", "idx1-ubyte")
        if images is not None and labels is not None:
            tables.append(_collect_part(root, images, labels, split))
        elif images is not None or labels is not None:
            there, lacking = ("images", "labels") if images else ("labels", "images")
            notes.append(f"{split}: left out, because it has {there} but no {lacking}")
    if not tables:
        raise DataError(
            f"{root} contains no images and labels of MNIST"
            + (f" ({'; '.join(notes)})" if notes else ""),
            hint="Name the folder that contains train-images-idx3-ubyte.gz and the other files",
        )
    table = pd.concat(tables, ignore_index=True)
    table.attrs[NOTES] = [*notes, "no writers are known: each image is its own group"]
    return table


def _find(root: Path, stem: str, kind: str) -> Path | None:
    """Return a file under one of its common names: plain or gzipped, dash or dot."""
    names = [f"{stem}{mark}{kind}{suffix}" for mark in "-." for suffix in ("", ".gz")]
    files = (root / folder / name for folder in _FOLDERS for name in names)
    return next(filter(Path.is_file, files), None)


def _collect_part(root: Path, images: Path, labels: Path, split: str) -> Any:
    digits, n_images = read_labels(labels), count_items(images)
    if n_images != len(digits):
        raise DataError(
            f"{images} has {n_images} images, but {labels} has {len(digits)} labels",
            hint="Download both files again",
        )
    if len(digits) and not 0 <= int(digits.min()) <= int(digits.max()) <= 9:
        raise DataError(f"{labels} has the label {int(digits.max())}; it must be 0 to 9")
    lead = images.relative_to(root).as_posix()
    return pd.DataFrame(
        {
            "path": [str(ImageReference(lead, str(index))) for index in range(n_images)],
            "label": [str(digit) for digit in digits],
            "split": split,
        },
        dtype=object,
    )


_HOMEPAGE = "http://yann.lecun.com/exdb/mnist/"
# TensorFlow Datasets publishes sizes and SHA-256 of the first; the second is torchvision's and
# serves the same files.
_MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)
_PUBLISHED = {
    "train-images-idx3-ubyte.gz": (
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte.gz": (
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte.gz": (
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}

register(
    DataSetFacts(
        name="mnist",
        title="MNIST: handwritten digits",
        licence="CC BY-SA 3.0",
        citation="LeCun et al., Proc. IEEE 86(11):2278-2324, 1998",
        classes=tuple("0123456789"),
        counts=(Count(60_000, part="train"), Count(10_000, part="test")),
        homepage=_HOMEPAGE,
    ),
    collect_mnist,
    Source(
        name="mnist",
        title="MNIST handwritten digits",
        homepage=_HOMEPAGE,
        licence="CC BY-SA 3.0",
        citation=(
            "LeCun et al., Gradient-based learning applied to document recognition, "
            "Proc. IEEE 86(11), 1998"
        ),
        unpacks_to="four idx.gz files, read as they are: 60,000 and 10,000 digits of 28 × 28 px",
        files=tuple(
            RemoteFile(
                name=name,
                urls=tuple(f"{mirror}/{name}" for mirror in _MIRRORS),
                size=size,
                checksum=f"sha256:{digest}",
            )
            for name, (size, digest) in _PUBLISHED.items()
        ),
    ),
    layout=r"(?:MNIST/raw/|raw/)?(?:train|t10k)-(?:images|labels)[-.]idx\d-ubyte(?:\.gz)?",
)
