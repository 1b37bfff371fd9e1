"""What it means that one model does better under one split than under another, in words."""

from __future__ import annotations

from dataclasses import dataclass

from eosin.artifacts.metrics import Metric
from eosin.reporting.exposure import LEADING_METRICS, Exposure, leading_name, unit_name
from eosin.reporting.formatting import count, metric_text, number, quantity, share
from eosin.runs.finished import Run


@dataclass(frozen=True, eq=False)
class Protocol:
    """One of the two runs.

    Attributes:
        key: ``strict`` or ``as-published``, the folder's name.
        label: What it is called.
        run: What its folder holds.
        seen: What is on both sides of its split; ``None`` where the run cannot tell.
    """

    key: str
    label: str
    run: Run
    seen: Exposure | None


def _leading(strict: Protocol, published: Protocol) -> tuple[str, Metric, Metric] | None:
    """Return the metric that both runs have, by which they are compared."""
    for name in LEADING_METRICS:
        a, b = (p.run.judged.image.get(name) for p in (strict, published))
        if a is not None and b is not None and a.value is not None and b.value is not None:
            return name, a, b
    return None


def protocols_verdict(strict: Protocol, published: Protocol) -> str:
    """Say both numbers in one sentence."""
    found = _leading(strict, published)
    if found is None:
        return "The two runs share no metric that has a value."
    name, a, b = found
    label = leading_name(name, strict.run)
    return (
        f"{label[0].upper()}{label[1:]} {metric_text(a)} when whole groups are held out; "
        f"{metric_text(b)} when images are divided one by one, as published."
    )


def meaning(strict: Protocol, published: Protocol) -> list[str]:
    """Say in plain words what the difference means."""
    found = _leading(strict, published)
    words = []
    if found is not None:
        name, a, b = found
        words.append(_difference(leading_name(name, strict.run), a, b))
        words.append(_overlap(a, b))
    words.append(
        "The strict number is the one to expect on patients whom nobody has seen before; the other"
        " one also rewards recognising a patient's slides, stain and scanner. Each interval tells"
        " how much the number would vary with other test groups; it does not cover a bias of the"
        " split itself, and the two test sets are not the same images."
    )
    return words


def _difference(label: str, strict: Metric, published: Metric) -> str:
    gap = (published.value or 0.0) - (strict.value or 0.0)
    if abs(gap) < 0.005:
        return f"In this experiment both splits give the same {label} to two decimals."
    if gap > 0:
        return (
            f"In this experiment the published split reports {number(gap)} more {label} than"
            " the strict one, for the same network, recipe and images."
        )
    return (
        f"In this experiment the published split reports {number(-gap)} less {label} than the"
        " strict one: it does not flatter here."
    )


def _overlap(a: Metric, b: Metric) -> str:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return "At least one of the two has no interval, so chance cannot be ruled out."
    if a.low <= b.high and b.low <= a.high:
        return (
            "The two intervals overlap: at this sample size the difference may be chance, and this"
            " experiment alone does not show that the splits differ."
        )
    return "The two intervals do not overlap: chance alone is an unlikely explanation."


def leak_words(protocol: Protocol) -> str:
    """Say how much of what a run was judged on it had also been trained on."""
    seen, run = protocol.seen, protocol.run
    if seen is None:
        return "This run does not tell which groups were trained on."
    unit = unit_name(run)
    if not seen.n_groups:
        return f"No judged {unit} was also trained on."
    total = run.judged.n_groups
    text = f"{_shared_share(seen.n_groups, total)} judged {unit}s were also trained on"
    if seen.n_images is not None:
        text += f", with {quantity(seen.n_images, 'judged image')}"
        if run.judged.n_images >= seen.n_images:
            text += f" ({share(seen.n_images / run.judged.n_images)})"
    return f"{text}."


def _shared_share(n: int, total: int) -> str:
    """Say how many of how many, with the share."""
    return f"{count(n)} of {count(total)} ({share(n / total)})" if total else count(n)
