"""Quality rules: the thresholds at which an image is flagged, with their reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from eosin.core.display import Shown
from eosin.core.text import percent, quantity
from eosin.core.types import BoolArray, FloatArray
from eosin.data.quality.measures import Measures

Flag = Literal["constant", "blank", "blurred", "saturated", "ink", "odd_size", "duplicate"]
#: In the order of the report.
FLAGS: tuple[Flag, ...] = get_args(Flag)
_COLUMNS = (
    "path", "kind", "height", "width", "tissue", "focus", "focus_z", "saturation", "ink",
    "duplicate_of", "flags", "reason",
)  # fmt: skip
#: Decimals; further ones are noise, and would double the size of a table of 100,000 images.
_DECIMALS = {"tissue": 4, "focus": 6, "focus_z": 2, "saturation": 4, "ink": 4}
#: Measure of each flag, and True if more of it is worse.
_BY: dict[Flag, tuple[str, bool]] = {
    "blank": ("tissue", False),
    "blurred": ("focus_z", False),
    "saturated": ("saturation", True),
    "ink": ("ink", True),
}


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of the flags; ``docs/data.md`` shows what they flag in real sets.

    Attributes:
        constant_range: Largest spread of the values of a channel in a constant image: JPEG moves
            the values of an empty field by one or two.
        least_tissue: Share of tissue below which a brightfield image is blank: glass, specks,
            and the thinnest walls of fat, which hold hardly a cell.
        focus_z: Robust z of the logarithm of the focus at which an image is blurred. A Gaussian of
            σ = 2 px brings nearly every image below −4, hardly any sharp one lies there.
        least_spread: The smallest robust standard deviation of the log focus for z. A uniform set
            would otherwise flag its softest images; with 0.5 a blurred one has at most 1/7 of the
            median's fine detail (e to the power of −4 · 0.5).
        least_compared: Least number of images for a median worth comparing with.
        most_clipped: Share of values at 0 or 255 above which a brightfield image is saturated.
            Ordinary fields reach it only if half of them is white glass.
        most_clipped_planes: Share of pixels at the top, in the worst channel, above which a
            fluorescence image is saturated: clipped counts cannot be compared.
        most_ink: Share of ink pixels above which an image is pen-marked: a stroke at the border
            covers more, a dark nucleus or a grain of dust less.
        common_size: Share of images that must have the same size for another one to be odd.
    """

    constant_range: int = 2
    least_tissue: float = 0.05
    focus_z: float = -4.0
    least_spread: float = 0.5
    least_compared: int = 20
    most_clipped: float = 0.25
    most_clipped_planes: float = 0.02
    most_ink: float = 0.02
    common_size: float = 0.5


def explain_flag(flag: Flag, limits: Thresholds) -> str:
    """Return a phrase that explains a flag."""
    return {
        "constant": "uniform colour",
        "blank": f"less than {percent(limits.least_tissue)} of the pixels are tissue",
        "blurred": f"focus far below the median of this set (robust z ≤ −{-limits.focus_z:g})",
        "saturated": f"more than {percent(limits.most_clipped)} of the values cut off at 0 or 255; "
        f"of fluorescence, {percent(limits.most_clipped_planes)} of a channel at its top",
        "ink": f"more than {percent(limits.most_ink)} of the pixels look like ink (pen, margin)",
        "odd_size": "a different size from most images of this set",
        "duplicate": "the same pixels as an earlier image",
    }[flag]


@dataclass(frozen=True, repr=False)
class QualityReport(Shown):
    """Quality control of a set of images."""

    #: A row an image: ``path``, ``kind`` (brightfield or fluorescence), ``height``, ``width``, the
    #: measures, ``duplicate_of`` (the first image of the same pixels), ``flags`` (between
    #: semicolons), and ``reason`` if it is unreadable.
    table: Any
    limits: Thresholds  # thresholds of the flags
    notes: tuple[str, ...] = ()  # sentences on what could not be evaluated

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        flags = {flag: len(self.flagged(flag)) for flag in FLAGS}
        shown = {"images": len(self.table), "skipped": len(self.skipped), "flagged": self.n_flagged}
        return {**shown, **{flag: count for flag, count in flags.items() if count}}

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """``(path, reason)`` of the images that do not decode."""
        rows = self.table[self.table["reason"] != ""]
        return list(zip(rows["path"], rows["reason"], strict=True))

    @property
    def n_flagged(self) -> int:
        """Number of images with a flag."""
        return int((self.table["flags"] != "").sum())

    def flagged(self, flag: Flag) -> Any:
        """Return the rows that have a flag, the worst first."""
        rows = self.table[[flag in cell.split(";") for cell in self.table["flags"]]]
        column, descending = _BY.get(flag, ("", False))
        return rows.sort_values(column, ascending=not descending, kind="stable") if column else rows


def flag_images(
    found: Mapping[str, Measures | str],
    *,
    magnifications: Mapping[str, str] | None = None,
    limits: Thresholds | None = None,
) -> QualityReport:
    """Flag images by their measures and by what is usual among the others.

    ``found`` holds by path the measures, or the reason why it is unreadable; focus is compared
    within one of the known ``magnifications``.
    """
    limits = limits or Thresholds()
    known = {path: one for path, one in found.items() if isinstance(one, Measures)}
    table = _tabulate(known)
    flags, notes = _find_flags(table, list(known.values()), magnifications or {}, limits)
    notes += _note_depth(sum(one.is_dark for one in known.values()))
    table["flags"] = [
        ";".join(flag for flag in FLAGS if flags[flag][row]) for row in range(len(table))
    ]
    table = table.set_index("path").reindex(list(found)).reset_index()
    table["reason"] = [one if isinstance(one, str) else "" for one in found.values()]
    for name in ("kind", "duplicate_of", "flags"):
        table[name] = [cell if isinstance(cell, str) else "" for cell in table[name]]
    for name in ("height", "width"):
        table[name] = table[name].astype("Int64")
    return QualityReport(table[list(_COLUMNS)].round(_DECIMALS), limits, tuple(notes))


