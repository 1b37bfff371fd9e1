"""Thumbnails of a report: examples, augmented copies, mistakes and right predictions."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image as PillowImage

from eosin.artifacts.audit import SHOWN_KINDS, AuditReport
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.model import Embedding
from eosin.artifacts.run import SamplesIndex, SampleThumbnail
from eosin.artifacts.versioned import write_document
from eosin.augment import Policy, augment_bytes
from eosin.core.errors import ImageError
from eosin.core.files import write_bytes
from eosin.core.seeding import generator
from eosin.core.types import FloatArray, Image, IntArray, Samples
from eosin.evaluation import Evaluated
from eosin.experiment.split import Division
from eosin.experiment.writer import Experiment
from eosin.images.bank import ImageBank, ThumbnailFiles
from eosin.images.preprocess import to_thumbnail

_SIDE_PX = 160
_EXAMPLES_PER_CLASS = 6
_AUGMENTED = 8
_MISTAKES, _CORRECT, _REFUSED = 12, 12, 12
#: Near-duplicate pairs shown: of one finding, and in all.
_PAIRS_PER_FINDING, _PAIRS = 4, 16


def write_thumbnails(
    run: RunFolder, division: Division, evaluated: Evaluated, experiment: Experiment
) -> None:
    """Write ``samples/``: examples of the training subset, predictions of the test subset."""
    samples, bank, recipe = division.samples, experiment.bank, experiment.recipe
    train = samples.part("train")
    if isinstance(bank.preprocessing, Embedding):
        pictures = _pictures_of_files(run, train, evaluated, recipe.seed)
    else:
        pictures = _examples(run, train, bank.training, recipe.seed)
        policy = experiment.policy
        if not policy.changes_nothing:
            copies = experiment.copies or 1
            pictures += _augmented(run, train, bank.training, policy, copies, recipe.seed)
        pictures += save_predicted(run, evaluated, bank)
        pictures += _pairs(run, samples, division.audit, bank)
    write_document(run.samples_index, SamplesIndex(pictures=pictures))


def _pictures_of_files(
    run: RunFolder, train: Samples, evaluated: Evaluated, seed: int
) -> list[SampleThumbnail]:
    """Save thumbnails of images of which only features were needed; none if a file is absent."""
    files = ThumbnailFiles()
    try:
        return _examples(run, train, files, seed) + save_predicted(run, evaluated, files)
    except ImageError:
        return []


def _examples(
    run: RunFolder, train: Samples, bank: ImageBank | ThumbnailFiles, seed: int
) -> list[SampleThumbnail]:
    rows = np.concatenate(
        [
            _spread(train, np.flatnonzero(train.targets == index), seed)
            for index in range(len(train.class_names))
        ]
    )
    chosen = train.where(np.isin(np.arange(len(train)), rows))
    shown = _saved(run, bank, chosen, "example")
    if isinstance(bank, ImageBank) and bank.preprocessing.stain is not None:
        stained = bank.preprocessing.model_copy(update={"stain": None})
        shown += _saved(run, bank.reading(stained), chosen, "before")
    return shown


def _saved(
    run: RunFolder, bank: ImageBank | ThumbnailFiles, chosen: Samples, role: str
) -> list[SampleThumbnail]:
    return [
        _save(run, bank, f"{role}-{n:02d}.jpg", image, describe(chosen, n, role))
        for n, image in enumerate(bank.of(chosen)[:])
    ]


def _spread(train: Samples, rows: IntArray, seed: int) -> IntArray:
    """Choose rows of one class from as many groups as possible."""
    shuffled = generator(seed, "pictures").permutation(rows)
    groups = train.groups
    seen: dict[str, int] = {}
    rank = []
    for row in shuffled:
        group = groups[row]
        rank.append(seen.get(group, 0))
        seen[group] = rank[-1] + 1
    order = np.argsort(np.array(rank, dtype=np.int64), kind="stable")
    return shuffled[order[:_EXAMPLES_PER_CLASS]]


def _augmented(
    run: RunFolder, train: Samples, bank: ImageBank, policy: Policy, copies: int, seed: int
) -> list[SampleThumbnail]:
    """Save images as the network saw them in the first epoch."""
    rows = generator(seed, "pictures", "augmented").permutation(len(train))[:_AUGMENTED]
    rows = np.sort(rows)
    chosen = train.where(np.isin(np.arange(len(train)), rows))
    images = bank.of(chosen)[:]
    # Fixed copies are consecutive: one of each image, another each time.
    index = rows * copies + np.arange(len(rows)) % copies
    drawn = policy.draw(seed, 0, index, channels=images.shape[-1])
    images = augment_bytes(images, drawn)
    return [
        _save(run, bank, f"augmented-{n:02d}.jpg", image, describe(chosen, n, "augmented"))
        for n, image in enumerate(images)
    ]


def save_predicted(
    run: RunFolder, evaluated: Evaluated, bank: ImageBank | ThumbnailFiles
) -> list[SampleThumbnail]:
    """Save the most confident wrong and right decisions of the model, and refused images."""
    confidence = _confidence(evaluated)
    saved = []
    for role, rows in find_predicted(evaluated).items():
        for n, row in enumerate(rows):
            one = evaluated.samples.where(np.arange(len(evaluated.samples)) == row)
            thumbnail = describe(one, 0, role).model_copy(
                update={
                    "predicted": one.class_names[evaluated.decided[row]],
                    "probability": float(confidence[row]),
                    "refused": evaluated.refused[row] if role == "refused" else None,
                }
            )
            saved.append(_save(run, bank, f"{role}-{n:02d}.jpg", bank.of(one)[:][0], thumbnail))
    return saved


def _pairs(
    run: RunFolder, samples: Samples, audit: AuditReport, bank: ImageBank
) -> list[SampleThumbnail]:
    """Save the pairs that the audit found to be near-duplicates."""
    paths = list(samples.frame["path"])
    row_of = {path: row for row, path in reversed(list(enumerate(paths)))}
    chosen = [
        pair
        for finding in audit.findings
        if finding.kind in SHOWN_KINDS
        for pair in [p for p in finding.pairs if {p.a, p.b} <= row_of.keys()][:_PAIRS_PER_FINDING]
    ]
    saved = []
    for number, pair in enumerate(chosen[:_PAIRS]):
        for side, path, split in (("a", pair.a, pair.split_a), ("b", pair.b, pair.split_b)):
            one = samples.where(np.arange(len(samples)) == row_of[path])
            shown = describe(one, 0, "pair").model_copy(update={"pair": number, "split": split})
            name = f"pair-{number:02d}-{side}.jpg"
            saved.append(_save(run, bank, name, bank.of(one)[:][0], shown))
    return saved


def find_predicted(evaluated: Evaluated) -> dict[str, IntArray]:
    """Return the rows of the most confident decisions, by role: ``mistake``, ``correct``.

    The right ones come from all classes in turn, since a network is surest of its easiest class;
    those that the gate ``refused``, from all reasons.
    """
    targets = evaluated.samples.targets
    order = np.argsort(-_confidence(evaluated), kind="stable")
    is_right = evaluated.decided[order] == targets[order]
    right = pd.Series(targets[order[is_right]])
    in_turn = np.argsort(right.groupby(right).cumcount(), kind="stable")
    return {
        "mistake": order[~is_right][:_MISTAKES],
        "correct": order[is_right][in_turn][:_CORRECT],
        "refused": _find_refused(evaluated),
    }


def _find_refused(evaluated: Evaluated) -> IntArray:
    rows = np.flatnonzero(~evaluated.passed)
    if not len(rows):
        return rows
    reasons = pd.Series(evaluated.refused[rows])
    return rows[np.argsort(reasons.groupby(reasons).cumcount(), kind="stable")][:_REFUSED]


def _confidence(evaluated: Evaluated) -> FloatArray:
    """Return the probability of each row's decided class, shape (N,)."""
    rows = np.arange(len(evaluated.samples))
    return np.asarray(evaluated.probabilities[rows, evaluated.decided])


def describe(samples: Samples, row: int, role: str) -> SampleThumbnail:
    """Return the thumbnail of a row, without its file."""
    cells = samples.frame.iloc[row]
    return SampleThumbnail.model_validate(
        {
            "file": "",
            "role": role,
            "path": cells["path"],
            "label": cells["label"],
            "patient": cells["patient"],
            "magnification": cells.get("magnification", ""),
            "split": cells.get("split"),
        }
    )


def _save(
    run: RunFolder,
    bank: ImageBank | ThumbnailFiles,
    name: str,
    image: Image,
    thumbnail: SampleThumbnail,
) -> SampleThumbnail:
    small = PillowImage.fromarray(to_thumbnail(image, bank.preprocessing))
    small.thumbnail((_SIDE_PX, _SIDE_PX))
    return write_thumbnail(run, name, small, thumbnail)


def write_thumbnail(
    run: RunFolder, name: str, picture: PillowImage.Image, thumbnail: SampleThumbnail
) -> SampleThumbnail:
    """Write a picture into ``samples/`` as JPEG, and return its entry in the index."""
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=88)
    write_bytes(run.samples / name, stream.getvalue(), durable=False)
    return thumbnail.model_copy(update={"file": name})
