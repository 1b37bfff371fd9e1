"""Provenance: data set, model, environment, and the commands that repeat the run."""

from __future__ import annotations

import shlex

from eosin.core.text import duration
from eosin.recipe.reading import recipe_for_page
from eosin.reporting.outline import Code, Facts, Pair, Section, joined, select
from eosin.reporting.sections import model
from eosin.reporting.sections.data import dataset_facts
from eosin.reporting.sections.results import members_of
from eosin.runs.finished import FinishedRun

#: Names of stages whose names in the file are others.
_STAGES = {"judge": "evaluate"}


def section(run: FinishedRun) -> Section:
    """Return the section of the page."""
    where = "In the folder of its members' runs" if members_of(run) else "Inside the run folder"
    recipe = Code("" if run.recipe is None else recipe_for_page(run.recipe))
    places = "Folders of the machine are left out here; recipe.toml in the run folder has them."
    return Section(
        "Provenance",
        Section("Data set", Facts(dataset_facts(run))),
        model.section(run),
        Section("Environment", Facts(environment_facts(run))),
        Section("Reproduce", f"{where}:", Code("\n".join(rerun_commands(run)))),
        Section("Recipe with all defaults", recipe, places if recipe.text else "", fold="closed"),
    )


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    facts = environment_facts(run)
    again = f"reproducible with Eosin {joined(select(facts, 'Eosin'))} and recipe.toml"
    return {
        "software": joined(select(facts, "Eosin", "Python", "Packages")),
        "code": again if run.recipe is not None and run.environment is not None else "",
    }


def environment_facts(run: FinishedRun) -> list[Pair]:
    """Return versions, device and times. The data root stays out: pages are passed on."""
    environment = run.environment
    if environment is None:
        return []
    times = "; ".join(
        f"{_STAGES.get(stage, stage)} {duration(s)}" for stage, s in environment.seconds.items()
    )
    facts = [
        ("Eosin", environment.eosin),
        ("Created", environment.created),
        ("Command", environment.command),
        ("Python", environment.python),
        ("Platform", environment.platform),
        ("Device", environment.device),
        ("Precision", environment.precision),
        ("Commit", environment.git or "unknown (not run in a Git working tree)"),
        ("Seed", str(environment.seed)),
        ("Time", times),
        ("Packages", ", ".join(f"{name} {v}" for name, v in environment.packages.items())),
    ]
    return [(key, value) for key, value in facts if value]


def rerun_commands(run: FinishedRun) -> list[str]:
    """Return the commands that repeat this run, from inside its folder."""
    if members := members_of(run):
        return [f"eosin ensemble {shlex.join(one.run for one in members)} -o RERUN"]
    if run.recipe is None:
        return ["eosin evaluate MODEL --data MANIFEST.csv -o RERUN", "eosin report RERUN"]
    return ["eosin train recipe.toml -o ../rerun"]
