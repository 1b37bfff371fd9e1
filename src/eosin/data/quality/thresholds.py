"""From which number on an image is flagged, and why from there: the only place that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Flag = Literal["constant", "blank", "blurred", "saturated", "ink", "odd_size", "duplicate"]
#: In the order in which they are told.
FLAGS: tuple[Flag, ...] = get_args(Flag)


@dataclass(frozen=True)
class Thresholds:
    """The limits of each flag; what they flag of real sets is told in ``docs/data.md``.

    Attributes:
        constant_range: An image whose values spread no further in any channel is constant: JPEG
            moves the values of an empty field by one or two.
        least_tissue: Share of tissue below which a brightfield image is blank: glass, specks,
            and the thinnest walls of fat, in which there is hardly a cell to judge.
        focus_z: Robust z of the logarithm of the focus at which an image is blurred. A Gaussian of
            σ = 2 px brings nearly every image below −4, hardly any sharp one lies there.
        least_spread: The smallest robust standard deviation of the log focus that z is measured
            in. Images that are much alike would flag the softest of them; with 0.5 a blurred one
            has at most 1/7 of the median's fine detail (e to the power of −4 · 0.5).
        least_compared: Fewer images than this have no median worth comparing with.
        most_clipped: Share of values at 0 or 255 above which a brightfield image is saturated.
            Of ordinary fields only those come so far of which half is white glass.
        most_clipped_planes: Share of pixels at the top, in the worst channel, above which a
            fluorescence image is: counts that are cut off cannot be compared any more.
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
    """Say in one phrase what an image with this flag is."""
    return {
        "constant": "one colour all over",
        "blank": f"less than {_share(limits.least_tissue)} of the pixels are tissue",
        "blurred": f"focus far below the median of this set (robust z ≤ −{-limits.focus_z:g})",
        "saturated": f"more than {_share(limits.most_clipped)} of the values cut off at 0 or 255; "
        f"of fluorescence, {_share(limits.most_clipped_planes)} of a channel at its top",
        "ink": f"more than {_share(limits.most_ink)} of the pixels look like ink (pen, margin)",
        "odd_size": "another size than most images of this set",
        "duplicate": "the same pixels as an image before it",
    }[flag]


def _share(value: float) -> str:
    return f"{100 * value:g} %"
