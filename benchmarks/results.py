"""Makes ``docs/results.md`` and a page for each of its questions; no figure in them is typed.

``python -m benchmarks.results collect NAME RUN`` copies what the tables need from a run folder into
``docs/results/NAME``: metrics and circumstances, no paths. ``python -m benchmarks.results render``
writes the pages from there and from the prose in ``docs/results/pages.toml``; a test renders them
once more and compares. ``collect-gain NAME RUN BEFORE`` keeps how much better the run is than
another on the same images: differences with intervals from resamples of whole groups, the same for
both.
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.effects import effects_table, interval_text
from benchmarks.pairing import GAINS, PREFERRED, paired_gain
from benchmarks.tables import render_table
from eosin.artifacts.metrics import read_metrics
from eosin.core.files import read_json, write_json, write_text
from eosin.reporting.sections.results import Series, interval_figure

DOCS = Path(__file__).parents[1] / "docs"
STORE = DOCS / "results"
_COLUMNS = (
    ("auc", "AUC"),
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced accuracy"),
    ("recall", "recall"),
    ("specificity", "specificity"),
)
#: Optional parts of a split's metrics.
_NOT_SHOWN = frozenset({"by_subtype", "calibration", "decisions", "abstention", "gate"})
_BY_PATIENT = ("recognition_rate", "P_arp")


def collect(name: str, run: Path) -> None:
    """Copy a run's metrics and its circumstances into ``docs/results/NAME``."""
    target = STORE / name
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / "metrics.json", keep_shown(read_json(run / "metrics.json")))
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    model = json.loads((run / "model" / "model.json").read_text(encoding="utf-8"))
    kept = {
        "seed": environment["seed"],
        "device": environment["device"],
        "platform": environment["platform"],
        "packages": {k: environment["packages"][k] for k in ("torch", "onnxruntime")},
        "seconds": environment["seconds"],
        "data_fingerprint": environment["data_fingerprint"],
        "eosin": environment["eosin"],
        "git": environment["git"],
        "split": recipe["data"]["split"],
        "params": model["params"],
        "parity": model["parity"],
        "folds": _fold_values(run),
        "stages": [
            _stage_values(path.parent) for path in sorted(run.glob("stages/*/metrics.json"))
        ],
    }
    text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
    (target / "run.json").write_text(text, encoding="utf-8")


