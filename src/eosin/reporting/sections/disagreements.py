"""Images on which compared runs disagree: thumbnails, and each run's predictions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from eosin.artifacts.comparison import Comparison, Disagreement
from eosin.core.text import count, listing
from eosin.reporting.formatting import below, common_folder, shorten
from eosin.reporting.outline import Section, Table, Tile, Tiles, make_table
from eosin.reporting.sections.compared import units
from eosin.reporting.thumbnails import make_tile, patient_words, read_thumbnail

#: Characters of a file name below a thumbnail.
_NAME_WIDTH = 40


def section(comparison: Comparison, samples: Path) -> Section:
    """Return the section of a comparison; ``samples`` is the folder of its thumbnails."""
    found = comparison.disagreements
    if not found:
        return Section("")
    is_partial = len(found) < comparison.n_disagreements
    words = (
        f"{count(comparison.n_disagreements)} of {units(comparison)} are classified correctly by "
        "some runs and wrongly by others. Sorted by the largest difference in the probability of "
        "the true class; the combinations of correct runs take turns."
    )
    shown = [one for one in found if one.file and (samples / one.file).exists()]
    title = "First images" if is_partial else "All images"
    return Section(
        "Disagreements",
        words,
        Tiles([_tile(comparison, one, samples / one.file) for one in shown]),
        Section(f"{title} and predictions", _table(comparison), fold="closed"),
    )


def _tile(comparison: Comparison, one: Disagreement, file: Path) -> Tile:
    right, wrong = (list(_runs(comparison, one, is_right)) for is_right in (True, False))
    name = shorten(PurePosixPath(one.path).name, _NAME_WIDTH)
    lines = [f"true class {one.label}", f"correct: {listing(right)}", f"wrong: {listing(wrong)}"]
    lines += [patient_words(one.patient)] if one.patient else []
    alt = f"Image of class {one.label}, correct in {listing(right)}, wrong in {listing(wrong)}"
    return make_tile(read_thumbnail(file), alt=alt, title=name, lines=lines)


def _runs(comparison: Comparison, one: Disagreement, is_right: bool) -> Iterable[str]:
    for run, predicted in zip(comparison.runs, one.predicted, strict=True):
        if (predicted == one.label) == is_right:
            yield run.name


def _table(comparison: Comparison) -> Table | None:
    folder = common_folder(one.path for one in comparison.disagreements)
    rows = [
        (below(one.path, folder), one.label, *one.predicted) for one in comparison.disagreements
    ]
    columns = ("Image", "True class", *(run.name for run in comparison.runs))
    caption = "Most probable class of each run."
    if len(rows) < comparison.n_disagreements:
        caption += f" {count(comparison.n_disagreements - len(rows))} further images left out."
    texts = range(len(columns))
    return make_table(caption, columns, rows, texts=texts, look="paths", name="disagreements")
