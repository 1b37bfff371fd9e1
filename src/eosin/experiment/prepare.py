"""Preparation of a recipe's samples: names are checked first, then files."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eosin.artifacts.audit import AuditReport, Finding, JoinedGroups
from eosin.artifacts.cleaning import clean_magnification
from eosin.artifacts.columns import Columns
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import check_label_spelling, read_manifest
from eosin.artifacts.run import Environment
from eosin.artifacts.tables import is_pipe
from eosin.artifacts.versioned import read_document
from eosin.core.errors import RecipeError, close_matches
from eosin.core.places import cache_folder, expand_path
from eosin.core.text import quantity
from eosin.core.types import Samples
from eosin.data.audit import (
    FileHashes,
    ImageIndex,
    NearDuplicates,
    audit_samples,
    describe_repair,
    fingerprint,
    join_groups,
    list_joined,
)
from eosin.data.sources.base import (
    DataSetFacts,
    collect_samples,
    declared_facts,
    find_root,
)
from eosin.data.sources.catalogue import DATASETS
from eosin.data.sources.phantom import OPTIONS_FILE
from eosin.experiment.appearance import add_clusters, check_appearance
from eosin.experiment.audit_images import search_images
from eosin.experiment.channels import resolve_preprocessing
from eosin.experiment.copies import bank_of_copies, copy_samples, count_copies
from eosin.experiment.features import load_features, note_absent
from eosin.experiment.validation import (
    check_modality,
    check_names,
    check_positive,
)
from eosin.images.bank import ImageBank, load_bank
from eosin.images.references import Skipped, without
from eosin.images.spacing import check_stated_mpp
from eosin.images.stacks import stack_samples
from eosin.images.staining import check_units
from eosin.metrics.measurement import check_own_metrics
from eosin.recipe import read_recipe
from eosin.recipe.data import DataSection
from eosin.recipe.schema import EMBEDDING, Recipe

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Readable samples with facts, hashes and index for the audit.

    Attributes:
        samples: Readable samples, without a split.
        fingerprint: Changes when paths, labels, groups or files change.
        notes: Notes for the audit of any split.
        near_duplicates: Result of that search, whatever the split.
        named: Columns whose names the audit compares by spelling.
        joined: Groups that were joined because they belong together.
    """

    samples: Samples
    facts: dict[str, Any]
    skipped: Skipped
    hashes: FileHashes
    fingerprint: str
    bank: ImageBank
    notes: tuple[Finding, ...] = ()
    image_index: ImageIndex = field(default_factory=ImageIndex)
    near_duplicates: NearDuplicates = field(default_factory=NearDuplicates)
    named: tuple[str, ...] = ("patient", "group")
    joined: tuple[JoinedGroups, ...] = ()

    def audit(self, samples: Samples) -> AuditReport:
        """Audit the parts of the samples for leaks; they carry a ``split`` column."""
        found = audit_samples(
            samples, hashes=self.hashes, near_duplicates=self.near_duplicates, named=self.named
        )
        repaired = describe_repair(self.joined)
        return found.model_copy(
            update={
                "findings": [*found.findings, *self.notes],
                "reach": (repaired, *found.reach) if repaired else found.reach,
                "repair": self.joined,
            }
        )


def log_repair(prepared: Prepared) -> None:
    """Log which groups were joined; a dry run prints them with its audit instead."""
    if prepared.joined:
        for line in (describe_repair(prepared.joined), *list_joined(prepared.joined)):
            _LOG.info(line)


