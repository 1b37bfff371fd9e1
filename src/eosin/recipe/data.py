"""The recipe's ``[data]``: images, labels and split."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from eosin.core.errors import RecipeError
from eosin.recipe.section import PositiveInt, Section, Share

SHARES = ("train", "val", "test")
#: The keys that each protocol uses, besides ``protocol`` itself.
_USED: dict[str, frozenset[str]] = {
    "grouped": frozenset({"by", "stratify", *SHARES}),
    "image": frozenset({"by", "stratify", *SHARES}),
    "column": frozenset({"by", "stratify", "val"}),
    "folds": frozenset({"by", "stratify", "val", "test", "k", "repeats"}),
}
#: The keys of earlier versions, which wrote all of them under every protocol.
_EARLIER = frozenset({"protocol"}).union(*_USED.values())


class SplitSection(Section):
    """Split of the samples.

    A key that the protocol does not use is an error. Two exceptions: a section with all keys was
    written by an earlier version; and the fractions are allowed with any protocol, for
    ``--set data.split.protocol=image``.

    Attributes:
        protocol: ``grouped``: no group crosses a split; ``image``: by image, as the papers did;
            ``column``: the manifest's ``split``, and if it marks no ``val``, whole
            groups of ``train``; ``folds``: ``k`` grouped folds.
        by: The unit that is split: ``group``; ``site`` (in ``folds``), one fold per site, each
            held out in turn; or ``image``, which declares the images independent, under every
            protocol (``image`` implies it). Such a split is not strict: the audit reports copies
            and known groups on both sides, but does not stop the run. Intervals stay clustered by
            the groups that are known; where none is, each image is a group of its own.
            ``appearance``, where patients are unknown: clusters of images of similar stain,
            background and encoding, with their near-duplicates. The clusters are not patients, and
            intervals stay those of images.
        stratify: Keep the class proportions, as far as the groups allow.
        train: Fraction of the images for training.
        val: Fraction for early stopping, temperature and threshold; in ``folds`` and ``column``
            it is taken from the training subset.
        test: Fraction for evaluation. In ``folds`` it is held out of every fold; by default there
            is none, nor if ``train`` is given: then all three belong to another protocol.
        k: Number of folds.
        repeats: Number of times that folds are drawn.
        seed: Seed of the split alone, by default the recipe's: trainings with different seeds then
            share a split.
    """

    protocol: Literal["grouped", "image", "column", "folds"] = "grouped"
    by: Literal["group", "site", "image", "appearance"] = "group"
    stratify: bool = True
    train: Share = 0.7
    val: Share = 0.1
    test: Share = 0.2
    k: Annotated[int, Field(ge=2, le=50)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        unused = [key for key in _unused(given, self.protocol) if key not in SHARES]
        if unused and not self.model_fields_set >= _EARLIER:
            raise ValueError(f"{_refusal(unused[0], self.protocol)}: leave it out")
        return self

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        total = self.train + self.val + self.test
        if self.protocol in {"grouped", "image"} and not _is_one(total):
            raise ValueError(f"train + val + test must add up to 1, got {total:g}")
        if self.protocol in {"grouped", "image"} and min(self.train, self.val, self.test) <= 0:
            raise ValueError("train, val and test must each be above 0")
        if self.protocol == "folds" and self.val <= 0:
            raise ValueError(
                "cross-validation needs an inner validation subset: val must be above 0"
            )
        if self.by == "site" and self.protocol != "folds":
            raise ValueError('`by = "site"` needs the protocol "folds"')
        if self.by == "site" and self.repeats != 1:
            raise ValueError("each site is held out once: `repeats` must be 1")
        if self.by == "appearance" and self.protocol == "image":
            raise ValueError(
                '`by = "appearance"` keeps clusters of images whole, but the protocol "image" '
                "divides images: leave one of them out"
            )
        return self

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out keys that the protocol does not use, which the reader would reject."""
        dumped: dict[str, Any] = handler(self)
        given = {name: dumped[name] for name in dumped if dumped[name] != _default(name)}
        kept = _used_by(self.protocol)
        if self.protocol == "folds" and not self.test_share:
            kept -= {"test"}
        if not self.test_share and given.keys() & {"train", "test"} and _is_whole(dumped):
            kept |= set(SHARES)
        kept -= {"seed"} if self.seed is None else set()
        return {name: value for name, value in dumped.items() if name in kept}

    @property
    def test_share(self) -> float:
        """Share of the images that is held out of every fold; 0 with another protocol."""
        is_held_out = "test" in self.model_fields_set and "train" not in self.model_fields_set
        return self.test if self.protocol == "folds" and is_held_out else 0.0

    @property
    def is_strict(self) -> bool:
        """True if a leak between the subsets is an error, not part of the published protocol."""
        return self.protocol != "image" and self.by != "image"

    @property
    def unit(self) -> str:
        """The unit that is divided: ``group``, ``site``, ``image`` or ``appearance``."""
        return "image" if self.protocol == "image" else self.by