def _note_depth(number: int) -> list[str]:
    if not number:
        return []
    uses, its = ("uses", "its") if number == 1 else ("use", "their")
    use = f"{quantity(number, 'image')} {uses} less than a quarter of {its}"
    return [f"{use} 16 bits: brightfield models read that only where the file states its bit depth"]


def _tabulate(known: Mapping[str, Measures]) -> Any:
    """Tabulate the measures, a row an image; NaN where one does not apply to fluorescence."""
    values = list(known.values())
    bright = _find_brightfield(values)
    table = pd.DataFrame({"path": list(known)}, dtype=object)
    table["kind"] = np.where(bright, "brightfield", "fluorescence")
    for name in ("height", "width"):
        table[name] = [getattr(one, name) for one in values]
    for name in ("tissue", "focus", "ink"):
        table[name] = np.array([getattr(one, name) for one in values], dtype=np.float64)
    table.loc[~bright, ["tissue", "ink"]] = np.nan
    # No light is what most of a fluorescence image should show.
    at_bottom = np.array([one.at_bottom for one in values])
    table["saturation"] = np.array([one.at_top for one in values]) + bright * at_bottom
    table["duplicate_of"] = _find_copies(known)
    return table


def _find_brightfield(values: list[Measures]) -> BoolArray:
    """Return True for stained sections; a grey image is what most of its set are."""
    coloured = [one.has_colour for one in values if one.is_rgb]
    usual = 2 * sum(coloured) > len(coloured)
    return np.array([one.is_rgb and (one.has_colour or usual) for one in values], dtype=bool)


def _find_copies(known: Mapping[str, Measures]) -> list[str]:
    """Return the first image of the same pixels, empty where it is the first itself."""
    first: dict[str, str] = {}
    return [
        "" if (same := first.setdefault(one.pixels, path)) == path else same
        for path, one in known.items()
    ]


def _find_flags(
    table: Any, values: list[Measures], magnifications: Mapping[str, str], limits: Thresholds
) -> tuple[dict[Flag, BoolArray], list[str]]:
    """Return each flag's rows, and what could not be evaluated; adds ``focus_z`` to the table."""
    bright = np.asarray(table["kind"] == "brightfield")
    constant = np.array([one.extent <= limits.constant_range for one in values], dtype=bool)
    # A constant image needs no other flag: it has no tissue, no focus, and copies.
    rest = ~constant
    with np.errstate(invalid="ignore"):
        blank = rest & np.asarray(table["tissue"] < limits.least_tissue)
    most = np.where(bright, limits.most_clipped, limits.most_clipped_planes)
    odd, size_notes = _find_odd_sizes(values, limits)
    # A blank image shows glass, which is smooth even in focus.
    evaluated = rest & ~blank & np.asarray(table["focus"] > 0)
    groups = [magnifications.get(path, "") for path in table["path"]]
    table["focus_z"], focus_notes = _score_focus(table, evaluated, groups, limits)
    return {
        "constant": constant,
        "blank": blank,
        "blurred": np.asarray(table["focus_z"] <= limits.focus_z),
        "saturated": rest & np.asarray(table["saturation"] > most),
        "ink": rest & np.asarray(table["ink"] > limits.most_ink),
        "odd_size": odd,
        "duplicate": rest & np.asarray(table["duplicate_of"] != ""),
    }, [*focus_notes, *size_notes]


def _find_odd_sizes(values: list[Measures], limits: Thresholds) -> tuple[BoolArray, list[str]]:
    sizes = [(one.height, one.width) for one in values]
    counted = Counter(sizes)
    (usual, number), *_ = counted.most_common(1) or [((0, 0), 0)]
    if number <= limits.common_size * len(sizes):
        note = f"sizes were not evaluated: most images share none of the {len(counted)} sizes"
        return np.zeros(len(sizes), dtype=bool), [note] if sizes else []
    return np.array([size != usual for size in sizes], dtype=bool), []


def _score_focus(
    table: Any, evaluated: BoolArray, groups: list[str], limits: Thresholds
) -> tuple[FloatArray, list[str]]:
    """Return the robust z of the log focus, NaN where it is not evaluated."""
    scores = np.full(len(table), np.nan)
    logs = np.log(np.asarray(table["focus"], dtype=np.float64), where=evaluated, out=scores.copy())
    n_judged = int(evaluated.sum())
    if n_judged < limits.least_compared:
        few = f"fewer than {limits.least_compared} to compare"
        return scores, [
            f"focus of {quantity(n_judged, 'image')} was not evaluated: {few}"
        ] if n_judged else []
    for group in sorted(set(groups)):
        rows = evaluated & np.array([one == group for one in groups], dtype=bool)
        # A magnification of few images is compared with all: focus hardly depends on it.
        usual = logs[rows if rows.sum() >= limits.least_compared else evaluated]
        middle = np.median(usual)
        spread = 1.4826 * np.median(np.abs(usual - middle))
        scores[rows] = (logs[rows] - middle) / max(spread, limits.least_spread)
    return scores, []
