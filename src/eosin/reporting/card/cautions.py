"""What must be known before a number of the card is read."""

from __future__ import annotations

from eosin.reporting.exposure import exposure, has_units, unit_name
from eosin.reporting.formatting import count, listing, quantity
from eosin.reporting.members import members_of
from eosin.runs.finished import Run


def cautions(run: Run) -> list[str]:
    """List them, the gravest first; empty where the model itself was judged strictly."""
    texts = (not_strict(run), _unchecked(run), _leaks(run), _not_itself(run))
    return [text for text in texts if text]


def not_strict(run: Run) -> str:
    """Say why no strict figure is known; empty where one is."""
    found = exposure(run)
    shared = found.n_groups if found else 0
    if not shared and not _is_by_image(run):
        return (
            ""
            if has_units(run)
            else (
                "It is not known which images belong to one patient, slide or other group: whether"
                " the figures are strict cannot be told."
            )
        )
    text = "No strict figure is known for this model: its images were divided one by one"
    if shared:
        unit = unit_name(run)
        text += (
            f", and {count(shared)} of the {quantity(run.judged.n_groups, unit)} that it was"
            " judged on were also trained on"
        )
    return f"{text}. Every figure here flatters it by an amount that nobody knows."


def _unchecked(run: Run) -> str:
    """Name what the audit could not check; empty where :func:`not_strict` says it already."""
    return f"{run.audit.unchecked}." if run.audit and run.audit.unchecked and has_units(run) else ""


def _is_by_image(run: Run) -> bool:
    """Whether the protocol itself lets a group stand on both sides."""
    if run.recipe is not None and not run.recipe.data.split.is_strict:
        return True
    return run.split_report is not None and run.split_report.protocol == "image"


def _leaks(run: Run) -> str:
    """Say that the audit found more than the groups that a split by image shares."""
    kinds = leak_kinds(run)
    if not kinds:
        return ""
    told = listing(kind.replace("_", " ") for kind in kinds)
    return f"The leak audit found shared material ({told}), and the training went on all the same."


def leak_kinds(run: Run) -> list[str]:
    """List the kinds of leaks; groups that are shared are reported by :func:`not_strict`.

    A patient whose groups are on two sides shares no group.
    """
    leaks = run.audit.leaks if run.audit else []
    found = (
        leak.kind
        for leak in leaks
        if leak.kind != "same_group" or any(pair.how for pair in leak.pairs)
    )
    return list(dict.fromkeys(found))


def _not_itself(run: Run) -> str:
    """Say that an ensemble was judged only through its members; empty where it was itself."""
    if run.model is None or run.model.architecture != "ensemble" or run.split != "oof":
        return ""
    if members_of(run):
        return (
            "This model was not judged itself: of each image the members' networks that never saw"
            " it were averaged, and the model averages all of them."
        )
    return (
        "This model was not judged itself: it averages the networks of all folds, and each figure"
        " is of single networks on images that they never saw."
    )
