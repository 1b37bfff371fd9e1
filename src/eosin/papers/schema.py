"""Schema of a paper's file, ``p1.toml`` to ``p5.toml``, and its reader.

Everything printed in a paper is a text here, as printed, so that its number of decimals is kept.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from eosin.core.errors import UsageError, close_matches

#: The papers, in order.
PAPERS = ("P1", "P2", "P3", "P4", "P5")
#: A number of a unit, in the unit that Eosin computes in (a share, one, seconds, bytes).
UNITS = {
    "": 1.0,
    "%": 0.01,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "s": 1.0,
    "min": 60.0,
    "KB": 1e3,
    "MB": 1e6,
}
#: ``--set`` options, in order.
Overrides = tuple[str, ...]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]


class _Entry(BaseModel):
    """A frozen table of a paper's file; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Recomputed(_Entry):
    """A figure that follows from others that the paper prints; one of four forms.

    Attributes:
        confusion: The paper's counts, truth in rows; with ``metric``.
        metric: A metric of that matrix, by its name in the catalogue.
        positive: Row of the positive class.
        precision: With ``recall``: their F1, both in per cent.
        recall: See ``precision``.
        ratio: Dividend and divisor.
        sum: Summands.
    """

    confusion: tuple[tuple[int, ...], ...] = ()
    metric: str = ""
    positive: int = 1
    precision: float | None = None
    recall: float | None = None
    ratio: tuple[float, float] | None = None
    sum: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        forms = (
            bool(self.confusion and self.metric),
            self.precision is not None and self.recall is not None,
            self.ratio is not None,
            bool(self.sum),
        )
        if sum(forms) != 1:
            raise ValueError("one of confusion + metric, precision + recall, ratio, sum is needed")
        return self


class Cell(_Entry):
    """A printed value and what it is compared with.

    Attributes:
        row: Name of its row.
        column: Name of its column, empty for a table with one.
        printed: As printed, without its unit: ``"84.16"``; empty if the paper prints nothing.
        unit: A unit of :data:`UNITS`; empty for a plain number.
        experiment: The experiment that measures ours.
        quantity: What is measured, see :mod:`eosin.reproduction.quantities`.
        recomputed: The same from other figures that the paper prints.
        status: ``not described`` or ``not possible here``, where nothing can be measured.
        note: A sentence on this value.
    """

    row: str
    column: str = ""
    printed: str = ""
    unit: Literal["", "%", "k", "M", "G", "s", "min", "KB", "MB"] = ""
    experiment: str = ""
    quantity: str = ""
    recomputed: Recomputed | None = None
    status: Literal["", "not described", "not possible here"] = ""
    note: str = ""

    @model_validator(mode="after")
    def _check_quantity(self) -> Self:
        if bool(self.experiment) != bool(self.quantity):
            raise ValueError(f"{self.row}: `experiment` and `quantity` belong together")
        return self

    @property
    def value(self) -> float | None:
        """The printed number in Eosin's unit; None if nothing, or no number, is printed."""
        try:
            return float(self.printed.replace(",", "")) * UNITS[self.unit]
        except ValueError:
            return None

    @property
    def resolution(self) -> float:
        """One unit of the last printed digit, in Eosin's unit."""
        decimals = len(self.printed.partition(".")[2])
        return float(10**-decimals) * UNITS[self.unit]


class Item(_Entry):
    """A table or figure of the paper.

    Attributes:
        id: ``table-2``, ``figure-3.1``: the value of ``--only``.
        title: Its caption, in our words.
        place: Where it is printed, as "Table 2, section 3.2".
        draw: What is drawn of the runs: names in :mod:`eosin.reproduction.drawings`.
        experiments: The experiments that are drawn.
        cells: Printed values.
        note: What a reader must know of this item.
        status: As of a cell, where nothing of it can be rebuilt.
    """

    id: Identifier
    title: str
    place: str
    draw: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()
    note: str = ""
    status: Literal["", "not described", "not possible here"] = ""

    def needs(self) -> tuple[str, ...]:
        """Return the experiments that the item needs, each once."""
        found = (*self.experiments, *(cell.experiment for cell in self.cells if cell.experiment))
        return tuple(dict.fromkeys(found))


class Instead(_Entry):
    """Another data set in place of the paper's.

    Attributes:
        dataset: Registered data set.
        set: Overrides under both protocols, besides ``data.dataset`` and ``data.root``.
        as_published: Further overrides as published.
        strict: Further overrides under the strict protocol.
        note: What differs from the paper's data.
        stand_in: True if it is not the paper's task.
    """

    dataset: str
    set: Overrides = ()
    as_published: Overrides = ()
    strict: Overrides = ()
    note: str
    stand_in: bool = False


