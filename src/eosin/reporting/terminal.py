"""Terminal output on tables of images and predictions, as short lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eosin.artifacts.layers import LayerTable
from eosin.artifacts.metrics import SplitMetrics
from eosin.artifacts.predictions import NORMALISED, PredictionRecord
from eosin.core.text import count, duration, quantity
from eosin.core.types import SPLITS, Samples
from eosin.metrics.catalogue import HEADLINE
from eosin.reporting.formatting import metric_label, metric_text

_MOST_CLASSES = 8


def format_datasets(datasets: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a table of data sets from their facts, one line each."""
    head = ("name", "title", "licence", "modality", "classes")
    rows = [head] + [
        (d["name"], d["title"], d["licence"], d["modality"], str(len(d["classes"]) or "–"))
        for d in datasets
    ]
    return _aligned(rows)


def format_layers(table: LayerTable, *, every: bool) -> list[str]:
    """Return the layers of a network, one line each; of a long one its blocks, unless ``every``."""
    layers = table.layers if every else table.short()
    rows = [
        (row.name, row.kind, row.shape_text, count(row.params), count(row.buffers))
        for row in [*layers, table.total.model_copy(update={"name": "in all"})]
    ]
    lines = _aligned([("layer", "kind", "output", "params", "buffers"), *rows], right=2)
    if len(layers) < len(table.layers):
        lines.append(f"A block stands for its layers; --all lists all {count(len(table.layers))}.")
    return lines


def _aligned(rows: Sequence[Sequence[str]], right: int = 0) -> list[str]:
    """Return rows in columns as wide as needed, the last ``right`` ones aligned right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<"] * (len(widths) - right) + [">"] * right
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def format_prediction(record: PredictionRecord) -> str:
    """Return the number of predicted images, the model, the engine and the time taken."""
    images = quantity(record.n_images, "image")
    return (
        f"{images} predicted by {record.model} (SHA-256 {record.network_sha256[:12]}) "
        f"with {record.engine} in {duration(record.seconds)}"
    )


def format_abstained(table: Any) -> list[str]:
    """Return the number of abstentions in a table of predictions; empty if none."""
    n = int(table["abstained"].sum())
    shown = f"abstained on {n} of {len(table)} images: their decision is not to be used"
    return [shown] if n else []


def format_samples(samples: Samples) -> str:
    """Return the number of images, groups and classes of a table, and the sizes of its splits."""
    frame = samples.frame
    groups = frame["group"].nunique()
    shown = f"{len(samples):,} images, {quantity(groups, 'group')}"
    sizes = frame["label"].value_counts()
    named = ", ".join(f"{name} {sizes[name]:,}" for name in samples.class_names if name in sizes)
    shown += f" ({named})" if len(sizes) <= _MOST_CLASSES else f", {len(sizes)} classes"
    if "split" not in frame:
        return shown
    sizes = frame["split"].value_counts()
    return shown + "; " + ", ".join(f"{name} {sizes[name]:,}" for name in SPLITS if name in sizes)


def format_unchanged(table: Any) -> list[str]:
    """Return the reasons why stain normalisation left images unchanged."""
    reasons = Counter(table["stain"]) if "stain" in table else Counter()
    shown = ", ".join(
        f"{n} {reason}" for reason, n in reasons.most_common() if reason != NORMALISED
    )
    return [f"stain not normalised: {shown}; evaluated as they are"] if shown else []


def split_facts(splits: Mapping[str, SplitMetrics]) -> dict[str, object]:
    """Return the size and the headline metrics of each split, in one line each."""
    return {
        name: ", ".join(
            [
                quantity(split.n_images, "image"),
                quantity(split.n_groups, "group"),
                *(
                    f"{metric_label(key, short=True)} {metric_text(split.image[key])}"
                    for key in HEADLINE
                    if key in split.image and split.image[key].value is not None
                ),
            ]
        )
        for name, split in splits.items()
    }
