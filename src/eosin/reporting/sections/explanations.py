"""Explanations: the page of ``explain``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eosin.artifacts.explanations import ExplanationRecord
from eosin.core.text import count, listing, quantity
from eosin.explanation.evidence import FLAT
from eosin.reporting.formatting import below, common_folder, number, reason_alone, shorten, signed
from eosin.reporting.outline import Facts, Page, Section, Table, Text, Tile, Tiles, make_table

#: Rows of the tables; the rest is in ``explanations.csv`` and ``skipped.csv``.
_MOST_ROWS = 200
_NAME_WIDTH = 60
_CAUTION = (
    "A map shows what this model's output depends on, not where a tumour is. It can be wrong, and"
    " a plausible map is no proof that the model is right."
)


def describe_prediction(row: Any, record: ExplanationRecord) -> tuple[str, ...]:
    """Return a row of ``explanations.csv`` as lines: prediction, rule and abstention, method."""
    probability = number(float(row[f"prob_{row['explained']}"]))
    head = f"{row['explained']}: probability {probability}"
    if row["explained"] != row["decision"]:
        head += f" (decision: {row['decision']})"
    threshold = record.threshold.value
    rule = "decision by the highest probability"
    if threshold is not None and record.positive is not None:
        rule = f"decision at threshold {number(threshold)} for {record.positive}"
    rule += "; the model abstains" if row["abstained"] else "; no abstention"
    evidence = f"log-odds {signed(float(row['log_odds']))}; {record.method}"
    if row["flat"]:
        evidence += f"; flat map: no two places differ by more than {FLAT:g}"
    return head, rule, evidence


def explanations_page(
    record: ExplanationRecord,
    table: Any,
    tiles: Sequence[Tile],
    skipped: Sequence[tuple[str, str]],
    *,
    simulated: bool,
) -> Page:
    """Return the page of explained images; ``tiles`` are the overlays of the first ones."""
    flat = f"{quantity(record.n_flat, 'map')} {'is' if record.n_flat == 1 else 'are'} flat"
    verdict = f"{quantity(len(table), 'image')} explained with {record.method}; {flat}."
    rest = len(table) - len(tiles)
    return Page(
        kind="Eosin explain · evidence maps",
        name=record.model,
        tab=f"{record.model}: explanations · Eosin",
        verdict=verdict,
        masthead=Section("", Text(_CAUTION, look="about")),
        sections=(
            Section(
                "Images",
                Text(
                    "Orange places speak for the explained class, blue ones against it, in log-odds"
                    " on the same colour scale for all images.",
                    look="small",
                ),
                Tiles(tiles, look="wide"),
                Text(f"… and {count(rest)} more in overlays." if rest else "", look="small"),
            ),
            Section("Method", Facts(_facts(record))),
            Section("Table", _table(table), fold="closed"),
            _unreadable(skipped),
        ),
        footer="Created by Eosin. The folders overlays and maps beside this page have the pictures"
        " and the numbers of every image.",
        simulated=simulated,
    )


def _facts(record: ExplanationRecord) -> list[tuple[str, str]]:
    return [
        ("Method", record.method),
        ("Settings", record.settings),
        *([("Members", listing(record.members))] if record.members else []),
        ("Model", record.model),
        ("Classes", listing(record.class_names)),
        ("Engine", record.engine),
    ]


def _table(table: Any) -> Table | None:
    folder = common_folder(table["path"])
    rows = [
        (
            shorten(below(row["path"], folder), _NAME_WIDTH),
            row["explained"],
            number(float(row[f"prob_{row['explained']}"])),
            row["decision"],
            "yes" if row["abstained"] else "no",
            *(signed(float(row[name])) for name in ("log_odds", "for", "against")),
            "yes" if row["flat"] else "no",
        )
        for row in table.head(_MOST_ROWS).to_dict("records")
    ]
    prediction = ("Image", "Explained", "Probability", "Decision", "Abstained")
    columns = (*prediction, "Log-odds", "Most for", "Most against", "Flat")
    caption = "Explained images; most for and most against are the ends of the map, in log-odds."
    texts = (0, 1, 3, 4, 8)
    return make_table(caption, columns, rows, texts=texts, look="many", name="explained")


def _unreadable(skipped: Sequence[tuple[str, str]]) -> Section:
    folder = common_folder(path for path, _ in skipped)
    rows = [(below(path, folder), reason_alone(path, why)) for path, why in skipped[:_MOST_ROWS]]
    caption, columns = "Unreadable files.", ("File", "Reason")
    table = make_table(caption, columns, rows, texts=(0, 1), look="paths", name="unreadable")
    return Section("Unreadable files", table, nav="Unreadable")
