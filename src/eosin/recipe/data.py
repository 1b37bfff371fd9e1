"""The recipe's ``[data]``: images, labels and split."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from eosin.recipe.section import PositiveInt, Section
from eosin.recipe.split import SplitSection as SplitSection

Percentile = Annotated[float, Field(ge=0.0, le=100.0)]
Column = Annotated[str, Field(min_length=1)]


class DataSection(Section):
    """Images, their labels and their split.

    Attributes:
        dataset: Registered data set whose own folder tree is read; or
        manifest: a manifest (CSV, Excel or Parquet, see docs/data.md), relative to the recipe.
        root: The data set's folder; else ``$EOSIN_DATA/<dataset>``. ``$NAME`` and ``~`` expand.
        options: Arguments of the data set (the phantom's, for example).
        path: The manifest's column of the image reference.
        label: The column of the class.
        patient: The column of the patient.
        group: The column of the unit that must not cross a split.
        positive: The positive class of a binary task; adapters have a default.
        magnifications: Keep only these; all by default.
        fuse: Make magnification stacks of a slide's images, in the order of ``magnifications``:
            one sample of a network ``fusion:NAME``.
        limit: Keep at most so many images (or stacks) a class and group (for quick forms).
        modality: ``brightfield`` or ``fluorescence``; data sets declare theirs, a manifest is
            brightfield by default.
        channel_names: Names of a fluorescence file's channels, in order; data sets declare theirs.
        channels: The channels for the network, by name or by position from 0; all by default.
        percentiles: Of each channel's counts in the training images: mapped to 0 and 255.
        audit: Search of the leak audit: ``copies`` (the same image, even if flipped, rotated, saved
            anew or resized), or ``full`` (near-duplicates by their content, too).
        repair: Join groups, before the split is drawn, that the leak audit finds to belong
            together: near-duplicates, sections of one accession, similar names.
        alike_names: Names of patients or groups that differ only in spelling (case, leading zeros,
            ``.0``) stop a strict run (``refuse``), or are kept apart (``distinct``).
        cache: Keep decoded images for the next run; ``false`` keeps them in a temporary folder.
        split: Split of the samples.
    """

    dataset: str | None = None
    manifest: str | None = None
    root: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    path: Column = "path"
    label: Column = "label"
    patient: Column = "patient"
    group: Column = "group"
    positive: str | None = None
    magnifications: tuple[str, ...] = ()
    fuse: bool = False
    limit: PositiveInt | None = None
    modality: Literal["brightfield", "fluorescence"] | None = None
    channel_names: tuple[str, ...] = ()
    channels: tuple[str | Annotated[int, Field(ge=0)], ...] = ()
    percentiles: tuple[Percentile, Percentile] = (0.1, 99.9)
    audit: Literal["copies", "full"] = "copies"
    repair: bool = False
    alike_names: Literal["refuse", "distinct"] = "refuse"
    cache: bool = True
    split: SplitSection = SplitSection()

    @model_validator(mode="after")
    def _check_percentiles(self) -> Self:
        if self.percentiles[0] >= self.percentiles[1]:
            raise ValueError(f"`percentiles` must grow, got {list(self.percentiles)}")
        return self

    @model_validator(mode="after")
    def _check_fusing(self) -> Self:
        if self.fuse and len(set(self.magnifications)) < max(2, len(self.magnifications)):
            raise ValueError("`fuse` needs `magnifications`, two or more, each once")
        return self

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.dataset is None) == (self.manifest is None):
            raise ValueError("exactly one of `dataset` and `manifest` must be given")
        return self
