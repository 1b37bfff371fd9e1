"""Checks of a run's explanations: ``explain RUN --check``.

ROAD takes hundreds of linear systems and passes of the network, so it is no part of a training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eosin.artifacts.explanation_checks import ExplanationChecks, NucleiShare
from eosin.artifacts.layout import OUT_OF_FOLD, ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.display import Shown
from eosin.core.errors import ArtifactError, DataError, UsageError
from eosin.core.progress import progress_bar
from eosin.core.seeding import generator
from eosin.core.types import BoolArray, FloatArray, Samples
from eosin.data.sources.phantom import find_nuclei
from eosin.experiment.explaining import FULL_PLAN, check_method
from eosin.explanation.evidence import why_none
from eosin.explanation.methods import calibrated, open_default
from eosin.explanation.nuclei import mean_share, share_on
from eosin.explanation.road import road, summarise
from eosin.images.bank import load_bank
from eosin.images.references import without
from eosin.inference.classifier import Classifier, decide
from eosin.metrics.calibration import softmax
from eosin.reporting import write_report
from eosin.reporting.sections.evidence import check_facts
from eosin.runs.finished import FinishedRun, read_run

#: Held-out images of the checks.
_IMAGES = 64


@dataclass(frozen=True, repr=False)
class ExplanationChecksResult(Shown):
    """Result of ``check_explanations``.

    Attributes:
        run: The run folder.
        page: Its report, written again.
        checks: What ``model.json`` now has.
    """

    run: Path
    page: Path
    checks: ExplanationChecks

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        return {"run": self.run, "method": self.checks.method, **dict(check_facts(self.checks))}


@dataclass
class _Found:
    """Measurements of the images, one entry each."""

    groups: list[str] = field(default_factory=list)
    falls: list[dict[str, float]] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)  # NaN without nuclei
    shares: dict[str, list[float]] = field(default_factory=dict)
    n_flat: int = 0


def check_explanations(run: Path | str) -> ExplanationChecksResult:
    """Check the explanations of a run's model on held-out images.

    The method is the one that ``explain`` uses by default. The result is stored in ``model.json``,
    and the run's page and model card are written again.

    Args:
        run: Run folder of ``train`` or ``ensemble``, whose images can still be read. In
            cross-validation each image is explained by the network that held it out.

    Raises:
        ArtifactError: It is no finished run, or its model cannot be loaded.
        UsageError: Its model has no evidence maps, or no image was held out.
        DataError: No image can be read.
    """
    finished = read_run(Path(run))
    info = _check_model(finished)
    found, folder = _Found(), finished.model_folder
    checks = check_method(folder, info, FULL_PLAN)
    rows = _choose(finished)
    with progress_bar("Checking explanations") as advance:
        for done in _measure_all(finished, rows, found):
            advance(done, int(rows["chosen"].sum()))
    if not found.falls:
        raise DataError("none of the held-out images can be read")
    unit = Samples(rows[rows["chosen"]], finished.root, finished.class_names).unit
    measured = summarise(found.falls, found.groups).model_copy(
        update={"n_flat": found.n_flat, "unit": unit, "by_folds": finished.has_folds}
    )
    checks = checks.model_copy(update={"road": measured, "nuclei": _on_nuclei(found)})
    # The model may have been reported anew meanwhile: only this entry changes.
    info = read_document(folder.info, ModelInfo)
    write_document(folder.info, info.model_copy(update={"explanation": checks}))
    return ExplanationChecksResult(finished.root, write_report(finished.root), checks)


def _check_model(run: FinishedRun) -> ModelInfo:
    """Return ``model.json`` of a run whose model can be checked."""
    if run.model is None:
        raise ArtifactError(
            f"{run.root} has no model to check", hint="Name a run folder of train or ensemble"
        )
    reason = why_none(run.model)
    if reason:
        raise UsageError(reason)
    if run.split == OUT_OF_FOLD and not run.has_folds:
        raise UsageError(
            "every image was in the training of a member of this ensemble: none is left to check",
            hint="Check one of its members",
        )
    return run.model


def _choose(run: FinishedRun) -> Any:
    """Return held-out images, a pandas table; ``chosen`` are some, evenly spaced over all."""
    rows = run.rows.drop_duplicates("path", ignore_index=True)
    places = np.linspace(0, len(rows) - 1, min(_IMAGES, len(rows))).round().astype(np.int64)
    return rows.assign(chosen=np.isin(np.arange(len(rows)), places))


def _parts(run: FinishedRun, rows: Any) -> Iterator[tuple[ModelFolder, Any]]:
    """Yield each model with the rows that it held out."""
    if not run.has_folds:
        yield run.model_folder, rows
        return
    for (repeat, fold), part in rows.groupby(["repeat", "fold"], sort=True):
        yield ModelFolder(run.folder.fold(int(repeat), int(fold)).model), part


def _measure_all(run: FinishedRun, rows: Any, found: _Found) -> Iterator[int]:
    """Measure the chosen rows, and yield how many are done."""
    done = 0
    for folder, part in _parts(run, rows):
        classifier = Classifier(folder.root)
        info = classifier.info
        explainer, predict = open_default(folder, info), calibrated(classifier)
        whole = Samples(part.reset_index(drop=True), run.root, info.class_names)
        samples = whole.where(whole.frame["chosen"].to_numpy())
        stain = info.preprocessing.stain
        # The stain of a slide or a patient is estimated from all of its images.
        is_of_tiles = stain is None or stain.unit == "tile"
        bank, hashes = load_bank(samples if is_of_tiles else whole, info.preprocessing)
        samples = without(samples, hashes.unreadable)
        images = bank.of(samples)[:]
        targets = decide(softmax(classifier.logits(images), info.temperature), info)
        for row, (image, target) in enumerate(zip(images, targets.tolist(), strict=True)):
            evidence = explainer.explain(image, target)
            cell = samples.frame["path"].iloc[row]
            random = generator(len(found.falls), "road")
            found.groups.append(samples.groups[row])
            found.falls.append(road(predict, image, evidence.map, target, random))
            found.n_flat += evidence.is_flat
            nuclei = find_nuclei(samples.resolve(cell), info.preprocessing.input_px[0])
            _add_nuclei(found, info, evidence.map, target, nuclei)
            done += 1
            yield done


def _add_nuclei(
    found: _Found, info: ModelInfo, evidence: FloatArray, target: int, nuclei: BoolArray | None
) -> None:
    """Add the share of the evidence for each of two classes."""
    if nuclei is None or nuclei.shape != evidence.shape or len(info.class_names) != 2:
        return
    found.areas.append(float(nuclei.mean()))
    for index, name in enumerate(info.class_names):
        # What speaks against one of two classes speaks for the other.
        share = share_on(evidence if index == target else -evidence, nuclei)
        found.shares.setdefault(name, []).append(share)


def _on_nuclei(found: _Found) -> dict[str, NucleiShare] | None:
    if len(found.areas) != len(found.groups):
        return None
    return {
        name: mean_share(shares, found.areas, found.groups) for name, shares in found.shares.items()
    } or None
