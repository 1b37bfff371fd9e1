"""Evidence: maps of held-out images in a run's report, and the checks of their method in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from eosin.artifacts.explanation_checks import (
    MOST_SIMILAR,
    ExplanationChecks,
    NucleiShare,
    RandomisationTest,
    Road,
)
from eosin.artifacts.metrics import Metric
from eosin.core.text import listing, of_groups, quantity
from eosin.explanation.evidence import FLAT, why_none
from eosin.explanation.road import SHARES
from eosin.reporting.formatting import capitalised, metric_text, number, plain_reason, share
from eosin.reporting.outline import Facts, Pair, Section, Text
from eosin.reporting.thumbnails import tiles
from eosin.runs.finished import FinishedRun

#: Caution on every page with maps.
CAUTION = (
    "A map shows what this model's output depends on, not where a tumour is. It can be wrong, and"
    " a plausible map is no proof that the model is right."
)
_COMMAND = "eosin explain RUN --check"
_RULE = (
    "The most confident wrong decisions, then the most confident right ones of each class in turn,"
    " each beside its evidence map: orange places speak for the decision, blue ones against it, on"
    " the same colour scale for all images. The images are held out"
)


def section(run: FinishedRun) -> Section:
    """Return the section of the page: maps, caution, checks."""
    info = run.model
    if info is None:
        return Section("")
    if reason := why_none(info):
        return Section("Explanations", Text(f"There are no evidence maps: {reason}."))
    shown, checks = tiles(run, "evidence", "double"), info.explanation
    by = (
        ": each is explained by the network of the fold that held it out." if run.has_folds else "."
    )
    facts = [] if checks is None else [("Method", _method(checks)), *check_facts(checks)]
    return Section(
        "Explanations",
        Text(CAUTION, look="small"),
        Text("" if shown.items else _missing(run)),
        Text(f"{_RULE}{by}" if shown.items else "", look="small"),
        shown,
        Section("Checks of the method", Facts([*facts, *_of_folds(run)])),
    )


def brief(run: FinishedRun) -> Section:
    """Return the section of the card."""
    if run.model is None or run.model.explanation is None:
        return Section("")
    checks = run.model.explanation
    facts = [("Method", _method(checks)), *check_facts(checks)]
    return Section("Explanations", Text(CAUTION), Facts(facts))


def check_facts(checks: ExplanationChecks) -> list[Pair]:
    """Return each check as a name and sentences: passed or failed, and what that means."""
    return [
        ("Random weights", _randomisation(checks.randomisation)),
        ("Hiding evidence (ROAD)", _road(checks.road)),
        *_nuclei(checks.nuclei or {}),
    ]


def _method(checks: ExplanationChecks) -> str:
    return f"{checks.method}: {checks.settings}" if checks.settings else checks.method


def _missing(run: FinishedRun) -> str:
    if run.split == "oof" and not run.has_folds:
        return (
            "There are no evidence maps: every image was in the training of a member. The members'"
            " reports have some."
        )
    return "This run has no evidence maps. To explain images: eosin explain RUN IMAGES"


def _of_folds(run: FinishedRun) -> list[Pair]:
    """Return the randomisation test of the folds' networks, in one fact."""
    models = [fold.model for fold in run.folds if fold.folder.metrics.exists()]
    tests = [one.explanation.randomisation for one in models if one and one.explanation]
    values = [test.similarity.value for test in tests if test.similarity.value is not None]
    if not values:
        return []
    n_passed = sum(test.passes is True for test in tests)
    spread = f"rank correlation {number(min(values))} to {number(max(values))}"
    return [("Random weights, folds", f"{n_passed} of {len(values)} networks passed; {spread}.")]


def _randomisation(test: RandomisationTest) -> str:
    value, between = test.similarity.value, test.between_images.value
    if value is None or between is None:
        return f"Not decided: {test.similarity.reason}."
    found = (
        f"rank correlation {number(value)} with the trained network's maps of"
        f" {quantity(test.n_images, 'image')}, {number(between)} between maps of different images"
    )
    if test.passes:
        return (
            f"Passed. With shuffled weights the maps change: {found}. From {MOST_SIMILAR:g} on, the"
            " maps would show the image more than the network."
        )
    return (
        f"Failed. With shuffled weights the maps stay similar: {found}, at least {MOST_SIMILAR:g}."
        " They show the image more than the network: do not read them as what it has learned."
    )


def _road(found: Road | None) -> str:
    if found is None:
        return f"Not measured. To measure it on held-out images: {_COMMAND}"
    if found.fall.value is None:
        return f"Not decided: {found.fall.reason}."
    shares = listing([f"{100 * one:g}" for one in SHARES], "or")
    images = f"{quantity(found.n_images, 'held-out image')}{of_groups(found.n_groups, found.unit)}"
    by = ", each by the network of the fold that held it out" if found.by_folds else ""
    measured = (
        f"Hiding the {shares} % of the pixels with most evidence lowers the probability of the"
        f" decision by {number(found.fall.value)} on average: by {metric_text(found.over_random)}"
        " more than hiding as many in random order, and by"
        f" {metric_text(found.over_moved)} more than with the same map turned, mirrored and shifted"
        f" at random; {images}{by}, {_flat(found.n_flat)}."
    )
    if found.passes is None:
        reasons = [one.reason for one in (found.over_random, found.over_moved) if one.low is None]
        return f"Not decided: {plain_reason(reasons[0], found.unit)}. {measured}"
    if found.passes:
        return f"Passed. {measured}"
    beats_random = found.over_random.low is not None and found.over_random.low > 0
    other = "the same shapes elsewhere" if beats_random else "pixels in random order"
    return (
        f"Failed. {measured} The places of most evidence are not shown to matter more to the model"
        f" than {other}."
    )


def _flat(n_flat: int) -> str:
    maps = "no map" if n_flat == 0 else quantity(n_flat, "map")
    return f"{maps} flat (no two places differ by more than {FLAT:g})"


def _nuclei(found: Mapping[str, NucleiShare]) -> Iterator[Pair]:
    for name, one in found.items():
        if one.share.value is None:
            continue
        yield (
            f"Nuclei, {name}",
            f"{share(one.share.value)} of the evidence for {name} lies on nuclei, which cover"
            f" {share(one.area.value)} of the area; the difference is"
            f" {metric_text(one.difference)}. {capitalised(_lean(one.difference))};"
            f" {quantity(one.n_images, 'simulated image')}.",
        )


def _lean(difference: Metric) -> str:
    if difference.low is None or difference.high is None:
        return "there is no interval"
    if difference.low > 0:
        return "evidence prefers nuclei"
    return "evidence avoids nuclei" if difference.high < 0 else "evidence has no preference"