def keep_shown(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a ``metrics.json`` without the parts that no table shows."""
    return {
        split: {
            key: {} if key.startswith("by_") else value
            for key, value in block.items()
            if key not in _NOT_SHOWN
        }
        if isinstance(block, dict)
        else block
        for split, block in metrics.items()
    }


def _fold_values(run: Path) -> list[dict[str, Any]]:
    folds = []
    for path in sorted(run.glob("folds/*/metrics.json")):
        test = json.loads(path.read_text(encoding="utf-8"))["test"]
        folds.append(
            {
                "fold": path.parent.name,
                "n_images": test["n_images"],
                "n_groups": test["n_groups"],
                "auc": test["image"]["auc"]["value"],
                "accuracy": test["image"]["accuracy"]["value"],
            }
        )
    return folds


def _stage_values(stage: Path) -> dict[str, Any]:
    """Return what a training on other data cost, and what it reached on its own test part."""
    test = json.loads((stage / "metrics.json").read_text(encoding="utf-8"))["test"]
    audit = json.loads((stage / "audit.json").read_text(encoding="utf-8"))
    environment = json.loads((stage / "environment.json").read_text(encoding="utf-8"))
    recipe = tomllib.loads((stage / "recipe.toml").read_text(encoding="utf-8"))
    return {
        "name": stage.name.partition("-")[2],
        "epochs": recipe["train"]["epochs"],
        "freeze": recipe["transfer"]["freeze"],
        "n_images": audit["n_images"],
        "n_groups": audit["n_groups"],
        "seconds": environment["seconds"]["train"],
        "n_judged": test["n_images"],
        "auc": test["image"]["auc"],
        "accuracy": test["image"]["accuracy"],
    }


def collect_gain(name: str, run: Path, before: Path) -> None:
    """Copy into ``docs/results/NAME`` what a run has more than another on the same images."""
    write_json(STORE / name / "gain.json", paired_gain(run, before))


def draw_leak() -> bytes:
    """Draw the README's picture, a PNG: the light CNN under both splits."""
    series = [
        Series(label, read_metrics(STORE / name / "metrics.json")["oof"].image)
        for label, name in (
            ("Strict split, by group", "light-strict"),
            ("As published, by image", "light-image"),
        )
    ]
    shown = ("auc", "accuracy", "balanced_accuracy", "recall", "specificity", "f1")
    thumbnail = interval_figure(
        series, name="leak", caption="", title="The same model under two splits", only=shown
    )
    if thumbnail is None:
        raise ValueError("neither run has a metric to draw")
    return thumbnail.png


def render() -> dict[Path, str]:
    """Return every page as Markdown: the summary, and one for each question."""
    pages = tomllib.loads((STORE / "pages.toml").read_text(encoding="utf-8"))
    parts = [f"# {pages['title']}", pages["text"].strip()]
    found = {}
    for data in pages["data"]:
        rows = ["| question | answer | details |", "|---|---|---|"]
        for section in data["section"]:
            page = section["page"]
            answer = _fill(section["answer"].strip())
            rows.append(f"| {section['question']} | {answer} | [details]({page}.md) |")
            found[DOCS / f"{page}.md"] = "\n\n".join(_page(section, data, answer)) + "\n"
        parts += [f"## {data['title']}", "\n".join(rows)]
    return {DOCS / "results.md": "\n\n".join(parts) + "\n", **found}


def _page(section: dict[str, Any], data: dict[str, Any], answer: str) -> list[str]:
    parts = [
        f"# {section['title']}",
        f"**{section['question']}** {answer}",
        f"How to read the figures: [results]({'../' * section['page'].count('/')}results.md).",
        data["text"].strip(),
        _fill(section["text"].strip()),
    ]
    if not section.get("run"):
        tables = [render_table(name) for name in section.get("tables", ())]
        tables += [effects_table(name) for name in section.get("effects", ())]
        return [*parts, *tables, section["after"].strip()]
    runs, unit = section["run"], data["unit"]
    parts.append(_table(runs, unit))
    parts += [text for text in (_cautions(runs, unit),) if text]
    parts += [render_table(name) for name in section.get("tables", ())]
    # A second row of one run shows another of its subsets.
    parts += [_circumstances(entry, unit) for entry in runs if "split" not in entry]
    return [*parts, section["after"].strip()]


#: In an answer: {run.metric}, {run>metric} for the paired difference from the run that it is
#: compared with, and the same of a condition of an experiment, {experiment/condition>metric}.
_FIGURE = re.compile(r"\{([\w-]+)(?:/([^.>{}]+))?([.>])(\w+)\}")


def _fill(text: str) -> str:
    return _FIGURE.sub(lambda found: _figure(*found.groups()), text)


def _figure(name: str, condition: str | None, kind: str, metric: str) -> str:
    if condition is not None:
        rows = json.loads((STORE / "effects" / f"{name}.json").read_text(encoding="utf-8"))["rows"]
        values = next(row for row in rows if row["condition"] == condition)
        values = values["gain"] if kind == ">" else values
    elif kind == ">":
        values = json.loads((STORE / name / "gain.json").read_text(encoding="utf-8"))
    else:
        values = _read({"name": name})[1]["image"]
    return interval_text(values[metric], "+.3f") if kind == ">" else _metric(values[metric])


def _read(entry: dict[str, str]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    folder = STORE / entry["name"]
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    split = entry.get("split") or next(key for key in PREFERRED if key in metrics)
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return split, metrics[split], run


def _table(entries: list[dict[str, str]], unit: str) -> str:
    runs = [(entry["label"], _read(entry)[1]) for entry in entries]
    columns: list[tuple[str, Callable[[Any], str]]] = [("images", lambda m: str(m["n_images"]))]
    if unit != "images":  # else every image is a group of its own
        columns.append((unit, lambda m: str(m["n_groups"])))
    columns += [(title, partial(_cell, "image", key)) for key, title in _COLUMNS]
    if any(metrics["n_patients"] for _, metrics in runs):
        columns.append((_BY_PATIENT[1], partial(_cell, "patient", _BY_PATIENT[0])))
    rows = [["run", *(title for title, _ in columns)], ["---"] * (len(columns) + 1)]
    rows += [[label, *(of(metrics) for _, of in columns)] for label, metrics in runs]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _cell(block: str, key: str, metrics: dict[str, Any]) -> str:
    return _metric(metrics[block][key])


def _metric(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return f"undefined: {entry['reason']}"
    value, low, high = entry["value"], entry["low"], entry["high"]
    # Close to 1, three digits would tell nothing.
    digits = 4 if 0.9985 < value < 1 else 3
    if low is None:
        return f"{value:.{digits}f} (no interval)"
    return f"{value:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _cautions(entries: list[dict[str, str]], unit: str) -> str:
    found: dict[str, list[str]] = {}
    for entry in entries:
        _, metrics, _ = _read(entry)
        columns = [("image", *column) for column in _COLUMNS]
        columns += [("patient", *_BY_PATIENT)] if metrics["n_patients"] else []
        for block, key, title in columns:
            if reason := metrics[block][key].get("reason"):
                found.setdefault(reason, [])
                found[reason] += [title] if title not in found[reason] else []
    lines = [f"- {', '.join(titles)}: {_caution(why, unit)}." for why, titles in found.items()]
    return "\n".join(["About these intervals:", "", *lines]) if lines else ""


def _caution(reason: str, unit: str) -> str:
    """Return why an interval is missing or how well it covers, in the table's unit."""
    covered = r"nominal 95 % intervals covered (\d+) % in simulation( of \d+ groups?)?"
    text = re.sub(
        covered,
        r"in simulation\2, 95 % intervals contained the true value \1 % of the time",
        reason,
    )
    return _in_units(text, unit)


def _in_units(text: str, unit: str) -> str:
    """Return a text on groups in the unit that a group is here."""
    return re.sub(r"\bgroup(s?)\b", rf"{unit.removesuffix('s')}\1", text)


def _size(run: dict[str, Any]) -> str:
    """Return the size of one network, also where the run's model is an ensemble of the folds'."""
    n_networks = max(1, len(run["folds"]))
    each = f"{run['params'] // n_networks:,} parameters"
    return each if n_networks == 1 else f"{n_networks} networks of {each}"


#: Earlier versions' words in kept files.
_TODAY = {"judge": "evaluate", "inner validation part": "inner validation subset"}


def _circumstances(entry: dict[str, str], unit: str) -> str:
    split, metrics, run = _read(entry)
    seconds = ", ".join(
        f"{_TODAY.get(stage, stage)} {value:.0f} s" for stage, value in run["seconds"].items()
    )
    # Members of an ensemble that read images otherwise than it have a gap of another name.
    gap = run["parity"].get("max_probability_gap", run["parity"].get("max_member_gap"))
    at = f" at {run['git']}" if run["git"] else ""
    lines = [
        f"**{entry['label']}** (split `{split}`), seed {run['seed']}, {_size(run)}:",
        "",
        "```sh",
        entry["command"],
        "```",
        "",
        f"{run['device']}, {run['platform']}, torch {run['packages']['torch']}; {seconds}. "
        f"Evaluated by Eosin {run['eosin']}{at}. "
        f"ONNX parity: {gap:.1e} "
        f"on {run['parity']['n_images']} images.",
    ]
    threshold = metrics["at_threshold"]
    if metrics["threshold"]["target_recall"] is not None:
        source = metrics["threshold"]["source"]
        for old, new in _TODAY.items():
            source = source.replace(old, new)
        lines.append(
            f"At the threshold tuned for a recall of {metrics['threshold']['target_recall']:.2f} "
            f"({source}): recall {_metric(threshold['recall'])}, "
            f"specificity {_metric(threshold['specificity'])}."
        )
    lines += [_stage(stage) for stage in run.get("stages", [])]
    if (gain := STORE / entry["name"] / "gain.json").exists():
        lines.append(_gain(entry["before"], json.loads(gain.read_text(encoding="utf-8")), unit))
    if run["folds"]:
        shown = [
            f"{fold['auc']:.2f} ({fold['n_images']} images, {fold['n_groups']} {unit})"
            for fold in run["folds"]
        ]
        lines.append(f"AUC by fold, without intervals: {', '.join(shown)}.")
    return "\n".join(lines)


def _stage(stage: dict[str, Any]) -> str:
    return (
        f"Earlier stage `{stage['name']}` (frozen: {stage['freeze']}): "
        f"{stage['n_images']:,} images in {stage['n_groups']} groups, {stage['epochs']} epochs, "
        f"{stage['seconds']:.0f} s; on its own {stage['n_judged']} test images "
        f"accuracy {_metric(stage['accuracy'])}, AUC {_metric(stage['auc'])}."
    )


def _gain(before: str, gain: dict[str, Any], unit: str) -> str:
    shown = [f"{title} {interval_text(gain[key], '+.3f')}" for key, title in GAINS.items()]
    return (
        f"Difference from {before}, on the same {gain['n_images']} images of {gain['n_groups']} "
        f"{unit}, paired, with 95 % intervals: {', '.join(shown)}."
    )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("collect")
    one.add_argument("name")
    one.add_argument("run", type=Path)
    two = verbs.add_parser("collect-gain")
    two.add_argument("name")
    two.add_argument("run", type=Path)
    two.add_argument("before", type=Path)
    verbs.add_parser("render")
    given = parser.parse_args()
    if given.verb == "collect":
        collect(given.name, given.run)
    elif given.verb == "collect-gain":
        collect_gain(given.name, given.run, given.before)
    else:
        for path, text in render().items():
            write_text(path, text)
        (DOCS / "images" / "leak-breakhis200.png").write_bytes(draw_leak())


if __name__ == "__main__":
    main()
