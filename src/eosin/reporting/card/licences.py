"""Under which terms the data, the weights before and the model stand, and what follows."""

from __future__ import annotations

import re

from eosin.reporting.card.outline import Section
from eosin.reporting.formatting import listing
from eosin.reporting.tables import text_table
from eosin.runs.finished import Run

#: What a word in a licence's name asks of whoever uses the thing.
_ASKED = (
    (r"\bNC\b|non-?commercial", "no commercial use"),
    (r"\bND\b|no-?deriv", "no changed copies"),
    (r"\bSA\b|share-?alike|GPL", "what is derived is passed on under the same terms"),
    (r"\bCC[ -]BY\b|attribution", "its authors are named"),
    (r"\bCC-?0\b|public domain", "nothing"),
    (r"apache|\bMIT\b|\bBSD\b", "its notice is kept"),
)
_UNSTATED = frozenset({"", "none stated", "unknown", "none"})
_IMAGENET = "; ImageNet's images themselves are given for non-commercial research"


def consequence(licence: str | None) -> str:
    """Say what a licence asks, as far as its name tells."""
    stated = licence or ""
    # An ensemble joins the licences of its members' data.
    if any(one.strip().lower() in _UNSTATED for one in stated.split(";")):
        return "none is stated: whoever holds the rights must be asked"
    asked = [text for word, text in _ASKED if re.search(word, stated, re.IGNORECASE)]
    return listing(asked) or "its text must be read"


def licences(run: Run) -> Section:
    """Tell each licence, and whether one of them forbids commercial use."""
    model = run.model
    if model is None:
        return Section("Licences")
    told = [("Training data", model.data_licence, "")]
    for stage in model.transfer_chain:
        is_source = stage.data_fingerprint is None
        name = f"Weights before: {stage.source}" if is_source else f"Data of stage {stage.stage}"
        remark = _IMAGENET if "imagenet" in stage.source.lower() else ""
        told.append((name, stage.licence or "none stated", remark))
    rows = [(name, licence, consequence(licence) + remark) for name, licence, remark in told]
    rows.append(("This model", model.licence, "all of the above"))
    caption = "What each licence asks for, as far as its name tells."
    table = text_table(caption, ("Of", "Licence", "Asks for"), rows, texts=(0, 1, 2))
    return Section("Licences", words=tuple(_warnings(told)), tables=(table,))


def _warnings(told: list[tuple[str, str, str]]) -> list[str]:
    barred = [name for name, licence, _ in told if re.search(_ASKED[0][0], licence, re.IGNORECASE)]
    unknown = [name for name, licence, _ in told if consequence(licence).startswith("none is")]
    words = []
    if barred:
        words.append(
            f"Non-commercial: {_named(barred)} may not be used commercially, and the model that"
            " learned from it should not be either."
        )
    if unknown:
        words.append(f"No licence is stated: {_named(unknown)}. Nothing may be taken for granted.")
    return words


def _named(names: list[str]) -> str:
    text = listing(names)
    return f"{text[:1].lower()}{text[1:]}"
