"""Run folders made up from a seed, written with the artifacts' own writers.

Numbers are plausible and consistent with the predictions where a page joins them; intervals are
made up. Nothing is trained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from eosin.artifacts.audit import AuditReport, Finding, Pair, SplitSize
from eosin.artifacts.layout import AS_PUBLISHED, STRICT, ModelFolder, RunFolder
from eosin.artifacts.manifest import write_manifest, write_table
from eosin.artifacts.metrics import (
    Abstention,
    AbstentionMetrics,
    Calibration,
    Confusion,
    Decisions,
    Metric,
    NetBenefit,
    ReliabilityBin,
    SplitMetrics,
    Threshold,
    write_metrics,
)
from eosin.artifacts.model import ModelInfo, Preprocessing
from eosin.artifacts.predictions import predictions_table, write_history
from eosin.artifacts.run import (
    Environment,
    SamplesIndex,
    SampleThumbnail,
    SplitPart,
    SplitReport,
)
from eosin.artifacts.versioned import write_document
from eosin.core.files import write_text
from eosin.core.types import Samples
from eosin.metrics import Predictions, measure_values, reliability_bins
from eosin.recipe import recipe_from_dict, recipe_to_toml

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "average_precision",
    "recall",
    "specificity",
    "precision",
    "f1",
    "brier",
    "ece",
)
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@dataclass(frozen=True)
class Plan:
    """What to make up."""

    classes: tuple[str, ...] = ("benign", "malignant")
    positive: str | None = "malignant"
    protocol: str = "grouped"
    n_patients: int = 30
    per_patient: int = 12
    magnifications: tuple[str, ...] = ("40", "100", "200", "400")
    sites: tuple[str, ...] = ("north", "south")
    subtypes: tuple[str, ...] = ()
    name: str = "breakhis-ernet18"
    simulated: bool = False
    skill: float = 1.4
    k: int = 4
    seed: int = 7


def fabricate(root: Path, plan: Plan | None = None) -> Path:
    """Write a whole run folder."""
    plan = plan or Plan()
    folder = RunFolder(Path(root))
    folder.root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(plan.seed)
    samples = _samples(plan, random, folder.root)
    probabilities = _probabilities(plan, samples, random)
    is_folds = plan.protocol == "folds"
    evaluated = "oof" if is_folds else "test"
    write_text(folder.recipe, recipe_to_toml(_recipe(plan)))
    write_document(folder.environment, _environment(plan))
    write_manifest(folder.manifest, samples)
    write_document(folder.split, _split_report(plan, samples))
    write_document(folder.audit, _audit(plan, samples))
    _write_predictions(folder, samples, probabilities, evaluated)
    splits = {evaluated: _metrics(plan, samples, probabilities, evaluated)}
    if is_folds:
        _write_folds(folder, plan, samples, probabilities)
    else:
        splits["val"] = _metrics(plan, samples, probabilities, "val")
        write_history(folder.history, _history(random))
    write_metrics(folder.metrics, splits)
    _write_samples(folder, plan, samples, random)
    write_document(ModelFolder(folder.model).info, _model(plan))
    write_table(
        folder.skipped,
        pd.DataFrame({"path": ["b/broken.png"], "reason": ["truncated after 812 bytes"]}),
    )
    return folder.root


def fabricate_protocols(root: Path) -> Path:
    """Write ``strict`` and ``as-published`` run folders."""
    fabricate(Path(root) / STRICT, Plan(simulated=True))
    published = Plan(simulated=True, protocol="image", skill=3.0)
    fabricate(Path(root) / AS_PUBLISHED, published)
    return Path(root)


def _samples(plan: Plan, random: np.random.Generator, root: Path) -> Samples:
    rows = [
        {
            "path": f"images/{patient:02d}-{index:02d}.png",
            "label": plan.classes[patient % len(plan.classes)],
            "patient": f"P{patient:03d}",
            "group": f"P{patient:03d}",
            "magnification": _turn(plan.magnifications, index),
            "site": _turn(plan.sites, patient),
            **({"subtype": _turn(plan.subtypes, patient)} if plan.subtypes else {}),
        }
        for patient in range(plan.n_patients)
        for index in range(plan.per_patient)
    ]
    frame = pd.DataFrame(rows).astype(object)
    unit = frame["path"] if plan.protocol == "image" else frame["group"]
    units = unit.unique().copy()
    random.shuffle(units)
    if plan.protocol == "folds":
        fold = {name: str(position % plan.k) for position, name in enumerate(units)}
        frame["fold"] = unit.map(fold)
        frame["repeat"] = "0"
    else:
        edges = np.cumsum([0.7, 0.1]) * len(units)
        part = {
            name: ("train", "val", "test")[int(np.searchsorted(edges, i, side="right"))]
            for i, name in enumerate(units)
        }
        frame["split"] = unit.map(part)
    return Samples(frame, root, plan.classes, plan.positive)


def _turn(values: tuple[str, ...], index: int) -> str:
    return values[index % len(values)] if values else ""


def _probabilities(plan: Plan, samples: Samples, random: np.random.Generator) -> np.ndarray:
    n, k = len(samples), len(plan.classes)
    patients = pd.factorize(samples.frame["group"])[0]
    logits = (
        random.normal(size=(n, k)) + 0.8 * random.normal(size=(patients.max() + 1, k))[patients]
    )
    logits[np.arange(n), samples.targets] += plan.skill
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


def _recipe(plan: Plan):
    split = {"protocol": plan.protocol}
    if plan.protocol == "folds":
        split["k"] = plan.k
    return recipe_from_dict(
        {
            "name": plan.name,
            "description": "ERNet-18 on made-up images, one model over all magnifications.",
            "data": {"dataset": "phantom", "split": split},
            "model": {"name": "ernet18"},
        }
    )


def _environment(plan: Plan) -> Environment:
    return Environment(
        eosin="0.1.0",
        created="2026-03-01T12:00:00Z",
        command="train",
        python="3.11.9",
        platform="Linux x86_64",
        packages={"numpy": "2.1.0", "torch": "2.9.0"},
        device="cpu (2 threads)",
        precision="32-true",
        git="0123abc",
        seed=0,
        data_root="/secret/place",
        data_fingerprint="ab12" * 16,
        dataset={
            "title": "Phantom tissue",
            "licence": "CC0-1.0",
            "citation": "Computed by Eosin.",
            "url": "https://example.org/phantom",
            "simulated": plan.simulated,
        },
        seconds={"split": 0.4, "train": 512.0},
    )


def _split_report(plan: Plan, samples: Samples) -> SplitReport:
    frame = samples.frame
    keys = "0-" + frame["fold"] if plan.protocol == "folds" else frame["split"]
    order = sorted(keys.unique(), key=lambda key: list(SHARES).index(key) if key in SHARES else 0)
    parts = {}
    for key in sorted(order) if plan.protocol == "folds" else order:
        mine = frame[keys == key]
        parts[key] = SplitPart(
            wanted=SHARES.get(key),
            got=len(mine) / len(frame),
            n_images=len(mine),
            n_groups=mine["group"].nunique(),
            groups=sorted(mine["group"].unique()),
            by_class={c: int((mine["label"] == c).sum()) for c in plan.classes},
        )
    return SplitReport(protocol=plan.protocol, stratified=True, deviation=0.02, parts=parts)


def _audit(plan: Plan, samples: Samples) -> AuditReport:
    frame = samples.frame
    column = "fold" if plan.protocol == "folds" else "split"
    sizes = {
        str(name): SplitSize(n_images=len(rows), n_groups=rows["group"].nunique())
        for name, rows in frame.groupby(column)
    }
    a, b = frame["path"].iloc[0], frame["path"].iloc[1]
    pair = Pair(a=a, b=b, split_a=frame[column].iloc[0], split_b=frame[column].iloc[1], score=0.98)
    found = [
        Finding(kind="near_duplicate", severity="note", message="1 pair inside train", pairs=[pair])
    ]
    if plan.protocol == "image":
        test = set(frame.loc[frame["split"] == "test", "group"])
        train = set(frame.loc[frame["split"] == "train", "group"])
        first = frame.groupby(["group", "split"])["path"].first()
        pairs = [
            Pair(
                a=first[group, "train"],
                b=first[group, "test"],
                split_a="train",
                split_b="test",
                score=1.0,
            )
            for group in sorted(test & train)
        ]
        message = f"{len(pairs)} groups are in train and in test"
        found.append(Finding(kind="same_group", severity="leak", message=message, pairs=pairs))
    return AuditReport(
        n_images=len(frame), n_groups=frame["group"].nunique(), splits=sizes, findings=found
    )


def _metric(value: float, reason: str | None = None) -> Metric:
    return Metric(
        value=value, low=max(0.0, value - 0.13), high=min(1.0, value + 0.11), reason=reason
    )


def _block(area: float, accuracy: float, names: tuple[str, ...]) -> dict[str, Metric]:
    few = "6 groups: nominal 95 % intervals covered 87 % in simulation"
    few_auc = "6 groups, 3 of malignant: nominal 95 % intervals covered 81 % in simulation"
    fixed = {"auc": area, "average_precision": max(0.0, area - 0.04), "brier": 0.17, "ece": 0.08}
    return {
        name: _metric(
            fixed.get(name, accuracy - 0.01 * position), few_auc if name == "auc" else few
        )
        for position, name in enumerate(names)
    }


def _metrics(plan: Plan, samples: Samples, probabilities: np.ndarray, split: str) -> SplitMetrics:
    frame = samples.frame
    rows = np.ones(len(frame), dtype=bool) if split == "oof" else np.array(frame["split"] == split)
    mine, p = frame[rows], probabilities[rows]
    targets, predicted = samples.targets[rows], p.argmax(axis=1)
    k = len(plan.classes)
    matrix = np.bincount(targets * k + predicted, minlength=k * k).reshape(k, k)
    accuracy = float((targets == predicted).mean())
    positive = None if plan.positive is None else plan.classes.index(plan.positive)
    # A fold may lack a class, and then has no area.
    evaluated = Predictions(p, targets, predicted, np.arange(len(p)), positive)
    area = float(np.nan_to_num(measure_values(evaluated, ("auc",))["auc"], nan=0.5))
    image = _block(area, accuracy, METRICS)
    per_class = ("precision", "recall", "f1", "specificity", "auc")
    return SplitMetrics(
        n_images=len(mine),
        n_patients=mine["patient"].nunique(),
        n_groups=mine["group"].nunique(),
        positive=plan.positive,
        image=image,
        at_threshold=_block(area, accuracy, METRICS[:2] + METRICS[4:8]) if plan.positive else {},
        patient={
            "recognition_rate": _metric(accuracy),
            "majority_vote_accuracy": Metric(value=None, reason="a patient has several classes"),
            "mean_probability_accuracy": Metric(
                value=5 / 6, low=0.5, high=1.0, n=6, wilson=(0.437, 0.970)
            ),
        },
        by_magnification={m: _block(area, accuracy, METRICS) for m in plan.magnifications},
        by_class={c: _block(area, accuracy, per_class) for c in plan.classes},
        by_site={s: _block(area, accuracy, METRICS) for s in plan.sites},
        by_subtype={s: {"accuracy": _metric(accuracy)} for s in plan.subtypes},
        confusion=Confusion(labels=list(plan.classes), matrix=matrix.tolist()),
        threshold=_threshold(plan),
        calibration=_calibration(targets, p),
        decisions=_decisions(p[:, positive], targets == positive) if plan.positive else None,
        abstention=_abstention(plan, accuracy),
    )


def _threshold(plan: Plan) -> Threshold:
    if plan.positive is None:
        return Threshold(value=None, source="no positive class", target_recall=None)
    recall = Metric(value=0.93, low=0.81, high=0.98)
    return Threshold(value=0.43, source="val", target_recall=0.9, recall=recall)


def _calibration(targets: np.ndarray, probabilities: np.ndarray) -> Calibration:
    found = reliability_bins(targets, probabilities)
    n = np.round(found.weight).astype(int)
    edges = np.linspace(0, 1, len(n) + 1)
    bins = [
        ReliabilityBin(
            low=edges[i],
            high=edges[i + 1],
            n=int(n[i]),
            confidence=float(found.confidence[i]) if n[i] else None,
            accuracy=float(found.accuracy[i]) if n[i] else None,
        )
        for i in range(len(n))
    ]
    raw = {"ece": _metric(0.14), "brier": _metric(0.19)}
    return Calibration(temperature=1.23, source="val", bins=bins, uncalibrated=raw)


def _decisions(scores: np.ndarray, is_positive: np.ndarray) -> Decisions:
    prevalence = float(is_positive.mean())
    curve = []
    for cut in (0.1, 0.25, 0.5, 0.75, 0.9):
        called, odds = scores >= cut, cut / (1 - cut)
        worth = float((called & is_positive).mean() - odds * (called & ~is_positive).mean())
        everyone = prevalence - odds * (1 - prevalence)
        curve.append(NetBenefit(threshold=cut, model=worth, everyone=everyone))
    return Decisions(
        false_positives=Metric(value=46.2, low=20.0, high=67.0),
        prevalence=prevalence,
        is_stated=False,
        ppv=_metric(0.84),
        npv=_metric(0.6),
        curve=curve,
    )


def _abstention(plan: Plan, accuracy: float) -> AbstentionMetrics:
    rule = Abstention(
        alpha=0.1,
        quantiles=dict.fromkeys(plan.classes, 0.8),
        n_groups=dict.fromkeys(plan.classes, 15),
        source="val",
    )
    return AbstentionMetrics(
        rule=rule,
        coverage=_metric(0.91),
        coverage_by_class={name: _metric(0.91) for name in plan.classes},
        abstention_rate=Metric(value=0.25, low=0.16, high=0.37),
        kept={"accuracy": _metric(min(1.0, accuracy + 0.08))},
        n_empty=2,
        n_several=16,
    )


def _write_predictions(
    folder: RunFolder, samples: Samples, probabilities: np.ndarray, evaluated: str
) -> None:
    frame = samples.frame
    if evaluated == "oof":
        samples = replace(samples, frame=frame.assign(split="oof"))
        write_table(folder.predictions, predictions_table(samples, probabilities))
        return
    rows = np.array(frame["split"] != "train")
    write_table(folder.predictions, predictions_table(samples.where(rows), probabilities[rows]))


def _history(random: np.random.Generator) -> list[dict[str, float | int | None]]:
    rows = []
    for epoch in range(1, 16):
        fade = float(np.exp(-epoch / 5))
        noise = float(random.normal() * 0.015)
        rows.append(
            {
                "step": epoch * 40,
                "epoch": epoch,
                "lr": 1e-3 if epoch < 8 else 2.5e-4 if epoch < 12 else 1e-4,
                "loss": 0.15 + 0.6 * fade,
                "accuracy": 0.95 - 0.4 * fade,
                "val_loss": 0.4 + 0.3 * fade + noise,
                "val_accuracy": 0.84 - 0.3 * fade + noise,
            }
        )
    return rows


def _write_folds(
    folder: RunFolder, plan: Plan, samples: Samples, probabilities: np.ndarray
) -> None:
    for fold in range(plan.k):
        mine = folder.fold(0, fold)
        rows = np.array(samples.frame["fold"] == str(fold))
        part = samples.where(rows)
        part = replace(part, frame=part.frame.assign(split="test"))
        metrics = _metrics(plan, part, probabilities[rows], "test")
        write_metrics(mine.metrics, {"test": metrics})
        write_history(mine.history, _history(np.random.default_rng(fold))[: 15 - fold])


def _write_samples(
    folder: RunFolder, plan: Plan, samples: Samples, random: np.random.Generator
) -> None:
    pictures = []
    rows = samples.frame.sample(frac=1.0, random_state=1).head(20).reset_index(drop=True)
    roles = ["example"] * 12 + ["augmented"] * 4 + ["mistake"] * 4
    for index, (role, row) in enumerate(zip(roles, rows.itertuples(), strict=True)):
        file = f"{role}-{index:02d}.png"
        folder.samples.mkdir(exist_ok=True)
        Image.fromarray(_tissue(random, row.label == plan.classes[-1])).save(folder.samples / file)
        wrong = next(name for name in plan.classes if name != row.label)
        pictures.append(
            SampleThumbnail(
                file=file,
                role=role,
                path=row.path,
                label=row.label,
                patient=row.patient,
                magnification=row.magnification,
                split="test" if role == "mistake" else "train",
                predicted=wrong if role == "mistake" else None,
                probability=0.97 if role == "mistake" else None,
            )
        )
    write_document(folder.samples_index, SamplesIndex(pictures=pictures))


def _tissue(random: np.random.Generator, crowded: bool) -> np.ndarray:
    """Draw purple nuclei on pink ground, shape (96, 96, 3)."""
    y, x = np.mgrid[:96, :96]
    image = np.empty((96, 96, 3))
    image[:] = (232, 178, 205)
    image += 10 * np.sin(x / 9 + y / 14 + random.uniform(0, 6))[..., None]
    for _ in range(26 if crowded else 9):
        cx, cy, r = random.uniform(0, 96), random.uniform(0, 96), random.uniform(4, 8)
        image[(x - cx) ** 2 + 1.4 * (y - cy) ** 2 < r**2] = (96, 62, 140)
    return (image + random.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)


def _model(plan: Plan) -> ModelInfo:
    return ModelInfo(
        architecture="ernet18",
        arguments={},
        class_names=plan.classes,
        positive=plan.positive,
        preprocessing=Preprocessing(
            input_px=(224, 224),
            channels=("R", "G", "B"),
            scale=1 / 255,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
        mpp=None,
        threshold=_threshold(plan),
        temperature=1.23,
        data_fingerprint="ab12" * 16,
        data_licence="CC0-1.0",
        simulated=plan.simulated,
        params=11_171_522,
        weights_sha256="cd34" * 16,
        licence="Apache-2.0",
    )
