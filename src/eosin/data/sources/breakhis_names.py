"""What a BreakHis file name says: ``SOB_<B|M>_<type>-<yy>-<number><letters>-<mag>-<seq>.png``.

Source: Spanhol et al., IEEE Trans. Biomed. Eng. 63(7), 2016. The slide id carries section
letters: ``14-22549AB``, ``14-22549CD`` and ``14-22549G`` are sections of accession 22549, so only
the digits name what must not cross a split. The year is not always 14 (``15-190EF``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(
    r"SOB_(?P<class_letter>[BM])_(?P<subtype_code>A|F|PT|TA|DC|LC|MC|PC)"
    r"-(?P<year>\d{2})-(?P<number>\d+)(?P<letters>[A-Z]*)"
    r"-(?P<magnification>\d+)-(?P<sequence>\d+)(?:\.[A-Za-z0-9]+)?",
    re.ASCII,
)


@dataclass(frozen=True)
class BreakHisName:
    """The parts of a BreakHis file name; all text, so that ``001`` stays ``001``.

    Attributes:
        class_letter: ``B`` (benign) or ``M`` (malignant).
        subtype_code: ``A``, ``F``, ``PT``, ``TA``, ``DC``, ``LC``, ``MC`` or ``PC``.
        year: Two digits.
        slide: Year, number and section letters, e.g. ``14-22549AB``.
        accession: The digits of the slide's number, e.g. ``22549``.
        magnification: ``40``, ``100``, ``200`` or ``400``.
        sequence: Running number of the field, e.g. ``001``.
    """

    class_letter: str
    subtype_code: str
    year: str
    slide: str
    accession: str
    magnification: str
    sequence: str


def parse_breakhis_name(filename: str) -> BreakHisName | None:
    """Take a BreakHis file name apart.

    Args:
        filename: A file's name, with or without suffix; folders before it are ignored.

    Returns:
        Its parts, or nothing where the name does not follow BreakHis.
    """
    found = _NAME.fullmatch(re.split(r"[/\\]", filename)[-1])
    if found is None:
        return None
    year, number, letters = found["year"], found["number"], found["letters"]
    return BreakHisName(
        class_letter=found["class_letter"],
        subtype_code=found["subtype_code"],
        year=year,
        slide=f"{year}-{number}{letters}",
        accession=number,
        magnification=found["magnification"],
        sequence=found["sequence"],
    )
