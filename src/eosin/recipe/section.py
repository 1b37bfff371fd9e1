"""Base class of the recipe's sections, and ranges that several of them share."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from eosin.core.text import shorten

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
#: Whole numbers that libraries accept as a size: signed, 32 bits.
PositiveInt = Annotated[int, Field(ge=1, lt=2**31)]


class Section(BaseModel):
    """A frozen part of the recipe that rejects unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _check_kind(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject ``true`` and ``"3"`` for a number, which pydantic would convert."""
        kinds = _kinds_of(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool) and not {bool, Any} & kinds:
            raise ValueError(f"a boolean is not allowed here, got {str(value).lower()}")
        items = value if isinstance(value, list | tuple) else [value]
        text = next((item for item in items if isinstance(item, str)), None)
        if text is not None and {int, float} & kinds and not {str, Any} & kinds:
            raise ValueError(f"a number without quotes is expected, got {shorten(repr(text))}")
        return value


def _kinds_of(annotation: Any) -> set[Any]:
    """Return the types that a field's annotation names, ``float`` of ``float | None``."""
    inner = [_kinds_of(one) for one in get_args(annotation)]
    return {annotation}.union(*inner)