def restart_split(
    old: Mapping[str, Any], new: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], str]:
    """Return the keys of ``[data.split]`` that remain when others are set by override.

    With another protocol the section is reset: keys that it does not use are dropped, and so are
    shares that do not add up to 1.

    Returns:
        The remaining keys of ``old``; a sentence that lists the dropped ones, empty where the
        recipe had set none of them.

    Raises:
        RecipeError: A key is set that the protocol does not use.
    """
    before = old.get("protocol", _default("protocol"))
    protocol = new.get("protocol", before)
    if protocol not in _USED:
        return dict(old), ""  # the schema rejects it by name
    if unused := _unused(new, protocol):
        raise RecipeError(
            f"--set {where}.{_refusal(unused[0], protocol)}", hint=_way_out(unused, where)
        )
    is_new, shares = protocol != before, set(SHARES)
    stale = set[str]()
    if is_new or old.keys() >= _EARLIER:
        spare = shares if not is_new and _is_whole(old) else set()
        stale = old.keys() - _used_by(protocol) - spare
    if is_new:
        stale |= {"protocol", "by"}  # the unit belongs to the protocol
    if protocol == "folds" and (is_new or "train" in stale):
        stale.add("test")  # a share of another protocol
    if not shares <= _used_by(protocol):
        stale |= {"train", "test"} if shares & new.keys() and "train" in old else set()
    elif is_new and not _is_one(sum({**_DEFAULT_SHARES, **_shares(old), **_shares(new)}.values())):
        stale |= shares
    kept = {key: value for key, value in old.items() if key not in stale}
    if not is_new:
        return kept, ""
    gone = stale - new.keys() - {"protocol"}
    dropped = {key: old[key] for key in old if key in gone and old[key] != _default(key)}
    return kept, _list_dropped(where, protocol, dropped)


_DEFAULT_SHARES = {name: float(SplitSection.model_fields[name].default) for name in SHARES}


def shares_hint(
    recipe: Mapping[str, Any], where: Sequence[int | str], overrides: Mapping[str, Any]
) -> str | None:
    """Return the overrides that make shares of a split add up to 1; ``None`` if there are none.

    Args:
        recipe: Values of the recipe, overrides included.
        where: Keys of a section that was rejected.
        overrides: Values that were set by override: these stay.
    """
    if tuple(where[-2:]) != ("data", "split"):
        return None
    section, given = recipe, overrides
    for key in map(str, where):
        section, given = section.get(key, {}), given.get(key, {})
        if not isinstance(section, Mapping) or not isinstance(given, Mapping):
            return None
    shares = _DEFAULT_SHARES | _shares(section)
    free = {name: shares[name] for name in SHARES if name not in given}
    rest, total = 1.0 - sum(shares[name] for name in SHARES if name in given), sum(free.values())
    if not free or rest < 0.01 or total <= 0 or _is_one(sum(shares.values())):
        return None
    _, *others = (round(rest * share / total, 3) for share in free.values())
    values = [round(rest - sum(others), 6), *others]
    path = ".".join(map(str, where))
    settings = (f"{path}.{name}={value:g}" for name, value in zip(free, values, strict=True))
    return f"Set the other shares, too: --set {' --set '.join(settings)}"


def _list_dropped(where: str, protocol: str, dropped: Mapping[str, Any]) -> str:
    if not dropped:
        return ""
    listed = ", ".join(f"{key} = {json.dumps(value)}" for key, value in dropped.items())
    return f"{where} is reset for the protocol {protocol!r}; dropped from the recipe: {listed}"


def _used_by(protocol: str) -> set[str]:
    return {"protocol", "seed", *_USED[protocol]}


def _unused(given: Mapping[str, Any], protocol: str) -> list[str]:
    """Return the keys that a protocol does not use; shares that add up to 1 are always allowed."""
    spare = set(SHARES) if _is_whole(given) else set()
    known = SplitSection.model_fields
    return [key for key in known if key in given.keys() - _used_by(protocol) - spare]


def _is_whole(given: Mapping[str, Any]) -> bool:
    return given.keys() >= set(SHARES) and _is_one(sum(_shares(given).values()))


def _shares(given: Mapping[str, Any]) -> dict[str, float]:
    """Return the shares that are given as numbers."""
    found = {name: given[name] for name in SHARES if name in given}
    return {name: float(v) for name, v in found.items() if isinstance(v, int | float)}


def _is_one(total: float) -> bool:
    return abs(total - 1.0) <= 1e-6


def _default(key: str) -> Any:
    field = SplitSection.model_fields.get(key)
    return None if field is None else field.default


def _refusal(key: str, protocol: str) -> str:
    return f"{key}: not used by the protocol {protocol!r}"


