"""Writer of ``model/card.html`` and ``model/card.md``."""

from __future__ import annotations

from pathlib import Path

from eosin.artifacts.integrity import replacing
from eosin.artifacts.layout import ModelFolder
from eosin.core.files import write_text
from eosin.reporting.card import sections
from eosin.reporting.card.cautions import cautions, failures, licences
from eosin.reporting.card.items import reporting_items
from eosin.reporting.card.outline import Card, to_markdown
from eosin.reporting.description import description, title
from eosin.reporting.exposure import verdict
from eosin.reporting.rendering import render, write_page
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


def write_card(run: Path) -> None:
    """Write the model card from the run folder alone; nothing if the run holds no model.

    Raises:
        ArtifactError: The folder is missing, is no finished run, or holds a damaged file.
        OutputError: The card cannot be written.
    """
    save_card(read_run(Path(run)))


def save_card(run: FinishedRun) -> None:
    """Write the card of a run that is already read (see :func:`write_card`)."""
    if run.model is None:
        return
    card, folder = card_of(run), ModelFolder(run.folder.model)
    page, text = render("card.html.j2", card=card, simulated=card.simulated), to_markdown(card)
    with replacing(folder, folder.card, folder.card_text):
        write_page(folder.card, page)
        write_text(folder.card_text, text)


def card_of(run: FinishedRun) -> Card:
    """Build the card of a run."""
    told = [make(run) for make in _PARTS]
    return Card(
        name=title(run),
        description=description(run),
        simulated=run.simulated,
        cautions=tuple(cautions(run)),
        verdict=verdict(run),
        sections=tuple(section for section in told if not section.is_empty),
    )
