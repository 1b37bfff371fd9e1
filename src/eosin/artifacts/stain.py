"""Schema of a fitted stain reference, in ``model.json`` and the run folder."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from eosin.artifacts.versioned import (
    AtLeastOne,
    Count,
    DictOf,
    Document,
    ListOf,
    NotNegative,
    Number,
    Text,
    VersionedDocument,
)

#: The images that a reference is fitted on by default.
FITTED_ON = "the training part"

Triple = tuple[Number, Number, Number]
#: Bound beyond any colour and within single precision.
_Axis = Annotated[float, Field(strict=True, ge=-1e3, le=1e3)]
_Amount = Annotated[float, Field(strict=True, gt=0, le=1e3)]
#: Tolerance of a stain vector's length around 1.
_ROUNDING = 0.01


class _Reference(Document):
    """Fields of the references of all methods.

    Attributes:
        unit: Unit whose stain is estimated: a tile, or all tiles of a slide or patient.
        fitted_on: The images of the fit, in words.
        n_units: Number of their units; the reference is the median over them.
    """

    unit: Literal["tile", "slide", "patient"] = "tile"
    fitted_on: Text = "images"
    n_images: AtLeastOne = 1
    n_units: AtLeastOne = 1


class SeparationReference(_Reference):
    """Stain vectors in optical density −ln((I + 1) / I₀).

    Attributes:
        method: Method of the stain separation.
        stain_matrix: Unit vectors of optical density, rows haematoxylin and eosin, columns R, G,
            B.
        max_concentrations: The 99th percentile of each stain's concentration.
        i0: Grey level of light that passed no tissue, the luminosity rule.
        beta: Optical density below which a pixel is background.
        alpha: Percentage of angles, at each end, that Macenko's method skips; unused by
            Vahadane's.
        sparsity: Weight of Vahadane's penalty on concentrations; unused by Macenko's.
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
            shown = " and ".join(f"{length:.3g}" for length in lengths)
            raise ValueError(f"stain_matrix should contain vectors of length 1, got {shown}")
        if self.stain_matrix[0] == self.stain_matrix[1]:
            raise ValueError("stain_matrix should contain two different vectors")
        return self


class ColourReference(_Reference):
    """Mean and standard deviation of colours in CIE L*a*b*."""

    method: Literal["reinhard"] = "reinhard"
    lab_mean: tuple[_Axis, _Axis, _Axis]
    lab_std: tuple[_Amount, _Amount, _Amount]


StainReference = Annotated[SeparationReference | ColourReference, Field(discriminator="method")]


class StainPart(Document):
    """Number of images of a subset, and of those not normalised, by reason."""

    n_images: Count
    unchanged: DictOf[Count]


class UnchangedImage(Document):
    """An image that was not normalised.

    Attributes:
        path: As in the manifest; of a magnification stack the single image.
    """

    path: str
    split: str
    reason: str


class StainRecord(VersionedDocument):
    """Schema of ``stain.json``.

    Attributes:
        reference: The stain reference; of a run with folds the mean of the folds'.
    """

    reference: StainReference
    parts: DictOf[StainPart]
    unchanged: ListOf[UnchangedImage]
