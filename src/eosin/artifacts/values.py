"""Types of the values in documents: ranges of numbers, printable names, bounded lists.

Numbers are strict: neither ``true`` nor ``"5"`` is one. Every
:class:`~eosin.artifacts.versioned.Document` requires them to be finite. Lists stop at their first
invalid item and mappings have a bounded number of keys, so that a hostile document costs no more
than a valid one.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from eosin.core.text import is_name, is_text

T = TypeVar("T")

_MOST_KEYS = 100_000
_DEEPEST = 16
#: Bound of whole numbers; a float does not hold larger ones exactly.
_LARGEST = 2**53
#: Largest side of a network's input, in pixels.
_MOST_PIXELS = 16_384


def _check_keys(value: Any) -> Any:
    if isinstance(value, dict) and len(value) > _MOST_KEYS:
        raise ValueError(f"at most {_MOST_KEYS:,} keys are allowed, got {len(value):,}")
    return value


def _check_name(name: str) -> str:
    if not is_name(name):
        raise ValueError("it should have letters, no control characters, and at most 1,000")
    return name


def _check_text(text: str) -> str:
    if not is_text(text):
        raise ValueError("it should be text, without NUL and lone surrogates")
    if any(letter < " " and letter not in "\t\n\r" for letter in text):
        raise ValueError("it should hold no control characters")
    return text


def _check_plain(value: Any) -> Any:
    """Check a value of any JSON type: no deep nesting, finite numbers, text."""
    layer = [value]
    for _ in range(_DEEPEST):
        for one in layer:
            if isinstance(one, str):
                _check_text(one)
            elif isinstance(one, float) and not math.isfinite(one):
                raise ValueError("numbers should be finite")
            elif isinstance(one, int) and abs(one) > _LARGEST:
                raise ValueError("a whole number is too large")
        nested = [one for one in layer if isinstance(one, dict | list | tuple)]
        layer = [
            child
            for one in nested
            for child in ([*one, *one.values()] if isinstance(one, dict) else one)
        ]
        if not layer:
            return value
    raise ValueError(f"it is nested more than {_DEEPEST} deep")


#: A finite number.
Number = Annotated[float, Field(strict=True)]
Positive = Annotated[float, Field(strict=True, gt=0)]
NotNegative = Annotated[float, Field(strict=True, ge=0)]
Probability = Annotated[float, Field(strict=True, ge=0, le=1)]
#: A whole number.
Integer = Annotated[int, Field(strict=True, ge=-_LARGEST, le=_LARGEST)]
Count = Annotated[int, Field(strict=True, ge=0, le=_LARGEST)]
AtLeastOne = Annotated[int, Field(strict=True, ge=1, le=_LARGEST)]
#: Height or width of an image, in pixels.
Side = Annotated[int, Field(strict=True, ge=1, le=_MOST_PIXELS)]
Flag = Annotated[bool, Field(strict=True)]
#: Text that every file format can store.
Text = Annotated[str, AfterValidator(_check_text)]
#: Name of a class, a channel, a metric.
Name = Annotated[str, AfterValidator(_check_name)]
#: Any JSON value.
Plain = Annotated[Any, AfterValidator(_check_plain)]
ListOf = Annotated[list[T], Field(fail_fast=True)]
TupleOf = Annotated[tuple[T, ...], Field(fail_fast=True)]
#: By name.
DictOf = Annotated[dict[str, T], BeforeValidator(_check_keys)]


def check_order(low: float | None, value: float | None, high: float | None) -> None:
    """Check that an interval encloses its value, within rounding, as far as the three are known."""
    known = [number for number in (low, value, high) if number is not None]
    slack = 1e-6 * max(map(abs, known), default=0.0)
    if any(after < before - slack for before, after in pairwise(known)):
        raise ValueError(f"low, value and high should ascend, got {low}, {value}, {high}")
