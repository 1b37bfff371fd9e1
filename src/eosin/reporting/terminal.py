"""Terminal output on tables of images and predictions: short lines, and rows of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from eosin.artifacts.gate import EXPLANATIONS, Gate
from eosin.artifacts.layers import LayerTable
from eosin.artifacts.metrics import Abstention, SplitMetrics
from eosin.artifacts.predictions import PredictionRecord
from eosin.core.text import count, duration, listing, of_groups, quantity
from eosin.core.types import SPLITS, Samples
from eosin.metrics.catalogue import HEADLINE
from eosin.reporting.formatting import many_undecided, metric_label, metric_text

_MOST_CLASSES = 8


def dataset_rows(datasets: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the rows of a table of data sets from their facts; the first is its head."""
    rows = (
        (d["name"], d["title"], d["licence"], d["modality"], str(len(d["classes"]) or "–"))
        for d in datasets
    )
    return [("name", "title", "licence", "modality", "classes"), *rows]


def dataset_facts(dataset: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of a table of one data set's facts; the first is its head."""
    shown = {**dataset, "counts": count(sum(one["images"] for one in dataset.get("counts") or ()))}
    facts = [
        ("images" if key == "counts" else key, listing(value) if _is_list(value) else str(value))
        for key, value in shown.items()
    ]
    return [("fact", "value"), *(fact for fact in facts if fact[1] not in {"", "0", "None"})]


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def layer_rows(table: LayerTable, *, every: bool) -> list[tuple[str, ...]]:
    """Return the rows of a network's layers, or of its blocks unless ``every``; first the head."""
    layers = [*(table.layers if every else table.short())]
    rows = (
        (row.name, row.kind, row.shape_text, count(row.params), count(row.buffers))
        for row in [*layers, table.total.model_copy(update={"name": "total"})]
    )
    return [("layer", "kind", "output", "params", "buffers"), *rows]


def format_prediction(record: PredictionRecord) -> str:
    """Return the number of predicted images, the model, the engine and the time taken."""
    images = quantity(record.n_images, "image")
    return (
        f"{images} predicted by {record.model} (SHA-256 {record.network_sha256[:12]}) "
        f"with {record.engine} in {duration(record.seconds)}"
    )


def format_abstained(record: PredictionRecord, rule: Abstention | None = None) -> list[str]:
    """Return the number of abstentions of predictions; empty if none.

    A rule that leaves most of its calibration images undecided is explained.
    """
    n = record.n_abstained - sum((record.refused or {}).values())
    shown = (
        f"The model is not certain enough on {n:,} of {record.n_images:,} images (column "
        "abstained): do not use its decision there"
    )
    return list(filter(None, [shown, many_undecided(rule)])) if n else []


def format_refused(record: PredictionRecord, gate: Gate | None, *, takes_images: bool) -> list[str]:
    """Return why the gate refused images of predictions, or that there is no gate."""
    refused = record.refused
    if not takes_images or refused == {}:
        return []
    if refused is None or gate is None or gate.distance is None:
        why = "" if gate is None or gate.reason is None else f" ({gate.reason})"
        return [
            f"This model has no gate{why}: blank, blurred or foreign images are predicted like any "
            "other. Training it anew adds one"
        ]
    why = "; ".join(f"{n:,} {one}: {EXPLANATIONS[one]}" for one, n in refused.items())
    n = sum(refused.values())
    return [
        f"The gate refuses {n:,} of {record.n_images:,} images (column gate): {why}; do not use "
        "the model's decision there"
    ]


def format_samples(samples: Samples) -> str:
    """Return the number of images, groups and classes of a table, and the sizes of its splits."""
    frame = samples.frame
    shown = f"{len(samples):,} images{samples.of_groups}"
    sizes = frame["label"].value_counts()
    named = ", ".join(f"{name} {sizes[name]:,}" for name in samples.class_names if name in sizes)
    shown += f" ({named})" if len(sizes) <= _MOST_CLASSES else f", {len(sizes)} classes"
    if "split" not in frame:
        return shown
    sizes = frame["split"].value_counts()
    return shown + "; " + ", ".join(f"{name} {sizes[name]:,}" for name in SPLITS if name in sizes)


def format_unchanged(record: PredictionRecord) -> list[str]:
    """Return the reasons why stain normalisation left images unchanged."""
    shown = ", ".join(f"{n} {reason}" for reason, n in (record.unchanged or {}).items())
    return [f"stain not normalised: {shown}; these images were used unchanged"] if shown else []


def split_facts(splits: Mapping[str, SplitMetrics]) -> dict[str, object]:
    """Return the size and the headline metrics of each split, in one line each."""
    return {
        name: ", ".join(
            [
                f"{quantity(split.n_images, 'image')}{of_groups(split.n_groups, split.unit)}",
                *(
                    f"{metric_label(key, short=True)} {metric_text(split.decided[key])}"
                    for key in HEADLINE
                    if key in split.decided and split.decided[key].value is not None
                ),
            ]
        )
        for name, split in splits.items()
    }
