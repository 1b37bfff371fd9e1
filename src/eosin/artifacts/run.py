"""Schemas of the smaller files of a run folder: environment, split, balance, samples."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from eosin.artifacts.versioned import (
    Count,
    DictOf,
    Document,
    Flag,
    Integer,
    ListOf,
    NotNegative,
    Plain,
    Probability,
    Text,
    VersionedDocument,
)


class Environment(VersionedDocument):
    """Schema of ``environment.json``, the environment record of a run.

    Attributes:
        created: UTC time, ISO 8601.
        command: What was typed, of each path the name alone; the equivalent command for a run that
            Python made.
        platform: Operating system and processor.
        packages: Version of each package that takes part in computation.
        device: Device of the training, e.g. ``"cpu (2 threads)"``.
        precision: e.g. ``"32-true"``.
        git: Commit of the working tree that the command ran in, null outside one. Uncommitted
            changes are not recorded; earlier versions noted them as ``+changes``.
        data_root: The folder that relative paths start from.
        data_fingerprint: SHA-256 over the manifest's paths, labels, groups and file hashes.
        dataset: Facts that the adapter declares: title, licence, citation, simulated.
        seconds: Wall time of each stage of the run.
        files: SHA-256 of the files of the finished run that its pages and later verbs read, by
            path in the run folder; null while it is not finished, and in runs of before 0.2.
    """

    eosin: str
    created: str
    command: str
    python: str
    platform: str
    packages: DictOf[str]
    device: str
    precision: str
    git: str | None
    seed: Integer
    data_root: str
    data_fingerprint: str
    dataset: DictOf[Plain]
    seconds: DictOf[NotNegative]
    files: DictOf[Text] | None = None

    @field_validator("seconds", mode="before")
    @classmethod
    def _rename_stages(cls, seconds: Any) -> Any:
        renamed = {"judge": "evaluate"}  # former names of stages
        if not isinstance(seconds, dict):
            return seconds
        return {renamed.get(stage, stage): value for stage, value in seconds.items()}


class SplitPart(Document):
    """Requested and actual size of a subset.

    Attributes:
        wanted: Requested share of the images.
        got: Share that the groups allowed.
        groups: Their names.
        site: The site of the subset, where each is held out in turn.
    """

    wanted: Probability | None
    got: Probability
    n_images: Count
    n_groups: Count
    groups: ListOf[str]
    by_class: DictOf[Count]
    site: str | None = None


class SplitReport(VersionedDocument):
    """Schema of ``split.json``.

    Attributes:
        protocol: ``grouped``, ``image``, ``column`` or ``folds``.
        stratified: True if class shares were kept as well as the groups allow.
        deviation: Largest difference of requested and actual share, in images of the whole.
        parts: One entry a subset; for folds, ``"<repeat>-<fold>"``.
    """

    protocol: str
    stratified: Flag
    deviation: NotNegative
    parts: DictOf[SplitPart]


class ClassBalance(Document):
    """Images of one class in a training epoch.

    Attributes:
        images: Images in the training subset.
        shown: Images in an epoch; with the balanced sampler, the expected number.
        synthetic: Those of them that were interpolated (SMOTE).
        weight: The class's weight in the loss.
    """

    images: Count
    shown: NotNegative
    synthetic: Count
    weight: NotNegative


class BalanceReport(VersionedDocument):
    """Schema of ``balance.json``, the class balance of a training epoch.

    Attributes:
        method: ``none``, ``sampler``, ``oversample`` or ``smote``.
        loss: ``cross_entropy`` or ``focal``.
        focal_gamma: The focal loss's exponent.
        copies: Fixed augmented copies of each image; null where every epoch augments anew.
        classes: By name.
    """

    method: str
    loss: str
    focal_gamma: NotNegative | None
    copies: Count | None
    classes: DictOf[ClassBalance]

    @property
    def is_plain(self) -> bool:
        """True if every image is shown once and has the same weight."""
        same = all(one.shown == one.images and one.weight == 1 for one in self.classes.values())
        return same and self.loss == "cross_entropy" and self.copies is None


class SampleThumbnail(Document):
    """A thumbnail in ``samples/``.

    Attributes:
        file: File name inside ``samples/``.
        role: ``example`` (data exploration), ``before`` (the same before stain normalisation),
            ``augmented`` (as the network saw it in training), ``mistake`` (confident and wrong),
            ``correct`` (confident and right), ``refused`` (by the gate), ``pair`` (one of two
            near-duplicates of the leak audit) or ``evidence`` (a mistake or a right prediction,
            beside its evidence).
        patient: Its patient, empty if unknown.
        magnification: Its magnification, empty if unknown.
        predicted: For mistakes, right predictions and evidence, the decided class.
        refused: For refused images, the gate's reason.
        probability: For these, the probability of the decided class.
        pair: For pairs, the number that both thumbnails share, from 0.
        is_flat: For evidence, whether its map is flat.
    """

    file: str
    role: Literal[
        "example", "before", "augmented", "mistake", "correct", "refused", "pair", "evidence"
    ]
    path: str
    label: str
    patient: str = ""
    magnification: str = ""
    split: str | None = None
    predicted: str | None = None
    probability: Probability | None = None
    refused: str | None = None
    pair: Count | None = None
    is_flat: Flag | None = None


class SamplesIndex(VersionedDocument):
    """Schema of ``samples/index.json``."""

    pictures: ListOf[SampleThumbnail]
