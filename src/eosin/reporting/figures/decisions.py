"""The decision curve: whether acting on the model is better than acting on all, or on none.

Net benefit is that of Vickers and Elkin, Medical Decision Making 26(6), 2006.
"""

from __future__ import annotations

from itertools import groupby

from eosin.artifacts.metrics import NetBenefit, SplitMetrics
from eosin.reporting.figures.style import (
    COLOURS,
    INK,
    MUTED,
    Picture,
    house_style,
    new_figure,
    to_picture,
)
from eosin.reporting.formatting import listing, quantity, share

#: Thresholds whose net benefits are told in words.
_TOLD = (0.1, 0.25, 0.5, 0.75)
#: Stretches of thresholds that are told by name.
_MOST_STRETCHES = 3
#: A hair above "act on all" is none.
_ROUNDING = 1e-12


def decision_curve_figure(metrics: SplitMetrics) -> Picture | None:
    """Draw net benefit by threshold; ``None`` where it was not measured."""
    curve = metrics.decisions.curve if metrics.decisions else []
    if not curve or metrics.positive is None:
        return None
    x = [point.threshold for point in curve]
    model = [point.model for point in curve]
    top = max(*model, *(point.everyone for point in curve), 0.05)
    with house_style():
        figure, axes = new_figure(4.6, 4.9)
        axes.plot(x, model, color=COLOURS[0], label="Act as the model says")
        everyone = [point.everyone for point in curve]
        axes.plot(x, everyone, color=COLOURS[1], linestyle="--", label="Act on every image")
        axes.axhline(0, color=MUTED, linestyle=":", linewidth=1.4, label="Act on none")
        if (locked := metrics.threshold.value) is not None:
            label = f"Locked threshold {locked:.2f}"
            axes.axvline(locked, label=label, color=INK, linewidth=1.2, linestyle="-.")
        axes.set(xlim=(0, 1), ylim=(-0.3 * top, 1.08 * top))
        axes.set_title("Decision curve", pad=46)
        axes.set_xlabel("Probability from which one would act")
        axes.set_ylabel("Net benefit")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderpad=0)
        return to_picture(
            figure,
            "decision_curve",
            alt=f"Decision curve. {_in_words(curve)}",
            caption="Net benefit: right calls for action an image, less the false ones, weighed by"
            " how many false ones a right one is worth at that threshold. The model helps where"
            f" its line is the highest. {_where_best(curve)}",
        )


def _where_best(curve: list[NetBenefit]) -> str:
    """Say in which stretches of thresholds the model's line is the highest, the longest first."""
    stretches = [list(points) for is_best, points in groupby(curve, key=_is_best) if is_best]
    stretches.sort(key=lambda points: -len(points))
    if not stretches:
        return "Here it nowhere is."
    told = [
        f"between {share(points[0].threshold)} and {share(points[-1].threshold)}"
        if len(points) > 1
        else f"at {share(points[0].threshold)}"
        for points in stretches[:_MOST_STRETCHES]
    ]
    rest = sum(len(points) for points in stretches[_MOST_STRETCHES:])
    told += [f"at {quantity(rest, 'more threshold')}"] if rest else []
    return f"Here that is {listing(told)}."


def _is_best(point: NetBenefit) -> bool:
    return point.model > max(point.everyone, 0.0) + _ROUNDING


def _in_words(curve: list[NetBenefit]) -> str:
    near = [min(curve, key=lambda point: abs(point.threshold - wanted)) for wanted in _TOLD]
    return " ".join(
        f"At {point.threshold:.2f}: model {point.model:.3f}, everyone {point.everyone:.3f}, none 0."
        for point in near
    )