class DataSetOfPaper(_Entry):
    """A data set that the paper uses.

    Attributes:
        dataset: Registered data set.
        title: What it is, and what of it the paper uses.
        images: Number of images that the paper used; null if it does not say.
        instead: Data sets that may take its place, the best one first.
    """

    dataset: str
    title: str
    images: int | None = None
    instead: tuple[Instead, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Registered names of the data set and of those that may take its place."""
        return (self.dataset, *(one.dataset for one in self.instead))


class Experiment(_Entry):
    """A training that the paper describes.

    Attributes:
        name: Folder of its runs.
        title: Name on the page.
        recipe: Shipped recipe; its text is the strict protocol.
        set: Overrides under both protocols.
        as_published: Overrides for the published protocol.
        strict: Overrides for the strict one.
        reduced: Overrides of ``--reduced``, for two cores without a GPU.
        reduced_strict: Overrides of ``--reduced`` for the strict protocol alone.
        members: In place of a recipe: experiments whose mean of probabilities this is.
        images: Number of images that the paper trained and evaluated on, where it differs from the
            data set's.
        differs: What differs from the paper even at full size, by kind: ``data``, ``epochs``,
            ``weights`` or ``size``, with a sentence.
        unclear: True if the paper's description allows several readings: no verdict is given.
    """

    name: Identifier
    title: str
    recipe: str = ""
    set: Overrides = ()
    as_published: Overrides = ()
    strict: Overrides = ()
    reduced: Overrides = ()
    reduced_strict: Overrides = ()
    members: tuple[str, ...] = ()
    images: int | None = None
    differs: dict[Literal["data", "split", "epochs", "weights", "size"], str] = Field(
        default_factory=dict
    )
    unclear: bool = False

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        if bool(self.recipe) == bool(self.members):
            raise ValueError(f"{self.name}: either `recipe` or `members` is needed")
        return self


class Setting(_Entry):
    """A hyperparameter: as the paper prints it, and as a recipe has it.

    Attributes:
        name: In the field's words.
        printed: As printed; empty if the paper does not say.
        place: Where it is printed.
        key: The recipe's key; empty where no key corresponds.
        value: The recipe's value.
        recipes: Names of the recipes that have it; by default those of all experiments.
        reading: Why ours is this one, where the paper is silent or contradicts itself.
    """

    name: str
    printed: str = ""
    place: str = ""
    key: str = ""
    value: Any = None
    recipes: tuple[str, ...] = ()
    reading: str = ""

    @model_validator(mode="after")
    def _check_reading(self) -> Self:
        if not self.printed and not self.reading:
            raise ValueError(f"{self.name}: what is not printed needs a `reading`")
        return self


class Contradiction(_Entry):
    """A contradiction within the paper, or with its published code.

    Attributes:
        place: Where it is found.
        text: What contradicts what.
        resolution: What is taken, and why.
    """

    place: str
    text: str
    resolution: str


class Demand(_Entry):
    """A requirement that the paper sets, to be met or not.

    Attributes:
        name: The requirement, as "accuracy above 80 %".
        place: Where it is printed.
        experiment: The experiment that must meet it.
        quantity: What is measured.
        above: It must be above this.
        below: It must be below this.
        against: Experiments that it is measured against, the best of which counts; with
            ``less_by``.
        less_by: Share by which it must be less than theirs.
    """

    name: str
    place: str
    experiment: str
    quantity: str
    above: float | None = None
    below: float | None = None
    against: tuple[str, ...] = ()
    less_by: float | None = None


class Paper(_Entry):
    """One of the five papers.

    Attributes:
        id: ``P1`` to ``P5``.
        title: Title.
        reference: Authors, journal, year.
        summary: What it does, in two sentences.
        data: The data sets that it uses.
        experiments: What is trained.
        items: Its tables and figures, in order.
        settings: Its hyperparameters.
        contradictions: What contradicts what.
        undescribed: What it names without a description that one could implement.
        demands: Requirements, on P3's page alone.
    """

    id: Literal["P1", "P2", "P3", "P4", "P5"]
    title: str
    reference: str
    summary: str
    data: tuple[DataSetOfPaper, ...]
    experiments: Annotated[tuple[Experiment, ...], Field(alias="experiment")]
    items: Annotated[tuple[Item, ...], Field(alias="item")]
    settings: Annotated[tuple[Setting, ...], Field(alias="setting")]
    contradictions: Annotated[tuple[Contradiction, ...], Field(alias="contradiction")] = ()
    undescribed: tuple[str, ...] = ()
    demands: Annotated[tuple[Demand, ...], Field(alias="demand")] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        known = {one.name for one in self.experiments}
        used = {
            *(name for item in self.items for name in item.needs()),
            *(name for one in self.experiments for name in one.members),
            *(name for demand in self.demands for name in (demand.experiment, *demand.against)),
        }
        if unknown := sorted(used - known):
            raise ValueError(f"unknown experiment {', '.join(unknown)}")
        ids = [item.id for item in self.items]
        if len(set(ids)) < len(ids) or len(known) < len(self.experiments):
            raise ValueError("an item or an experiment is named twice")
        return self

    def experiment(self, name: str) -> Experiment:
        """Return the experiment of a name."""
        return next(one for one in self.experiments if one.name == name)


@cache
def read_paper(name: str) -> Paper:
    """Read a paper's file.

    Args:
        name: ``P1`` to ``P5``, in any case.

    Raises:
        UsageError: There is no such paper.
    """
    if name.upper() not in PAPERS:
        raise UsageError(f"unknown paper {name!r}", hint=close_matches(name, PAPERS))
    text = files("eosin.papers").joinpath(f"{name.lower()}.toml").read_text(encoding="utf-8")
    return Paper.model_validate(tomllib.loads(text))