def _way_out(unused: Collection[str], where: str) -> str:
    uses = next((name for name, used in _USED.items() if used.issuperset(unused)), None)
    if uses is None:
        return "Leave it out"
    return f"Leave it out, or choose a protocol that uses it: --set {where}.protocol={uses}"


#: Options of a data set under their former names.
_RENAMED = {"pcam": {"judge": "evaluate_on"}}
Percentile = Annotated[float, Field(ge=0.0, le=100.0)]
Column = Annotated[str, Field(min_length=1)]


class DataSection(Section):
    """Images, their labels and their split.

    Attributes:
        dataset: Registered data set, read from its folder tree; this key or ``manifest``.
        manifest: Table of images (CSV, Excel or Parquet, see docs/data.md), relative to the recipe.
        root: The data set's folder; else ``$EOSIN_DATA/<dataset>``. ``$NAME`` and ``~`` expand.
        options: Arguments of the data set (the phantom's, for example).
        path: The manifest's column of the image reference.
        label: The column of the class.
        patient: The column of the patient.
        group: The column of the unit that must not be in several subsets.
        positive: The positive class of a binary task; adapters have a default.
        magnifications: Keep only these; all by default.
        fuse: Combine a slide's images at several magnifications into stacks, in the order of
            ``magnifications``, as samples of a network ``fusion:NAME``.
        limit: Largest number of images (or stacks) per class and group, for quick trials.
        modality: ``brightfield`` or ``fluorescence``; data sets declare theirs, a manifest is
            brightfield by default.
        channel_names: Names of a fluorescence file's channels, in order; data sets declare theirs.
        channels: The channels for the network, by name or by position from 0; all by default.
        window: Intensity window of fluorescence: ``percentile`` maps two percentiles of each
            channel's counts to 0 and 255; ``none`` maps the whole range of the files' type (8-bit
            values stay, 16-bit counts are divided by 257).
        percentiles: The two percentiles of each channel's counts in the training images.
        audit: Search of the leak audit: ``copies`` (the same image, even if flipped, rotated,
            re-encoded or resized), or ``full`` (also near-duplicates by their content).
        repair: Merge groups that belong together by the leak audit, before the split is drawn:
            near-duplicates, sections of one accession, similar names.
        alike_names: Names of patients or groups that differ only in spelling (case, leading zeros,
            ``.0``) stop a strict run (``refuse``), or are kept apart (``distinct``).
        cache: Keep decoded images for the next run; ``false`` keeps them in a temporary folder.
        split: Split of the samples.
    """

    dataset: str | None = None
    manifest: str | None = None
    root: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    path: Column = "path"
    label: Column = "label"
    patient: Column = "patient"
    group: Column = "group"
    positive: str | None = None
    magnifications: tuple[str, ...] = ()
    fuse: bool = False
    limit: PositiveInt | None = None
    modality: Literal["brightfield", "fluorescence"] | None = None
    channel_names: tuple[str, ...] = ()
    channels: tuple[str | Annotated[int, Field(ge=0)], ...] = ()
    window: Literal["percentile", "none"] = "percentile"
    percentiles: tuple[Percentile, Percentile] = (0.1, 99.9)
    audit: Literal["copies", "full"] = "copies"
    repair: bool = False
    alike_names: Literal["refuse", "distinct"] = "refuse"
    cache: bool = True
    split: SplitSection = SplitSection()

    @model_validator(mode="before")
    @classmethod
    def _rename_options(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        renamed, options = _RENAMED.get(str(values.get("dataset"))), values.get("options")
        if renamed is None or not isinstance(options, Mapping):
            return values
        return {**values, "options": {renamed.get(key, key): options[key] for key in options}}

    @model_validator(mode="after")
    def _check_percentiles(self) -> Self:
        if self.percentiles[0] >= self.percentiles[1]:
            raise ValueError(f"`percentiles` must increase, got {list(self.percentiles)}")
        usual = type(self).model_fields["percentiles"].default
        if self.window == "none" and self.percentiles != usual:
            raise ValueError('`percentiles` belong to `window = "percentile"`: leave them out')
        return self

    @model_validator(mode="after")
    def _check_fusing(self) -> Self:
        if self.fuse and len(set(self.magnifications)) < max(2, len(self.magnifications)):
            raise ValueError("`fuse` needs at least two different `magnifications`")
        return self

    @model_validator(mode="after")
    def _check_appearance(self) -> Self:
        reasons = {
            "fuse": "it compares single images, not stacks",
            "repair": "it keeps near-duplicates together anyway",
        }
        for key, reason in reasons.items() if self.split.by == "appearance" else ():
            if getattr(self, key):
                raise ValueError(
                    f'`split.by = "appearance"` cannot be combined with `{key}`: {reason}'
                )
        return self

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.dataset is None) == (self.manifest is None):
            raise ValueError("exactly one of `dataset` and `manifest` must be given")
        return self
