"""Explanations: the page of ``explain``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eosin.artifacts.explanations import ExplanationRecord
from eosin.core.text import count, listing, quantity
from eosin.explanation.evidence import FLAT
from eosin.reporting.formatting import below, common_folder, number, reason_alone, shorten, signed
from eosin.reporting.outline import Facts, Page, Section, Table, Text, Tile, Tiles, make_table
from eosin.reporting.sections.evidence import CAUTION, check_facts

#: Rows of the tables; the rest is in ``explanations.csv`` and ``skipped.csv``.
_MOST_ROWS = 200
_NAME_WIDTH = 60


#: Groups of images, in the order of the page; of these without a label the last.
_WRONG, _RIGHT, _UNKNOWN = "Wrong decisions", "Right decisions", "Images"


@dataclass(frozen=True)
class Pictures:
    """Pictures of the page by group, see :func:`group_of`; of each group the first ones.

    Attributes:
        overlays: Images beside their evidence.
        feature_maps: Images with their feature maps.
    """

    overlays: dict[str, list[Tile]] = field(default_factory=dict)
    feature_maps: dict[str, list[Tile]] = field(default_factory=dict)


def group_of(row: Mapping[str, Any]) -> str:
    """Return the group of an image: its decision is wrong or right, or its label is unknown."""
    if row.get("label", "") == "":
        return _UNKNOWN
    return _RIGHT if row["correct"] else _WRONG


def describe_prediction(row: Any, record: ExplanationRecord) -> tuple[str, ...]:
    """Return a row of ``explanations.csv`` as lines: prediction, rule and abstention, method."""
    probability = number(float(row[f"prob_{row['explained']}"]))
    head = f"{row['explained']}: probability {probability}"
    if row["explained"] != row["decision"]:
        head += f" (decision: {row['decision']})"
    if group_of(row) != _UNKNOWN:
        head += f"; label {row['label']}: {'right' if row['correct'] else 'wrong'}"
    threshold = record.threshold.value
    rule = "decision by the highest probability"
    if threshold is not None and record.positive is not None:
        rule = f"decision at threshold {number(threshold)} for {record.positive}"
    refused = row.get("gate")
    if refused:
        rule += f"; refused by the gate: {refused}"
    else:
        rule += "; the model abstains" if row["abstained"] else "; no abstention"
    evidence = f"log-odds {signed(float(row['log_odds']))}; {record.method}"
    if row["flat"]:
        evidence += f"; flat map: no two places differ by more than {FLAT:g}"
    if "completeness_gap" in row:
        evidence += f", completeness gap {signed(float(row['completeness_gap']))}"
    return head, rule, evidence


def explanations_page(
    record: ExplanationRecord,
    table: Any,
    pictures: Pictures,
    skipped: Sequence[tuple[str, str]],
    *,
    simulated: bool,
) -> Page:
    """Return the page of explained images."""
    flat = f"{quantity(record.n_flat, 'map')} {'is' if record.n_flat == 1 else 'are'} flat"
    verdict = f"{quantity(len(table), 'image')} explained with {record.method}; {flat}."
    groups = _by_group(pictures.overlays)
    rest = len(table) - sum(len(tiles) for _, tiles in groups)
    legend = Text(
        "Orange places speak for the explained class, blue ones against it, in log-odds on the same"
        " colour scale for all images.",
        look="small",
    )
    return Page(
        kind="Eosin explain · evidence maps",
        name=record.model,
        tab=f"{record.model}: explanations · Eosin",
        verdict=verdict,
        masthead=Section("", Text(CAUTION, look="about")),
        sections=(
            *(
                Section(
                    title,
                    legend if title == groups[0][0] else None,
                    Tiles(tiles, look="wide"),
                    Text(f"… and {count(rest)} more in overlays." if rest else "", look="small")
                    if title == groups[-1][0]
                    else None,
                )
                for title, tiles in groups
            ),
            _layers(record, pictures),
            Section("Method", Facts(_facts(record))),
            Section("Checks of this method on this model", Facts(describe_checks(record))),
            Section("Table", _table(table), fold="closed"),
            _unreadable(skipped),
        ),
        footer="Created by Eosin. The folders beside this page have the pictures and the numbers of"
        " every image.",
        simulated=simulated,
    )


def _by_group(tiles: Mapping[str, Sequence[Tile]]) -> list[tuple[str, Sequence[Tile]]]:
    return [(name, tiles[name]) for name in (_WRONG, _RIGHT, _UNKNOWN) if tiles.get(name)]


def _layers(record: ExplanationRecord, pictures: Pictures) -> Section:
    shown = [
        Section(title if title != _UNKNOWN else "", Tiles(tiles, look="wide"))
        for title, tiles in _by_group(pictures.feature_maps)
    ]
    words = (
        f"What {quantity(len(record.layers), 'layer')} of the network give for an image: of each"
        " size of map the last layer. Each layer has its own scale, from dark to light."
        " The folder feature_maps has all images."
    )
    return Section("Feature maps", Text(words if shown else "", look="small"), *shown)


def describe_checks(record: ExplanationRecord) -> list[tuple[str, str]]:
    """Return the checks of the method on the model, or that there are none."""
    if record.checks is None:
        return [("Checks", f"None of {record.method} on this model.")]
    return check_facts(record.checks)


def _facts(record: ExplanationRecord) -> list[tuple[str, str]]:
    return [
        ("Method", record.method),
        ("Settings", record.settings),
        *([("Images", record.chosen)] if record.chosen else []),
        *([("Members", listing(record.members))] if record.members else []),
        ("Model", record.model),
        ("Classes", listing(record.class_names)),
        ("Engine", record.engine),
    ]


def _table(table: Any) -> Table | None:
    folder, has_labels = common_folder(table["path"]), "label" in table
    has_gap = "completeness_gap" in table
    rows = [
        (
            shorten(below(row["path"], folder), _NAME_WIDTH),
            row["explained"],
            number(float(row[f"prob_{row['explained']}"])),
            row["decision"],
            "yes" if row["abstained"] else "no",
            *([row["label"]] if has_labels else []),
            *(signed(float(row[name])) for name in ("log_odds", "for", "against")),
            "yes" if row["flat"] else "no",
            *([signed(float(row["completeness_gap"]))] if has_gap else []),
        )
        for row in table.head(_MOST_ROWS).to_dict("records")
    ]
    prediction = ("Image", "Explained", "Probability", "Decision", "Abstained")
    labels, gap = ["Label"] * has_labels, ["Completeness gap"] * has_gap
    columns = (*prediction, *labels, "Log-odds", "Most for", "Most against", "Flat", *gap)
    caption = "Explained images; most for and most against are the ends of the map, in log-odds."
    if has_gap:
        caption += (
            " The completeness gap is by how much the sum of all attributions differs from the"
            " difference of the log-odds between the image and its mean colour."
        )
    texts = (0, 1, 3, 4, columns.index("Flat"), *range(5, 5 + has_labels))
    return make_table(caption, columns, rows, texts=texts, look="many", name="explained")


def _unreadable(skipped: Sequence[tuple[str, str]]) -> Section:
    folder = common_folder(path for path, _ in skipped)
    rows = [(below(path, folder), reason_alone(path, why)) for path, why in skipped[:_MOST_ROWS]]
    caption, columns = "Unreadable files.", ("File", "Reason")
    table = make_table(caption, columns, rows, texts=(0, 1), look="paths", name="unreadable")
    return Section("Unreadable files", table, nav="Unreadable")