def resolve_recipe(recipe: Recipe) -> Recipe:
    """Return a recipe with checked names and absolute paths, so that its run can be repeated.

    Raises:
        EosinError: A name, an argument or a path is wrong.
    """
    model, stain = recipe.model, recipe.stain
    if model.table is not None:
        name = f"{EMBEDDING}:{resolve_manifest(model.table)}"
        model = model.model_copy(update={"name": name})
        recipe = recipe.model_copy(update={"model": model})
    check_names(recipe)
    if stain.file is not None:
        stain = stain.model_copy(update={"reference": str(resolve_manifest(stain.file))})
    teachers = tuple(str(expand_path(name).resolve()) for name in recipe.train.teachers)
    stages = tuple(
        stage.model_copy(update={"data": _resolve_data(stage.data, recipe.seed)})
        for stage in recipe.transfer.stage
    )
    return recipe.model_copy(
        update={
            "data": _resolve_data(recipe.data, recipe.seed),
            "stain": stain,
            "transfer": recipe.transfer.model_copy(update={"stage": stages}),
            "train": recipe.train.model_copy(update={"teachers": teachers}),
        }
    )


def _resolve_data(data: DataSection, seed: int) -> DataSection:
    if data.manifest is not None:
        return data.model_copy(update={"manifest": str(resolve_manifest(data.manifest))})
    return data.model_copy(update={"root": str(resolve_root(data, seed))})


def resolve_root(section: DataSection, seed: int) -> Path:
    """Return the folder of a named data set.

    A phantom without a folder is in the cache, one folder for each set of options.
    """
    name = str(section.dataset)
    if DATASETS.get(name).needs_root:
        return find_root(name, section.root)
    if section.root is not None:
        return expand_path(section.root).resolve()
    key = json.dumps({"seed": seed, **section.options}, sort_keys=True, default=str)
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return cache_folder() / name / digest


def resolve_manifest(path: str) -> Path:
    """Return the absolute path of a recipe's table, which must not be a pipe; ``~`` expands."""
    place = expand_path(path)
    if is_pipe(place):
        raise RecipeError(
            f"{path} is a pipe, which can be read only once, but resuming a run reads it again",
            hint="Write the table into a file and name the file",
        )
    return place.resolve()


def gather_samples(section: DataSection, seed: int) -> tuple[Samples, dict[str, Any]]:
    """List the recipe's samples and their data set's metadata.

    Raises:
        DataError: The folder or manifest is missing or does not fit.
        RecipeError: Nothing is left after filtering.
    """
    if section.manifest is not None:
        manifest = Path(section.manifest)
        samples = read_manifest(
            manifest,
            label=section.label,
            positive=section.positive,
            columns=_columns(section, independent=not section.split.is_strict),
        )
        facts = _facts_beside(manifest, samples.name)
    else:
        name = str(section.dataset)
        options = dict(section.options)
        if name == "phantom":
            options.setdefault("seed", seed)
        samples = collect_samples(
            name,
            Path(str(section.root)),
            options,
            label=section.label,
            positive=section.positive,
            columns=_columns(section, independent=True),
        )
        facts = declared_facts(name, options).as_dict()
    if section.alike_names == "refuse":
        check_label_spelling(samples)
    if section.modality is not None:
        facts = {**facts, "modality": section.modality}
    if section.channel_names:
        facts = {**facts, "channels": list(section.channel_names)}
    return _narrow(samples, section), facts


def _columns(section: DataSection, *, independent: bool) -> Columns:
    return Columns(
        path=section.path,
        patient=section.patient,
        group=section.group,
        independent=independent,
        in_recipe=True,
    )


def _facts_beside(manifest: Path, name: str) -> dict[str, Any]:
    """Return the metadata beside a manifest: of its run, or of its phantom.

    Simulated or licensed data stay so when a run's manifest is used again.
    """
    run = RunFolder(manifest.parent)
    if manifest.name == run.manifest.name and run.environment.exists():
        return read_document(run.environment, Environment).dataset
    if manifest.name == run.manifest.name and run.recipe.exists():  # an unfinished run
        data = read_recipe(run.recipe).data
        if data.dataset is not None:
            return declared_facts(data.dataset, data.options).as_dict()
    if (manifest.parent / OPTIONS_FILE).exists():
        return DATASETS.get("phantom").facts.as_dict()
    return DataSetFacts(name=name, title=name, licence="unknown", citation="none").as_dict()


