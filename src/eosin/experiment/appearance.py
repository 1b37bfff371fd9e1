"""Split by appearance: the column of clusters that are kept whole where patients are unknown."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from eosin.core.errors import RecipeError
from eosin.core.progress import progress_bar
from eosin.core.text import quantity
from eosin.core.types import APPEARANCE, Samples
from eosin.data.appearance import cluster_by_appearance, measure_appearance
from eosin.data.audit import FileHashes, NearDuplicates, join_groups
from eosin.images.bank import ImageBank
from eosin.images.encoding import describe_encoding

_LOG = logging.getLogger(__name__)

_BATCH = 64
_BY_GROUP = "Leave it out: --set data.split.by=group"


def check_appearance(samples: Samples, facts: Mapping[str, Any]) -> None:
    """Refuse, before any image is read, to cluster images whose patients are known.

    Raises:
        RecipeError: Patients or groups are known, or the images are fluorescence.
    """
    frame = samples.frame
    known = int(((frame["patient"] != "") | (frame["group"] != frame["path"])).sum())
    if known:
        what = "patients" if (frame["patient"] != "").any() else "groups"
        raise RecipeError(
            f"'data.split.by = \"appearance\"' is for images of unknown patients, but {what} of "
            f"{known:,} of {quantity(len(frame), 'image')} are known, which is better",
            hint=_BY_GROUP,
        )
    if facts["modality"] == "fluorescence":
        raise RecipeError(
            "'data.split.by = \"appearance\"' compares the stain of brightfield images, but these "
            "are fluorescence",
            hint=_BY_GROUP,
        )


def add_clusters(
    samples: Samples,
    bank: ImageBank,
    hashes: FileHashes,
    near_duplicates: NearDuplicates,
    seed: int,
) -> Samples:
    """Return the samples with the column ``appearance``: clusters of similar images.

    Images that the leak audit finds to belong together share a cluster: exact and near-duplicates,
    and sections of one accession, where file names state it. Equal images and seed
    give equal clusters, whatever the order of the rows. Groups and patients stay unknown.
    """
    order = np.argsort(np.array(samples.frame["path"], dtype=str), kind="stable")
    images = bank.of(replace(samples, frame=samples.frame.iloc[order]))
    features, estimate = [], "Comparing the appearance of {total} images"
    with progress_bar("Comparing appearance", estimate=estimate) as advance:
        for start in range(0, len(images), _BATCH):
            features.append(measure_appearance(images[start : start + _BATCH]))
            advance(min(start + _BATCH, len(images)), len(images))
    joined, _ = join_groups(samples, hashes=hashes, near_duplicates=near_duplicates)
    cells = np.array(samples.frame["path"], dtype=object)[order]
    found = cluster_by_appearance(
        np.concatenate(features),
        seed=seed,
        encodings=[describe_encoding(*samples.locate(cell)) for cell in cells],
        together=np.unique(joined.groups[order].astype(str), return_inverse=True)[1],
    )
    clusters = np.empty(len(samples), dtype=object)
    clusters[order] = [str(number) for number in found]
    _LOG.info(
        f"The split keeps {quantity(len(set(found)), 'cluster')} of similar appearance whole; they "
        "are not patients"
    )
    return replace(samples, frame=samples.frame.assign(**{APPEARANCE: clusters}))
