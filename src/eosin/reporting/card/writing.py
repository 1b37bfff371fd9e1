"""Writer of ``model/card.html`` and ``model/card.md``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eosin.artifacts.integrity import replace_texts
from eosin.artifacts.layout import ModelFolder
from eosin.reporting.card import sections
from eosin.reporting.card.cautions import cautions, failures, licences
from eosin.reporting.card.items import reporting_items
from eosin.reporting.card.outline import Card, to_markdown
from eosin.reporting.description import description, title
from eosin.reporting.rendering import render
from eosin.reporting.train_test_overlap import verdict
from eosin.runs.finished import FinishedRun, read_run

_PARTS = (
    sections.identity,
    sections.use,
    sections.data,
    licences,
    sections.training,
    sections.performance,
    sections.threshold,
    sections.calibration,
    sections.abstention,
    failures,
    reporting_items,
)


def write_card(run: Path, pending: Mapping[str, Any] | None = None) -> None:
    """Write the model card from the run folder alone; nothing if the run holds no model.

    Args:
        run: The run folder.
        pending: Documents of the finished run that are not written yet, by
            the names of :class:`~eosin.runs.finished.FinishedRun`.

    Raises:
        ArtifactError: The folder is missing, is no finished run, or holds a damaged file.
        OutputError: The card cannot be written.
    """
    if pending is None:
        return save_card(read_run(Path(run)))
    finished = FinishedRun(Path(run))
    vars(finished).update(pending)
    return save_card(finished)


def save_card(run: FinishedRun) -> None:
    """Write the card of a run that is already read (see :func:`write_card`)."""
    if run.model is None:
        return
    card, folder = card_of(run), ModelFolder(run.folder.model)
    page, text = render("card.html.j2", card=card, simulated=card.simulated), to_markdown(card)
    replace_texts(folder, {folder.card: page, folder.card_text: text})


def card_of(run: FinishedRun) -> Card:
    """Build the card of a run."""
    shown = [make(run) for make in _PARTS]
    return Card(
        name=title(run),
        description=description(run),
        simulated=run.simulated,
        cautions=tuple(cautions(run)),
        verdict=verdict(run),
        sections=tuple(section for section in shown if not section.is_empty),
    )
