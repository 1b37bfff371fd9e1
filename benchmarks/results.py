"""Makes ``docs/results.md`` from run folders; no figure in it is typed.

``python -m benchmarks.results collect NAME RUN`` copies what the tables need from a run folder into
``docs/results/NAME``: metrics and circumstances, no paths. ``python -m benchmarks.results render``
writes the page from there and from the prose in ``docs/results/pages.toml``; a test renders it once
more and compares.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
STORE = DOCS / "results"
_PREFERRED = ("oof", "test", "external")
_COLUMNS = (
    ("auc", "AUC"),
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced accuracy"),
    ("recall", "recall"),
    ("specificity", "specificity"),
)


def collect(name: str, run: Path) -> None:
    """Copy a run's metrics and its circumstances into ``docs/results/NAME``."""
    target = STORE / name
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "metrics.json", target / "metrics.json")
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
    }
    text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
    (target / "run.json").write_text(text, encoding="utf-8")


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


def render() -> str:
    """Return the page as Markdown."""
    pages = tomllib.loads((STORE / "pages.toml").read_text(encoding="utf-8"))
    parts = [f"# {pages['title']}", pages["text"].strip()]
    for section in pages["section"]:
        parts += [f"## {section['title']}", section["text"].strip(), _table(section["run"])]
        notes = _cautions(section["run"])
        parts += [notes] if notes else []
        parts += [_circumstances(entry) for entry in section["run"]]
        if after := section.get("after"):
            parts.append(after.strip())
    return "\n\n".join(parts) + "\n"


def _read(name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    metrics = json.loads((STORE / name / "metrics.json").read_text(encoding="utf-8"))
    split = next(key for key in _PREFERRED if key in metrics)
    run = json.loads((STORE / name / "run.json").read_text(encoding="utf-8"))
    return split, metrics[split], run


def _table(entries: list[dict[str, str]]) -> str:
    head = ["split", "images", "patients", *(title for _, title in _COLUMNS), "P_arp"]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for entry in entries:
        _, metrics, _ = _read(entry["name"])
        cells = [entry["label"], str(metrics["n_images"]), str(metrics["n_patients"] or "unknown")]
        cells += [_metric(metrics["image"][key]) for key, _ in _COLUMNS]
        cells.append(_metric(metrics["patient"]["recognition_rate"]))
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _metric(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return f"undefined: {entry['reason']}"
    if entry["low"] is None:
        return f"{entry['value']:.3f} (no interval)"
    return f"{entry['value']:.3f} ({entry['low']:.3f}–{entry['high']:.3f})"


def _cautions(entries: list[dict[str, str]]) -> str:
    found: dict[str, list[str]] = {}
    for entry in entries:
        _, metrics, _ = _read(entry["name"])
        for key, title in (*_COLUMNS, ("recognition_rate", "P_arp")):
            block = "patient" if key == "recognition_rate" else "image"
            if reason := metrics[block][key].get("reason"):
                found.setdefault(reason, [])
                found[reason] += [title] if title not in found[reason] else []
    lines = [f"- {', '.join(titles)}: {reason}." for reason, titles in found.items()]
    return "\n".join(["What limits these intervals:", "", *lines]) if lines else ""


def _size(run: dict[str, Any]) -> str:
    """Say the size of one network, also where the run's model is an ensemble of the folds'."""
    n_networks = max(1, len(run["folds"]))
    each = f"{run['params'] // n_networks:,} parameters"
    return each if n_networks == 1 else f"{n_networks} networks of {each}"


def _circumstances(entry: dict[str, str]) -> str:
    split, metrics, run = _read(entry["name"])
    seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in run["seconds"].items())
    lines = [
        f"**{entry['label']}** (split `{split}`), seed {run['seed']}, {_size(run)}:",
        "",
        "```sh",
        entry["command"],
        "```",
        "",
        f"{run['device']}, {run['platform']}, torch {run['packages']['torch']}; {seconds}. "
        f"Judged by Eosin {run['eosin']} at {run['git']}. "
        f"ONNX parity: {run['parity']['max_probability_gap']:.1e} "
        f"on {run['parity']['n_images']} images.",
    ]
    threshold = metrics["at_threshold"]
    if metrics["threshold"]["target_recall"] is not None:
        lines.append(
            f"At the threshold locked for a recall of {metrics['threshold']['target_recall']:.2f} "
            f"({metrics['threshold']['source']}): recall {_metric(threshold['recall'])}, "
            f"specificity {_metric(threshold['specificity'])}."
        )
    if run["folds"]:
        told = [
            f"{fold['auc']:.2f} ({fold['n_images']} images, {fold['n_groups']} groups)"
            for fold in run["folds"]
        ]
        lines.append(f"AUC fold by fold, without intervals: {', '.join(told)}.")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("collect")
    one.add_argument("name")
    one.add_argument("run", type=Path)
    verbs.add_parser("render")
    given = parser.parse_args()
    if given.verb == "collect":
        collect(given.name, given.run)
    else:
        (DOCS / "results.md").write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
