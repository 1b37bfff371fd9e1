"""What an epoch of the training showed of each class."""

from __future__ import annotations

from eosin.reporting.formatting import quantity
from eosin.reporting.tables import Table, text_table
from eosin.runs.finished import Run

_METHODS = {
    "sampler": "Each epoch drew as many images as there are, each class alike often (“sampler”)",
    "oversample": "Images of smaller classes were repeated until all classes were as large as the"
    " largest (“oversample”)",
    "smote": "New feature vectors were made between neighbours of a class until all classes were"
    " as large as the largest (“smote”)",
}


def balance_words(run: Run) -> str:
    """Say how the training part was shown; empty where each image was shown once, as it is."""
    if run.balance is None or run.balance.is_plain:
        return ""
    told = [_METHODS.get(run.balance.method, "")]
    if run.balance.copies is not None:
        copies = quantity(run.balance.copies, "copy", "copies")
        told.insert(0, f"Of each training image {copies} were shown, changed once and for all")
    if run.balance.focal_gamma is not None:
        told.append(f"The loss was focal, with γ = {run.balance.focal_gamma:g}")
    if any(one.weight != 1 for one in run.balance.classes.values()):
        told.append("Classes were weighted in the loss")
    return " ".join(f"{text}." for text in told if text)


def balance_table(run: Run) -> Table | None:
    """Build the table of what an epoch showed; nothing where each image was shown as it is."""
    if run.balance is None or run.balance.is_plain:
        return None
    classes = run.balance.classes
    has_synthetic = any(one.synthetic for one in classes.values())
    rows: list[list[str | int]] = [
        [
            name,
            one.images,
            round(one.shown),
            *([one.synthetic] if has_synthetic else []),
            f"{one.weight:.2f}",
        ]
        for name, one in classes.items()
    ]
    synthetic = ("Synthetic",) if has_synthetic else ()
    columns = ("Class", "Training images", "Shown an epoch", *synthetic, "Weight in the loss")
    return text_table("What an epoch of the training showed.", columns, rows)
