"""Data: images by class, subset, patient and magnification; what the data set declares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from eosin.core.text import count, listing, quantity
from eosin.core.types import SPLITS, STACKED, TOGETHER, parts_of
from eosin.reporting.formatting import (
    below,
    common_folder,
    reason_alone,
    share,
    subset_name,
    times,
)
from eosin.reporting.outline import (
    Facts,
    Pair,
    RenderedFigure,
    Section,
    Table,
    Text,
    joined,
    make_table,
    select,
)
from eosin.reporting.style import COLOURS, HATCHES, INK, drawing, render_figure, series_label
from eosin.reporting.thumbnails import colour_words, tiles
from eosin.reporting.train_test_overlap import split_name, unit_name, units
from eosin.runs.finished import FinishedRun

#: More bars than this carry no numbers.
_MOST_NUMBERED = 40
#: With more classes than this, only the label table lists their counts.
_MOST_CLASSES = 6
#: Rows of a table of patients or files; the rest is in the run's files.
MOST_ROWS = 200
#: Best-known facts of a data set, and those for programs only.
_FIRST = ("title", "name", "licence", "citation", "doi", "url")
_HIDDEN = frozenset({"parts", "counts"})


def section(run: FinishedRun) -> Section:
    """Return the section of the page."""
    examples = tiles(run, "example")
    return Section(
        "Data",
        Facts(_availability(run), look="cards"),
        _skipped_table(run),
        _label_table(run),
        _magnification_table(run),
        _stain_table(run),
        Section(
            "Examples", Text(colour_words(run) if examples.items else "", look="small"), examples
        ),
        Section("Before stain normalisation", tiles(run, "before")),
        Section("Augmented, as in training", tiles(run, "augmented")),
    )


def brief(run: FinishedRun) -> Section:
    """Return the section of the card, without patient names or paths."""
    wanted = ("Title", "Citation", "DOI", "Address", "Homepage", "Fingerprint")
    counts = [(subset_name(part), text) for part, text in _counts_in_words(run, ": ").items()]
    evaluated = (f"Evaluated ({split_name(run)})", units(run))
    words = "The images are simulated; no patients are involved." if run.simulated else ""
    return Section("Data", words, Facts([*select(dataset_facts(run), *wanted), *counts, evaluated]))


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    held, declared = _availability(run), dataset_facts(run)
    scale = f"{run.model.mpp:g} µm per pixel" if run.model and run.model.mpp else ""
    names, n_skipped = run.class_names, len(run.skipped)
    skipped = f"{quantity(n_skipped, 'unreadable image')} excluded"
    parts = _counts_in_words(run, " ")
    found = {
        "source": joined(select(declared, "Title", "Citation")),
        "selection": _selection(run),
        "acquisition": "; ".join(filter(None, (joined(select(held, "Magnifications")), scale))),
        "classes": f"class of each image: {listing(names)}" if names else "",
        "missing": skipped if n_skipped else "no unreadable images",
        "flow": joined(select(held, "Images", "Patients", "Unreadable files")),
        "parts": "; ".join(f"{part}: {text}" for part, text in parts.items()),
        "availability": joined(select(declared, "DOI", "Address", "Homepage")),
    }
    # What is left out is known of a run with a manifest alone.
    return found if run.manifest is not None else {**found, "missing": "", "flow": ""}


def _selection(run: FinishedRun) -> str:
    if run.recipe is None:
        return ""
    data = run.recipe.data
    kept = listing(map(times, data.magnifications)) or "all magnifications"
    return kept + (f", at most {data.limit} images per class and group" if data.limit else "")


def _counts_in_words(run: FinishedRun, between: str) -> dict[str, str]:
    return {
        part: ", ".join(f"{name}{between}{count(n)}" for name, n in sorted(row.items()))
        for part, row in label_counts(run).items()
    }


def distribution_figure(run: FinishedRun) -> RenderedFigure | None:
    """Draw images by class as horizontal bars, one per subset; ``None`` without images."""
    counts, classes = label_counts(run), _label_order(run)
    if not counts:
        return None
    parts = list(counts)
    n_bars = len(parts) * len(classes)
    size_in = min(20.0, max(1.9, 0.26 * n_bars + 0.14 * len(classes) + 1))
    with drawing(5.6, size_in) as (figure, axes):
        height = 0.82 / len(parts)
        for index, part in enumerate(parts):
            values = [counts[part].get(name, 0) for name in classes]
            y = np.arange(len(classes)) + (index - (len(parts) - 1) / 2) * height
            style: dict[str, Any] = {"edgecolor": "white", "linewidth": 0, "height": 0.92 * height}
            style |= {
                "color": COLOURS[index % len(COLOURS)],
                "hatch": HATCHES[index % len(HATCHES)],
            }
            bars = axes.barh(y, values, label=series_label(subset_name(part)), **style)
            if n_bars <= _MOST_NUMBERED:
                axes.bar_label(bars, [count(v) for v in values], padding=4, fontsize=8.5, color=INK)
        _finish(axes, classes, len(parts))
        return render_figure(
            figure,
            "distribution",
            alt=f"Bar chart of images by class and subset. {_in_words(counts, classes)}",
            caption="Images by class and subset.",
        )


def _finish(axes: Axes, classes: tuple[str, ...], n_parts: int) -> None:
    axes.set_yticks(np.arange(len(classes)), [series_label(name, 28) for name in classes])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Images")
    if n_parts > 1:
        # Above the bars: inside, no corner is free for every distribution.
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(n_parts, 4), borderpad=0)


def _in_words(counts: dict[str, dict[str, int]], classes: tuple[str, ...]) -> str:
    return "; ".join(
        f"{part}: {listing(f'{count(row.get(name, 0))} {name}' for name in classes[:12])}"
        for part, row in counts.items()
    )


def _sample_frame(run: FinishedRun) -> Any:
    """Return the manifest, else the predictions; ``None`` if the run has neither."""
    return run.manifest if run.manifest is not None else run.predictions


def _availability(run: FinishedRun) -> list[Pair]:
    """Return the contents of the data as pairs of name and value."""
    frame = _sample_frame(run)
    facts = []
    if frame is not None:
        patients = [name for name in frame["patient"].unique() if name]
        known = bool((frame["patient"] != "").all())
        images = [part for path in frame["path"] for part in parts_of(path) if part]
        is_stacked = frame["path"].str.contains(STACKED, regex=False).any()
        facts = [
            *([("Stacks", count(len(frame)))] if is_stacked else []),
            ("Images", count(len(images))),
            ("Classes", count(frame["label"].nunique())),
            ("Patients", count(len(patients)) if patients and known else _partly(patients)),
        ]
        # Most often each patient is a group.
        n_groups = frame["group"].nunique()
        if not known or n_groups != len(patients):
            facts.append(("Groups", count(n_groups)))
        for column, label in (("slide", "Slides"), ("site", "Sites")):
            if column in frame and (frame[column] != "").any():
                facts.append((label, count(int(frame[column][frame[column] != ""].nunique()))))
        if _has_magnifications(frame):
            taken = {part for text in magnifications(frame) for part in text.split(TOGETHER)}
            in_order = sorted(taken, key=magnification_order)
            facts.append(("Magnifications", ", ".join(times(m) for m in in_order)))
    facts.append(("Unreadable files", count(len(run.skipped))))
    return facts


def _partly(patients: list[str]) -> str:
    return f"{count(len(patients))} + unknown" if patients else "unknown"


def _has_magnifications(frame: Any) -> bool:
    return "magnification" in frame and bool((frame["magnification"] != "").any())


def magnifications(frame: Any) -> list[str]:
    """Return the magnifications, numbers in their order."""
    return sorted({str(m) for m in frame["magnification"] if m != ""}, key=magnification_order)


def magnification_order(text: str) -> tuple[int, float, str]:
    """Return the sort key of a magnification: numbers by size, words after them."""
    try:
        return 0, float(text.rstrip("xX×")), text
    except ValueError:
        return 1, 0.0, text


def label_counts(run: FinishedRun) -> dict[str, dict[str, int]]:
    """Count images by subset and class; one subset ``all`` if the table has no split."""
    frame = _sample_frame(run)
    if frame is None:
        return {}
    if run.manifest is None:
        return {run.split: _count(frame)}
    if "split" not in frame or not (frame["split"] != "").any():
        return {"all": _count(frame)}
    return {
        part or "unused": _count(frame[frame["split"] == part])
        for part in (*SPLITS, "")
        if (frame["split"] == part).any()
    }


def _count(frame: Any) -> dict[str, int]:
    return {str(label): int(n) for label, n in frame["label"].value_counts().items()}


def _label_order(run: FinishedRun) -> tuple[str, ...]:
    """Return the classes, those that only the table has last."""
    frame = _sample_frame(run)
    found = sorted(set(frame["label"])) if frame is not None else []
    return (*run.class_names, *(name for name in found if name not in run.class_names))


def _label_table(run: FinishedRun) -> Table | None:
    counts, frame = label_counts(run), _sample_frame(run)
    if not counts:
        return None
    columns = [*map(subset_name, counts), *(["Total"] if len(counts) > 1 else [])]
    rows: list[list[str | int]] = []
    for name in _label_order(run):
        values = [counts[part].get(name, 0) for part in counts]
        total = sum(values)
        row: list[str | int] = [name, *values, *([total] if len(counts) > 1 else [])]
        mine = frame[frame["label"] == name]
        rows.append([*row, share(total / len(frame)), int(mine["group"].nunique())])
    unit = "Patients" if unit_name(run) == "patient" else "Groups"
    heads = ["Class", *columns, "Proportion", unit]
    return make_table("Images by class and subset.", heads, rows, name="classes")


def _magnification_table(run: FinishedRun) -> Table | None:
    """Build the table of images by magnification and class; of many classes, a row each."""
    frame = _sample_frame(run)
    if frame is None or not _has_magnifications(frame):
        return None
    table: Any = pd.crosstab(frame["magnification"], frame["label"])
    classes = [name for name in _label_order(run) if name in table]
    taken = {m: times(m) for m in magnifications(frame)}
    counts: list[list[int]]
    if len(classes) > _MOST_CLASSES:
        names, counts = classes, [[int(table.loc[m, name]) for m in taken] for name in classes]
        caption, heads = "Images by class and magnification.", ("Class", *taken.values())
    else:
        names = list(taken.values())
        counts = [[int(table.loc[m, name]) for name in classes] for m in taken]
        caption, heads = "Images by magnification and class.", ("Magnification", *classes)
    rows: list[list[str | int]] = [
        [name, *row, sum(row)] for name, row in zip(names, counts, strict=True)
    ]
    return make_table(caption, (*heads, "Total"), rows, name="magnifications")


def _skipped_table(run: FinishedRun) -> Table | None:
    folder = common_folder(entry.path for entry in run.skipped)
    rows = [
        (below(entry.path, folder), reason_alone(entry.path, entry.reason))
        for entry in run.skipped[:MOST_ROWS]
    ]
    columns, caption = ("File", "Reason"), "Unreadable files, which were excluded."
    return make_table(caption, columns, rows, texts=(0, 1), look="paths", name="unreadable")


def _stain_table(run: FinishedRun) -> Table | None:
    """Build the table of images with failed stain normalisation; ``None`` if there are none."""
    if run.stain is None or not run.stain.unchanged:
        return None
    rows = []
    for name, part in run.stain.parts.items():
        why = ", ".join(f"{reason} {n}" for reason, n in part.unchanged.items()) or "–"
        rows.append(
            (subset_name(name, run.stain.parts), part.n_images, sum(part.unchanged.values()), why)
        )
    caption = "Images without stain normalisation because it failed."
    heads = ("Subset", "Images", "Not normalised", "Reason")
    return make_table(caption, heads, rows, texts=(0, 3), name="stain_failures")


def dataset_facts(run: FinishedRun) -> list[Pair]:
    """Return the facts declared by the data set, best-known first."""
    dataset = run.dataset
    order = dict.fromkeys((*_FIRST, *dataset))
    known = [key for key in order if key in dataset and key not in _HIDDEN]
    facts = [(_heading(key), _plain(dataset[key])) for key in known]
    facts.append(("Images as published", _published(dataset.get("counts") or [])))
    if run.environment:
        facts.append(("Fingerprint", run.environment.data_fingerprint))
    return [(key, value) for key, value in facts if value]


def _heading(key: str) -> str:
    known = {"doi": "DOI", "url": "Address", "positive": "Positive class", "mpp": "µm per pixel"}
    return known.get(key, key.replace("_", " ").capitalize())


def _published(counts: list[dict[str, Any]]) -> str:
    """Format the published number of images by class and subset."""
    return ", ".join(
        " ".join([count(n["images"]), *(n[key] for key in ("label", "part") if n.get(key))])
        for n in counts
    )


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return "" if value is None else str(value)


def sizes_by(run: FinishedRun, column: str) -> dict[str, int] | None:
    """Count evaluated images by a column of the predictions, else of the manifest, if it exists."""
    frame, shown = run.predictions, run.manifest
    if frame is None:
        return None
    if column in frame:
        values = frame[column]
    elif shown is not None and column in shown:
        values = frame["path"].map(dict(zip(shown["path"], shown[column], strict=True)))
    else:
        return None
    write = times if column == "magnification" else str
    return {write(str(value)): int(n) for value, n in values.value_counts().items()}
