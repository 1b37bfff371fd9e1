"""Every paper's file reads, and its experiments, cells and quantities fit what Eosin has."""

import re
from pathlib import Path

import pytest

import eosin.papers
from eosin.artifacts.predictions import HISTORY_COLUMNS
from eosin.core.errors import UsageError
from eosin.experiment.validation import check_names
from eosin.metrics.catalogue import METRICS, PATIENT_METRICS
from eosin.papers import Recomputed, read_paper
from eosin.papers.schema import PAPERS
from eosin.recipe import read_recipe

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
WRITTEN = [
    name
    for name in PAPERS
    if Path(eosin.papers.__file__).with_name(f"{name.lower()}.toml").is_file()
]
#: What a cell can measure; the names of metrics and columns are compared with Eosin's.
PLAIN = {
    *("epochs", "best_epoch", "seconds", "seconds_to_best", "latency", "file_bytes"),
    *("params", "trainable", "frozen", "macs"),
    *("images", "train_images", "val_images", "test_images", "batches"),
}
PREFIX = re.compile(r"(val/|magnification:\d+/|class:[\w-]+/)*")
FORMS = (
    re.compile(r"confusion:[\w-]+:[\w-]+"),
    re.compile(r"history:(?P<column>\w+)@(best|last|max|min|first|mean:\d+|step:\d+|\d+)"),
    re.compile(r"layer:[\w.-]+"),
    re.compile(r"images(:[\w-]+){1,2}"),
    re.compile(r"patient/(?P<patient>\w+)"),
    re.compile(r"(?P<metric>\w+)"),
)

each = pytest.mark.parametrize("name", WRITTEN)


def is_quantity(text):
    """True if a quantity has a form of the table in `eosin.reproduction.quantities`."""
    if text in PLAIN:
        return True
    rest = text[PREFIX.match(text).end() :]
    for form in FORMS:
        if found := form.fullmatch(rest):
            names = found.groupdict()
            known = {
                "column": {*HISTORY_COLUMNS, "seconds"},
                "patient": PATIENT_METRICS,
                "metric": METRICS,
            }
            return all(names[group] in known[group] for group in names)
    return False


def data_variants(paper, recipe):
    """The overrides of the paper's own data, and of each data set in its place."""
    own = [one for one in paper.data if one.dataset == recipe.data.dataset]
    yield (), (), ()
    for place in (o for one in own for o in one.instead):
        yield (f"data.dataset={place.dataset}", *place.set), place.as_published, place.strict


def recipes_of(paper, experiment, *, reduced=False):
    """Each recipe of an experiment: both protocols, on each data set."""
    path = RECIPES / f"{experiment.recipe}.toml"
    extra = experiment.reduced if reduced else ()
    for which, own in enumerate((experiment.as_published, experiment.strict)):
        base = (*experiment.set, *own)
        for shared, *by_protocol in data_variants(paper, read_recipe(path, base)):
            yield read_recipe(path, (*base, *shared, *by_protocol[which], *extra))


def test_there_are_papers():
    assert WRITTEN


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
def test_a_trained_experiment_has_a_recipe_of_the_paper_s_data(name):
    paper = read_paper(name)
    datasets = {one.dataset for one in paper.data}
    for experiment in paper.experiments:
        if experiment.recipe:
            for recipe in recipes_of(paper, experiment):
                check_names(recipe)
            full = read_recipe(
                RECIPES / f"{experiment.recipe}.toml", (*experiment.set, *experiment.as_published)
            )
            assert full.data.dataset in datasets, experiment.name


@each
def test_its_reduced_form_is_accepted_under_both_protocols(name):
    paper = read_paper(name)
    for experiment in paper.experiments:
        if experiment.recipe:
            for recipe in recipes_of(paper, experiment, reduced=True):
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
    assert not {text for text in used if not is_quantity(text)}


@each
def test_the_same_value_is_printed_once_an_item(name):
    for item in read_paper(name).items:
        places = [(cell.row, cell.column) for cell in item.cells]
        assert len(set(places)) == len(places), item.id


@each
def test_a_recomputed_metric_is_in_the_catalogue(name):
    cells = [cell for item in read_paper(name).items for cell in item.cells]
    recomputed = [cell.recomputed for cell in cells if cell.recomputed]
    assert not {one.metric for one in recomputed if one.metric} - {*METRICS}
    for one in recomputed:
        size = len(one.confusion)
        assert all(len(row) == size for row in one.confusion)


@pytest.mark.parametrize(
    "text",
    ["accurracy", "history:losss@last", "history:loss@middle", "val/", "class:benign", "patient/auc"],
)
def test_a_quantity_of_another_form_is_found(text):
    assert not is_quantity(text)


@pytest.mark.parametrize(
    "text",
    [
        *("accuracy", "val/auc", "class:benign/precision", "magnification:200/accuracy"),
        *("magnification:40/confusion:benign:malignant", "patient/recognition_rate"),
        *("history:val_loss@min", "history:val_accuracy@15", "layer:conv1", "images:benign:200"),
    ],
)
def test_a_quantity_of_the_table_is_known(text):
    assert is_quantity(text)


def test_a_recomputed_value_has_one_form():
    with pytest.raises(ValueError, match="one of"):
        Recomputed(confusion=((1, 2), (3, 4)), ratio=(1.0, 2.0), metric="recall")
