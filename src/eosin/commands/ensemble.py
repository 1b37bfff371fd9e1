"""Command ``ensemble``: mean of the probabilities of finished runs of one label set.

The metrics take no network: the runs' written predictions of the images that all of them held out
are averaged.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.gate import Gate
from eosin.artifacts.layout import OUT_OF_FOLD, ModelFolder, RunFolder
from eosin.artifacts.manifest import write_manifest
from eosin.artifacts.metrics import Abstention, SplitMetrics
from eosin.artifacts.model import EnsembleMember, ModelInfo, Preprocessing
from eosin.artifacts.predictions import logits_table, write_predictions
from eosin.artifacts.provenance import TransferStage
from eosin.artifacts.run import Environment, SamplesIndex
from eosin.artifacts.versioned import write_document
from eosin.core.display import Shown
from eosin.core.files import check_output, prepare_output
from eosin.core.text import as_list
from eosin.core.types import ImageSource, IntArray, Samples
from eosin.ensembling.members import find_held_out, format_held_out, read_members
from eosin.ensembling.pooling import (
    NOTABLE_GAP,
    OWN_TEMPERATURES,
    check_merging,
    format_gap,
    join_preprocessing,
    mean_threshold,
    some_of,
    write_mean,
)
from eosin.evaluation import Evaluated, evaluate_predictions
from eosin.evaluation.drift import profile_samples
from eosin.evaluation.gate import choose_rows, fit_gate
from eosin.experiment.environment import default_output, describe
from eosin.experiment.explaining import explain_run
from eosin.experiment.stain import carry_stain
from eosin.experiment.thumbnails import find_predicted, save_predicted
from eosin.experiment.writer import Stopwatch, finish_run
from eosin.images.bank import load_bank
from eosin.images.references import without
from eosin.inference.gate import find_refused
from eosin.metrics.catalogue import HEADLINE
from eosin.recipe.schema import EvaluateSection
from eosin.reporting import write_report
from eosin.reporting.terminal import split_facts
from eosin.runs.finished import FinishedRun
from eosin.runs.matching import SharedImages, mean_predictions
from eosin.runs.overlap import audit_shared, divide_shared

_LOG = logging.getLogger(__name__)

#: As ``evaluate`` measures a folder without a recipe, so that both give the same intervals.
_EVALUATION, _SEED = EvaluateSection(), 0
#: Name of the metrics in ``model.json`` where the model itself was not evaluated.
_NOT_ITSELF = "members_held_out"
_THRESHOLDS = "thresholds, each tuned on its own validation subset"


@dataclass(frozen=True, repr=False)
class EnsembleResult(Shown):
    """Result of ``ensemble``.

    Attributes:
        run: The run folder.
        metrics: Measurements by split: ``test``, or ``oof`` where a member has folds.
        members: The runs, with the metrics of each on the same images.
        gap: Largest difference of a probability between the model's file and the mean of its
            members, on real images.
    """

    run: Path
    metrics: dict[str, SplitMetrics]
    members: list[EnsembleMember]
    gap: float

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        members = ", ".join(member.run for member in self.members)
        return {"run": self.run, **split_facts(self.metrics), "members": members}


def ensemble(
    runs: Path | str | Iterable[Path | str], *, output: Path | str | None = None
) -> EnsembleResult:
    """Average finished runs: evaluate the mean of their probabilities, and write it as one model.

    Args:
        runs: At least two run folders of one label set; networks, input sizes, normalisations and
            splits may differ.
        output: Output folder; ``runs/ensemble-<UTC time>`` by default.

    Raises:
        EosinError: A run is not finished or does not fit, or no image is held out in all of them.
    """
    folder, watch = Path(output or default_output("ensemble")), Stopwatch()
    check_output(folder)
    with watch.stage("read runs"):
        members = read_members(as_list(runs), folder)
        check_merging([member.model_folder for member in members])
        shared = find_held_out(members)
        _LOG.info(format_held_out(shared))
        audit = audit_shared(shared)
    if audit.leaks:
        found = audit.leaks[0].message
        _LOG.info(f"Audit: the split of a run leaks, so the results are over-optimistic: {found}")
    # With folds every image was trained on by some network: there are no subsets.
    manifest = shared.samples if shared.split == OUT_OF_FOLD else divide_shared(shared)
    # The manifest's paths start from this folder.
    run = RunFolder(prepare_output(folder))
    with watch.stage("evaluate"):
        gate = _fit_gate(members, manifest)
        refused = None if gate is None else _refuse(gate, members, shared)
        evaluated = replace(_average(members, shared), refused=refused)
        splits = {shared.split: evaluate_predictions(evaluated, _EVALUATION, _SEED)}
        shown = [_describe(member, shared) for member in members]
    write_manifest(run.manifest, manifest)
    write_document(run.audit, audit)
    # The ensemble's output is the logarithm of the mean probability.
    logits = np.log(np.maximum(evaluated.probabilities, np.finfo(np.float64).tiny))
    write_predictions(run, [evaluated], [logits_table(evaluated.samples, logits)])
    _LOG.info(f"Merging {len(members)} models into one file")
    with watch.stage("merge"):
        info, gap = _write_model(ModelFolder(run.model), members, shown, shared)
        info = info.model_copy(update={"gate": gate})
    profile_samples(ModelFolder(run.model), info.preprocessing, manifest, evaluated)
    if gap > NOTABLE_GAP:
        _LOG.info(format_gap(gap, len(some_of(shared.samples))))
    with watch.stage("explain"):
        info = _write_predicted(run, evaluated, info, is_held_out=shared.split != OUT_OF_FOLD)
    carry_stain(run, members[0].folder, info.preprocessing.stain, evaluated.samples)
    measured = {shared.split if shared.split == "test" else _NOT_ITSELF: splits[shared.split]}
    finish_run(run, _environment(members, watch), info, splits, measured)
    write_report(run.root)
    return EnsembleResult(run.root, splits, shown, gap)


def _average(members: Sequence[FinishedRun], shared: SharedImages) -> Evaluated:
    """Average the members' predictions of the images that all of them held out.

    The threshold is the mean over the networks that predicted an image: one tuned on the averaged
    predictions would have been tuned on the evaluated images.
    """
    samples = shared.samples
    frame = samples.frame.assign(split=shared.split)
    tables = [mean_predictions(member, member.rows, frame["path"]) for member in members]
    mean = np.mean(
        [table.to_numpy(dtype=np.float64) for table in tables], axis=0
    )  # (N, K + 1): probabilities, then the threshold
    threshold = mean_threshold([member.info for member in members], f"the members' {_THRESHOLDS}")
    if shared.split == OUT_OF_FOLD:
        source = f"for each image the mean of its networks' {_THRESHOLDS}"
        threshold = threshold.model_copy(update={"value": None, "source": source})
    return Evaluated(
        samples=replace(samples, frame=frame),
        probabilities=mean[:, :-1],
        decided=_decide(mean, samples),
        threshold=threshold,
        temperature=1.0 if shared.split == "test" else None,
        temperature_source=OWN_TEMPERATURES,
        abstention=_check_abstention(members),
    )


def _fit_gate(members: Sequence[FinishedRun], manifest: Samples) -> Gate | None:
    """Fit the mean's gate on its members' training images; ``None`` if a member has none."""
    if any(member.info.gate is None for member in members):
        return None
    known = manifest.part("train") if "split" in manifest.frame else manifest
    some = known.where(np.isin(np.arange(len(known)), choose_rows(known.groups)))
    joined = join_preprocessing([member.info.preprocessing for member in members])
    bank, hashes = load_bank(some, joined)
    readable = without(some, hashes.unreadable)
    return fit_gate(bank.of(readable), readable.groups, joined)


def _refuse(gate: Gate, members: Sequence[FinishedRun], shared: SharedImages) -> Any:
    """Return the gate's reasons (N,) of the shared images.

    With folds the gate was fitted on these images: there a member's own first reason counts.
    """
    paths = shared.samples.frame["path"]
    if shared.split == OUT_OF_FOLD:
        rows = pd.concat([one[one["gate"] != ""] for one in shared.rows])
        reasons = rows.drop_duplicates("path").set_index("path")["gate"]
    else:
        joined = join_preprocessing([member.info.preprocessing for member in members])
        bank, hashes = load_bank(shared.samples, joined)
        readable = without(shared.samples, hashes.unreadable)
        found = find_refused(gate, bank.of(readable), joined)
        reasons = pd.Series(found, index=readable.frame["path"], dtype=object)
    return np.array([reasons.get(path, "") for path in paths], dtype=object)


def _check_abstention(members: Sequence[FinishedRun]) -> Abstention:
    """Return why the mean does not abstain: its members' guarantees do not carry over."""
    rules = [member.info.abstention for member in members if member.info.abstention is not None]
    return Abstention(
        alpha=rules[0].alpha if rules else _EVALUATION.alpha,
        quantiles=None,
        n_groups={},
        source="none",
        reason="no held-out images are available to calibrate an ensemble of selected runs",
    )


