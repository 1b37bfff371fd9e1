"""Schemas of the smaller files of a run folder: environment, split, balance, samples."""

from __future__ import annotations

from typing import Literal

from eosin.artifacts.values import (
    Count,
    DictOf,
    Flag,
    Integer,
    ListOf,
    NotNegative,
    Plain,
    Probability,
    Text,
)
from eosin.artifacts.versioned import Document, VersionedDocument


class Environment(VersionedDocument):
    """Schema of ``environment.json``: enough to tell why two runs differ.

    Attributes:
        eosin: Version of Eosin.
        created: UTC time, ISO 8601.
        command: The verb that made the run, without paths.
        python: Version of Python.
        platform: Operating system and processor.
        packages: Version of each package that computes something.
        device: What trained the network, e.g. ``"cpu (2 threads)"``.
        precision: e.g. ``"32-true"``.
        git: Commit of the working tree that the command ran in, null outside one. Whether files
            were changed since is not known; earlier versions noted that as ``+changes``.
        seed: The recipe's seed.
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


class SplitPart(Document):
    """What one part of a split asked for and got.

    Attributes:
        wanted: Asked share of the images.
        got: Share that the groups allowed.
        n_images: Images in the part.
        n_groups: Groups in the part.
        groups: Their names.
        by_class: Images of each class.
        site: The site that the part is, where each is held out in turn.
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
        stratified: Whether class shares were kept as well as the groups allow.
        deviation: Largest distance between a wanted and a got share, in images of the whole.
        parts: One entry a part; for folds, ``"<repeat>-<fold>"``.
    """

    protocol: str
    stratified: Flag
    deviation: NotNegative
    parts: DictOf[SplitPart]


class ClassBalance(Document):
    """What an epoch of the training shows of one class.

    Attributes:
        images: Images in the training part.
        shown: Images that an epoch shows; of the balanced sampler, what is expected.
        synthetic: Those of them that were made between others (SMOTE).
        weight: The class's weight in the loss.
    """

    images: Count
    shown: NotNegative
    synthetic: Count
    weight: NotNegative


class BalanceReport(VersionedDocument):
    """Schema of ``balance.json``: what an epoch of the training shows.

    Attributes:
        method: ``none``, ``sampler``, ``oversample`` or ``smote``.
        loss: ``cross_entropy`` or ``focal``.
        focal_gamma: The focal loss's exponent.
        copies: Copies of each image, each changed once and for all; null where every epoch draws
            anew.
        classes: By name.
    """

    method: str
    loss: str
    focal_gamma: NotNegative | None
    copies: Count | None
    classes: DictOf[ClassBalance]

    @property
    def is_plain(self) -> bool:
        """Whether every image is shown once and counts the same."""
        same = all(one.shown == one.images and one.weight == 1 for one in self.classes.values())
        return same and self.loss == "cross_entropy" and self.copies is None


class SamplePicture(Document):
    """One small picture of ``samples/``.

    Attributes:
        file: File name inside ``samples/``.
        role: ``example`` (data exploration), ``before`` (the same before stain normalisation),
            ``augmented`` (as the network saw it in training), ``mistake`` (confident and wrong) or
            ``pair`` (one of two that the leak audit found alike).
        path: The image's path in the manifest.
        label: Its class.
        patient: Its patient, empty if unknown.
        magnification: Its magnification, empty if unknown.
        split: Its split.
        predicted: For mistakes, the predicted class.
        probability: For mistakes, the probability of the predicted class.
        pair: For pairs, the number that both pictures share, from 0.
    """

    file: str
    role: Literal["example", "before", "augmented", "mistake", "pair"]
    path: str
    label: str
    patient: str = ""
    magnification: str = ""
    split: str | None = None
    predicted: str | None = None
    probability: Probability | None = None
    pair: Count | None = None


class SamplesIndex(VersionedDocument):
    """Schema of ``samples/index.json``."""

    pictures: ListOf[SamplePicture]
