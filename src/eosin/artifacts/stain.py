"""Schema of a fitted stain reference: plain numbers, for ``model.json`` and the run folder."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from eosin.artifacts.values import (
    AtLeastOne,
    Count,
    DictOf,
    ListOf,
    NotNegative,
    Number,
    Text,
)
from eosin.artifacts.versioned import Document, VersionedDocument

Triple = tuple[Number, Number, Number]
#: Far beyond any colour, near enough for single precision.
_Axis = Annotated[float, Field(strict=True, ge=-1e3, le=1e3)]
_Amount = Annotated[float, Field(strict=True, gt=0, le=1e3)]
#: How far a stain vector's length may be from 1.
_ROUNDING = 0.01


class _Reference(Document):
    """What every method's reference tells.

    Attributes:
        unit: Whose own stain is taken away: a tile's, or that of all tiles of a slide or patient.
        fitted_on: What was fitted on, in words.
        n_images: How many images.
        n_units: How many units of them; the reference is the median of theirs.
    """

    unit: Literal["tile", "slide", "patient"] = "tile"
    fitted_on: Text = "images"
    n_images: AtLeastOne = 1
    n_units: AtLeastOne = 1


class SeparationReference(_Reference):
    """Stains told apart in optical density −ln((I + 1) / I₀).

    Attributes:
        method: How they were told apart.
        stain_matrix: Unit vectors of optical density, rows haematoxylin and eosin, columns R, G,
            B.
        max_concentrations: The 99th percentile of each stain's concentration.
        i0: Grey level of light that passed no tissue, the luminosity rule.
        beta: Optical density below which a pixel is background.
        alpha: Percentage of angles, at each end, that Macenko's method passes over; of no meaning
            to Vahadane's.
        sparsity: Weight of Vahadane's penalty on concentrations; of no meaning to Macenko's.
    """

    method: Literal["macenko", "vahadane"]
    stain_matrix: tuple[Triple, Triple]
    max_concentrations: tuple[_Amount, _Amount]
    i0: Annotated[float, Field(strict=True, ge=1, le=256)] = 240.0
    beta: NotNegative = 0.15
    alpha: Annotated[float, Field(strict=True, ge=0, lt=50)] = 1.0
    sparsity: NotNegative = 0.1

    @model_validator(mode="after")
    def _check_vectors(self) -> Self:
        lengths = [math.hypot(*vector) for vector in self.stain_matrix]
        if any(abs(length - 1) > _ROUNDING for length in lengths):
            told = " and ".join(f"{length:.3g}" for length in lengths)
            raise ValueError(f"stain_matrix should hold vectors of length 1, got {told}")
        if self.stain_matrix[0] == self.stain_matrix[1]:
            raise ValueError("stain_matrix should hold two different vectors")
        return self


class ColourReference(_Reference):
    """Mean and standard deviation of colours in CIE L*a*b*.

    Attributes:
        method: Reinhard's.
        lab_mean: Of L*, a*, b*.
        lab_std: Likewise.
    """

    method: Literal["reinhard"] = "reinhard"
    lab_mean: tuple[_Axis, _Axis, _Axis]
    lab_std: tuple[_Amount, _Amount, _Amount]


StainReference = Annotated[SeparationReference | ColourReference, Field(discriminator="method")]


class StainPart(Document):
    """How many images of a part were normalised.

    Attributes:
        n_images: All of them.
        unchanged: By reason, how many came back as they were.
    """

    n_images: Count
    unchanged: DictOf[Count]


class UnchangedImage(Document):
    """An image that came back as it was.

    Attributes:
        path: As in the manifest; of a bundle the one image.
        split: Its part.
        reason: Why it has no stain that could be normalised.
    """

    path: str
    split: str
    reason: str


class StainRecord(VersionedDocument):
    """Schema of ``stain.json``.

    Attributes:
        reference: What images were made to look like; of a run with folds the mean of the folds'.
        parts: By split.
        unchanged: The images that came back as they were.
    """

    reference: StainReference
    parts: DictOf[StainPart]
    unchanged: ListOf[UnchangedImage]