def _decide(mean: Any, samples: Samples) -> IntArray:
    """Return the class of each row at its own threshold, the arg-max without one."""
    chosen = np.asarray(np.argmax(mean[:, :-1], axis=1), dtype=np.int64)
    if samples.positive is None or len(samples.class_names) != 2:
        return chosen
    positive = samples.class_names.index(samples.positive)
    decided = np.where(mean[:, positive] >= mean[:, -1], positive, 1 - positive)
    return np.where(np.isnan(mean[:, -1]), chosen, decided)


def _describe(member: FinishedRun, shared: SharedImages) -> EnsembleMember:
    info = member.info
    alone = evaluate_predictions(_average([member], shared), _EVALUATION, _SEED).image
    return EnsembleMember(
        run=member.short_name,
        architecture=info.architecture,
        arguments=info.arguments,
        input_px=info.preprocessing.input_px,
        crop_px=info.preprocessing.crop_px,
        temperature=info.temperature,
        threshold=info.threshold.value,
        params=info.params,
        weights_sha256=info.weights_sha256,
        transfer_chain=info.transfer_chain,
        frozen=info.frozen,
        unfrozen=info.unfrozen,
        metrics={name: alone[name] for name in HEADLINE},
    )


def _write_model(
    folder: ModelFolder,
    members: Sequence[FinishedRun],
    shown: Sequence[EnsembleMember],
    shared: SharedImages,
) -> tuple[ModelInfo, float]:
    infos = [member.info for member in members]
    some = some_of(shared.samples)

    def images(preprocessing: Preprocessing) -> ImageSource:
        bank, hashes = load_bank(some, preprocessing)
        return bank.of(without(some, hashes.unreadable))

    changes = {
        "arguments": {"members": [one.model_dump(mode="json") for one in shown]},
        "threshold": mean_threshold(infos, f"the members' {_THRESHOLDS}"),
        "abstention": _check_abstention(members),
        "mpp": infos[0].mpp if len({info.mpp for info in infos}) == 1 else None,
        "transfer_chain": _chain(infos),
        "teachers": tuple(dict.fromkeys(one for info in infos for one in info.teachers)),
        "data_fingerprint": _fingerprint(infos),
        "data_licence": "; ".join(dict.fromkeys(info.data_licence for info in infos)),
        "simulated": any(info.simulated for info in infos),
    }
    # If one member was trained on simulated images, so was their mean.
    first = next((info for info in infos if info.simulated), infos[0])
    places = [member.model_folder for member in members]
    return write_mean(folder, places, first.model_copy(update=changes), images)


