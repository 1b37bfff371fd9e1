"""Every paper's file reads, and its experiments, cells and quantities fit what Eosin has."""

import pytest

from eosin.core.errors import UsageError
from eosin.experiment.validation import check_names
from eosin.metrics.catalogue import METRICS, PATIENT_METRICS
from eosin.papers import read_paper
from eosin.papers.schema import PAPERS
from eosin.reproduction.drawings import DRAWINGS
from eosin.reproduction.jobs import full_recipe, make_jobs
from eosin.reproduction.quantities import is_known, is_of_network, network_facts
from eosin.reproduction.verdicts import recompute

NAMES = {*METRICS, *PATIENT_METRICS}

each = pytest.mark.parametrize("name", PAPERS)


def trained(paper):
    return [one for one in paper.experiments if one.recipe]


def folders_of(paper, root):
    """Folders of the paper's own data, then of each data set that takes their place."""
    yield {one.dataset: root for one in paper.data}
    for one in paper.data:
        for place in one.instead:
            others = {other.dataset: root for other in paper.data if other is not one}
            yield {**others, place.dataset: root}


def test_another_name_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="P1, P2"):
        read_paper("P6")


@each
def test_it_reads(name):
    paper = read_paper(name)
    assert paper.id == name
    assert paper.experiments
    assert paper.items
    assert paper.settings


@each
def test_an_experiment_s_recipe_is_of_the_paper_s_data(name):
    paper = read_paper(name)
    datasets = {one.dataset for one in paper.data}
    for experiment in trained(paper):
        full = full_recipe(experiment)
        stages = [stage.data.dataset for stage in full.transfer.stage]
        assert {full.data.dataset, *stages} <= datasets, experiment.name


@each
@pytest.mark.parametrize("size", ["full", "reduced", "quick"])
def test_each_experiment_is_accepted_on_any_data_under_both_protocols(name, size, tmp_path):
    paper = read_paper(name)
    wanted = [one.name for one in paper.experiments]
    for folders in folders_of(paper, tmp_path):
        jobs = make_jobs(paper, wanted, folders, size)
        assert len(jobs) == 2 * len(wanted)
        assert not any(job.missing for job in jobs)
        for recipe in (job.recipe for job in jobs if job.recipe):
            check_names(recipe)


@each
def test_members_are_trained_experiments(name):
    paper = read_paper(name)
    for experiment in paper.experiments:
        assert all(paper.experiment(member).recipe for member in experiment.members)


@each
def test_a_printed_number_is_compared_with_something_or_explained(name):
    bare = [
        (item.id, cell.row, cell.column)
        for item in read_paper(name).items
        for cell in item.cells
        if cell.value is not None
        and not (cell.quantity or cell.recomputed or cell.status or cell.note)
    ]
    assert not bare


@each
def test_quantities_have_a_known_form(name):
    paper = read_paper(name)
    used = {cell.quantity for item in paper.items for cell in item.cells if cell.quantity}
    used |= {demand.quantity for demand in paper.demands}
    assert not {text for text in used if not is_known(text, NAMES)}


@each
def test_networks_and_recipes_have_the_counts_that_cells_ask_for(name):
    paper = read_paper(name)
    cells = [cell for item in paper.items for cell in item.cells if is_of_network(cell.quantity)]
    for experiment in {cell.experiment: None for cell in cells}:
        facts = network_facts(full_recipe(paper.experiment(experiment)))
        asked = {cell.quantity for cell in cells if cell.experiment == experiment}
        assert asked <= set(facts), experiment


@each
def test_what_is_drawn_can_be_drawn_and_has_runs(name):
    for item in read_paper(name).items:
        assert set(item.draw) <= set(DRAWINGS), item.id
        assert item.needs() or not item.draw, item.id


@each
def test_a_cell_has_a_place_of_its_own(name):
    for item in read_paper(name).items:
        places = [(cell.row, cell.column) for cell in item.cells]
        assert len(set(places)) == len(places), item.id


@each
def test_what_follows_from_printed_figures_can_be_computed(name):
    for item in read_paper(name).items:
        for cell in item.cells:
            if cell.recomputed:
                assert recompute(cell.recomputed) >= 0, (item.id, cell.row)