def _narrow(samples: Samples, section: DataSection) -> Samples:
    samples = stack_samples(samples, section.magnifications if section.fuse else ())
    keep = np.ones(len(samples), dtype=bool)
    if section.magnifications and not section.fuse:
        if "magnification" not in samples.frame:
            raise RecipeError(
                f"'data.magnifications' is set, but {samples.name} has no column 'magnification'",
                hint="Leave the key out, or add the column",
            )
        wanted = set(map(clean_magnification, section.magnifications))
        keep &= samples.frame["magnification"].isin(wanted).to_numpy()
    if not keep.any():
        known = set(samples.frame["magnification"]) - {""}
        raise RecipeError(
            f"'data.magnifications': no image was taken at {', '.join(section.magnifications)}",
            hint=close_matches(section.magnifications[0], known),
        )
    samples = samples.where(keep)
    if section.limit is not None:
        rank = samples.frame.groupby(["label", "group"]).cumcount().to_numpy()
        samples = samples.where(rank < section.limit)
    return samples


def prepare(recipe: Recipe, *, is_new: bool = False) -> Prepared:
    """List the recipe's images and read those not yet in the cache.

    Args:
        recipe: As :func:`resolve_recipe` returns it.
        is_new: True for a new run, whose positive class must be settled; a run of an earlier
            version continues as it was started.

    Raises:
        EosinError: A folder or manifest is wrong, or no image can be read.
    """
    samples, facts = gather_samples(recipe.data, recipe.seed)
    if is_new:
        check_positive(samples, recipe.data.positive)
    by_appearance = recipe.data.split.by == "appearance"
    if by_appearance:
        check_appearance(samples, facts)
    names = samples.class_names
    positive = samples.positive if len(names) == 2 else None
    check_own_metrics(names, names.index(positive) if positive is not None else None)
    for note in samples.notes:
        _LOG.info(f"{samples.name}: {note}")
    _LOG.info(f"Reading {quantity(len(samples.image_cells), 'image')}{samples.of_groups}")
    notes: tuple[Finding, ...] = ()
    if recipe.model.table is None:
        check_modality(recipe, facts["modality"])
        check_units(samples, recipe.stain.unit)
        preprocessing = resolve_preprocessing(recipe, samples, facts)
        check_stated_mpp(samples, preprocessing, recipe.model.mpp)
        bank, hashes = load_bank(samples, preprocessing, keep=recipe.data.cache)
    else:
        table = Path(recipe.model.table)
        bank, hashes = load_features(samples, table, apart=(recipe.data.label,))
        notes = note_absent(hashes)
        _LOG.info(f"Each has {len(bank.preprocessing.channels):,} features in {table.name}")
    readable = without(samples, hashes.unreadable)
    content, named = recipe.data.audit == "full", _find_named(recipe.data)
    image_index, near_duplicates = search_images(bank, hashes, samples, content=content)
    joined: list[JoinedGroups] = []
    if recipe.data.repair:
        readable, joined = join_groups(
            readable, hashes=hashes, near_duplicates=near_duplicates, named=named
        )
        if not joined:
            _LOG.info("Repair: no groups had to be merged")
    if by_appearance:
        readable = add_clusters(readable, bank, hashes, near_duplicates, recipe.split_seed)
    data = fingerprint(readable, hashes)
    if recipe.augment.copies_before_split:
        readable = copy_samples(readable, count_copies(recipe.augment))
        bank = bank_of_copies(bank, hashes, recipe.augment, recipe.seed)
    return Prepared(
        samples=readable,
        facts=facts,
        skipped=hashes.unreadable,
        hashes=hashes,
        fingerprint=data,
        bank=bank,
        notes=notes,
        image_index=image_index,
        near_duplicates=near_duplicates,
        named=named,
        joined=tuple(joined),
    )


def _find_named(section: DataSection) -> tuple[str, ...]:
    """Return the columns whose names must not differ in spelling alone."""
    if section.alike_names == "distinct":
        return ()
    return ("patient", "group", "site") if section.split.by == "site" else ("patient", "group")