def _chain(infos: Sequence[ModelInfo]) -> list[TransferStage]:
    """Return the union of the members' transfer stages."""
    found: list[TransferStage] = []
    for stage in (stage for info in infos for stage in info.transfer_chain):
        found += [stage] if stage not in found else []
    return found


def _fingerprint(infos: Sequence[ModelInfo]) -> str:
    found = sorted({info.data_fingerprint for info in infos})
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def _write_predicted(
    run: RunFolder, evaluated: Evaluated, info: ModelInfo, *, is_held_out: bool
) -> ModelInfo:
    """Write thumbnails of predictions and, of images that no network has seen, evidence maps.

    Returns:
        ``info`` with the checks of its explanations.
    """
    chosen = np.isin(
        np.arange(len(evaluated.samples)), np.concatenate(list(find_predicted(evaluated).values()))
    )
    if not chosen.any():
        return info
    samples = evaluated.samples.where(chosen)
    bank, hashes = load_bank(samples, info.preprocessing)
    readable = without(samples, hashes.unreadable)
    chosen = evaluated.samples.frame["path"].isin(readable.frame["path"]).to_numpy()
    shown = replace(
        evaluated,
        samples=evaluated.samples.where(chosen),
        probabilities=evaluated.probabilities[chosen],
        decided=evaluated.decided[chosen],
        refused=None if evaluated.refused is None else evaluated.refused[chosen],
    )
    write_document(run.samples_index, SamplesIndex(pictures=save_predicted(run, shown, bank)))
    return explain_run(run, info, shown, bank, with_maps=is_held_out)


def _environment(members: Sequence[FinishedRun], watch: Stopwatch) -> Environment:
    return describe(
        command=f"eosin ensemble {shlex.join(member.short_name for member in members)}",
        device="cpu (ONNX Runtime)",
        precision="32-true",
        seed=_SEED,
        data_root=str(members[0].data_root),
        data_fingerprint=_fingerprint([member.info for member in members]),
        dataset=members[0].dataset,
        seconds=watch.seconds,
    )
