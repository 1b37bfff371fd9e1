"""From a run folder to ``model/card.html`` and ``model/card.md``."""

from __future__ import annotations

from pathlib import Path

from eosin.artifacts.integrity import replace_texts
from eosin.artifacts.layout import ModelFolder
from eosin.reporting.card import sections
from eosin.reporting.card.cautions import cautions, failures, licences
from eosin.reporting.card.items import reporting_items
from eosin.reporting.card.outline import Card, to_markdown
from eosin.reporting.description import description, title
from eosin.reporting.exposure import verdict
from eosin.reporting.rendering import render
from eosin.runs.finished import Pending, Run, gather

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


def write_card(run: Path, pending: Pending | None = None) -> None:
    """Write the model's card, from its run folder alone.

    Nothing is written where the run holds no model (it judged one from elsewhere).

    Args:
        run: The run folder.
        pending: Documents that the run is going to be finished with, not written yet.

    Raises:
        ArtifactError: The folder is missing, is no finished run, or a file in it is damaged.
        OutputError: The card cannot be written.
    """
    save_card(gather(Path(run), pending))


def save_card(run: Run) -> None:
    """Write the card of a run that was read already (see :func:`write_card`)."""
    if run.model is None:
        return
    card, folder = card_of(run), ModelFolder(run.folder.model)
    page, text = render("card.html.j2", card=card, simulated=card.simulated), to_markdown(card)
    replace_texts(folder, {folder.card: page, folder.card_text: text})


def card_of(run: Run) -> Card:
    """Return what the card says."""
    told = [make(run) for make in _PARTS]
    return Card(
        name=title(run),
        description=description(run),
        simulated=run.simulated,
        cautions=tuple(cautions(run)),
        verdict=verdict(run),
        sections=tuple(section for section in told if not section.is_empty),
    )
