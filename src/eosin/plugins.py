"""Registration of a user's own networks, data sets, augmentation and metrics.

Each function registers under a name, which then works like the names of Eosin's own parts: in a
recipe, on the command line and on pages. A module that uses them is a plugin: import it, name it
with ``--plugin``, or declare it as an entry point of an installed package (``eosin.networks``,
``eosin.datasets``, ``eosin.policies``, ``eosin.metrics``). See docs/extending.md.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from eosin.augment import POLICIES, Policy
from eosin.augment.callables import as_function
from eosin.core.errors import DataError, EosinError, UsageError, close_matches
from eosin.core.plugins import describe_error
from eosin.core.registry import NetworkSpec
from eosin.core.types import InputStyle
from eosin.data.sources.base import DATASETS, DataSetFacts, register
from eosin.metrics.catalogue import METRICS, MetricDefinition, add_metric
from eosin.metrics.predictions import Predictions

_Any = TypeVar("_Any")
_Build = TypeVar("_Build", bound=Callable[..., Any])
_Collect = TypeVar("_Collect", bound=Callable[[Path, Mapping[str, Any]], Any])
_Measure = TypeVar("_Measure", bound=Callable[[Predictions], float])
#: Module and name of what was registered, by table of entries and name.
_origins: dict[tuple[int, str], tuple[Any, str]] = {}
#: Arguments that Eosin gives to every network.
_GIVEN = ("num_classes", "input_px", "in_channels")


def network(
    name: str,
    *,
    stages: Mapping[str, str],
    input_px: int = 224,
    min_input_px: int = 8,
    preprocessing: InputStyle = "unit",
    source: str = "own",
) -> Callable[[_Build], _Build]:
    """Register a network: a class or function that returns a ``torch.nn.Module``.

    It is called with ``num_classes``, ``input_px`` and ``in_channels``, and maps images (B, C, H,
    W) to logits (B, K). Further arguments, which need a default, are ``model.arguments`` in a
    recipe.

    Args:
        name: As in a recipe's ``model.name``.
        stages: Name → path of the stage's first module, from input to output. The last is ``head``,
            a module whose output is the network's; ``{"head": "classifier"}`` is enough.
        input_px: Usual height and width of the input.
        min_input_px: Smallest input that leaves a pixel.
        preprocessing: Usual style, see ``model.preprocessing`` of a recipe.
        source: Where it is from, for ``eosin models``.

    Raises:
        ValueError: The name is taken, or ``stages`` does not end in ``head``.
        TypeError: It does not take the three arguments, or needs further ones.
    """
    if not stages or list(stages)[-1] != "head":
        raise ValueError(f"`stages` must end in 'head', got {list(stages)}")

    def add(build: _Build) -> _Build:
        from eosin.networks.own import check_network
        from eosin.networks.registry import NETWORKS

        needs = "num_classes, input_px and in_channels, others with a default only"
        _check_call(build, f"the network {name!r} must take {needs}", **dict.fromkeys(_GIVEN))
        parameters = inspect.signature(build).parameters.values()
        own = {
            one.name: one.default
            for one in parameters
            if one.name not in _GIVEN and one.default is not one.empty
        }

        def build_checked(
            *, num_classes: int, input_px: int, in_channels: int = 3, **arguments: Any
        ) -> Any:
            given = {"num_classes": num_classes, "input_px": input_px, "in_channels": in_channels}
            with _explained(f"the network {name!r} cannot be built", UsageError):
                network = build(**given, **arguments)
            return check_network(network, name, stages, **given)

        spec = NetworkSpec(
            name=name,
            paper=source,
            build=build_checked,
            input_px=input_px,
            min_input_px=min_input_px,
            num_classes=2,
            preprocessing=preprocessing,
            arguments=own,
            stages=dict(stages),
        )
        _forget_earlier(NETWORKS.entries, name, build)
        NETWORKS.add(name, spec)
        return build

    return add


def dataset(
    name: str, *, title: str, licence: str, citation: str, **facts: Any
) -> Callable[[_Collect], _Collect]:
    """Register a data set: a function from its folder and its options to a pandas table.

    The table has ``path``, relative to the folder, ``label`` and, where known, ``patient`` and
    other columns of a manifest. ``options`` are ``data.options`` of a recipe.

    Args:
        name: As in a recipe's ``data.dataset``; its folder is ``data.root``, by default
            ``$EOSIN_DATA/NAME``.
        title: For the report.
        licence: For the report and the model.
        citation: For the report.
        **facts: Further attributes of :class:`~eosin.data.sources.base.DataSetFacts`, such as
            ``positive``, ``modality`` and ``mpp``.

    Raises:
        ValueError: The name is taken.
        TypeError: There is no such fact, or the function does not take the two arguments.
    """
    known = [one.name for one in fields(DataSetFacts)]
    for key in facts:
        if key not in known:
            raise TypeError(f"a data set has no fact {key!r}. {close_matches(key, known)}".rstrip())

    def add(collect: _Collect) -> _Collect:
        what = f"the data set {name!r} must take two arguments, its folder and its options"
        _check_call(collect, what, Path(), {})

        def collect_checked(folder: Path, options: Mapping[str, Any]) -> Any:
            with _explained(f"the data set {name!r} cannot be listed", DataError):
                table = collect(folder, options)
            return _check_table(table, name)

        _forget_earlier(DATASETS.entries, name, collect)
        register(DataSetFacts(name, title, licence, citation, **facts), collect_checked)
        return collect

    return add


def policy(name: str, *, source: str = "own") -> Callable[[_Any], _Any]:
    """Register an augmentation: a function, or a transform of torchvision or Albumentations.

    A function takes an image, ``uint8`` of shape (H, W, C), and optionally a second argument, a
    NumPy generator; it returns an image of the same shape and type. Whatever it draws (from the
    generator, from ``random``, NumPy's or torch's global state) depends on the run's seed, the
    epoch and the image alone, so that trainings can be repeated and resumed.

    Args:
        name: As in a recipe's ``augment.policy``.
        source: For the report.

    Raises:
        ValueError: The name is taken.
    """

    def add(transform: _Any) -> _Any:
        _forget_earlier(POLICIES.entries, name, transform)
        POLICIES.add(name, Policy(source=source, function=as_function(transform, name)))
        return transform

    return add


def metric(
    name: str,
    *,
    label: str = "",
    bounds: tuple[float, float] = (0.0, 1.0),
    higher_is_better: bool = True,
) -> Callable[[_Measure], _Measure]:
    """Register a metric: a function from predictions to a number.

    It receives :class:`eosin.metrics.Predictions` (``targets``, ``predicted``, ``probabilities``,
    ``positive``, ``class_names``) and is called for the data and for every resample of its groups,
    some thousand times for each block of ``metrics.json``. NaN, or a ``ValueError``, means that it
    is undefined there.

    Args:
        name: Key in ``metrics.json`` and for ``eosin compare --metric``.
        label: Name on pages.
        bounds: Least and largest value, beyond which a value is an error; infinite ones give plain,
            symmetric intervals.
        higher_is_better: False for an error or a cost, which does not rank runs.

    Raises:
        ValueError: The name is taken.
        TypeError: The function does not take one argument.
    """
    label = label or name.replace("_", " ").capitalize()

    def add(function: _Measure) -> _Measure:
        _check_call(function, f"the metric {name!r} must take one argument, the predictions", None)
        _forget_earlier(METRICS, name, function)
        add_metric(
            MetricDefinition(
                name,
                label if higher_is_better else f"{label} (lower is better)",
                function=function,
                short=label,
                per_class=False,
                higher_is_better=higher_is_better,
                least=bounds[0],
                most=bounds[1],
                most_of_class=bounds[1],
                support="all",
                needs=(),
                is_logit=all(abs(end) < float("inf") for end in bounds),
            )
        )
        return function

    return add


def _check_call(function: Any, what: str, *values: Any, **given: Any) -> None:
    """Raise ``TypeError`` if a function cannot be called with such arguments."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # of a compiled function
        return
    try:
        signature.bind(*values, **given)
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from None


def _forget_earlier(entries: MutableMapping[str, Any], name: str, part: Any) -> None:
    """Remove what the same cell of a notebook registered before, so that it can run again."""
    origin = (
        sys._getframe(2).f_globals.get("__name__"),
        getattr(part, "__qualname__", type(part).__qualname__),
    )
    if _origins.get((id(entries), name)) == origin:
        entries.pop(name, None)
    if name not in entries:
        _origins[id(entries), name] = origin


@contextmanager
def _explained(what: str, kind: type[EosinError]) -> Iterator[None]:
    """Turn an error of a user's own code into one line; errors of Eosin and of files pass."""
    try:
        yield
    except (EosinError, OSError, MemoryError):
        raise
    except Exception as error:
        raise kind(f"{what}: {describe_error(error)}") from error


def _check_table(table: Any, name: str) -> Any:
    if not hasattr(table, "columns"):
        raise DataError(
            f"the data set {name!r} must return a pandas table, got {type(table).__name__}"
        )
    for column in ("path", "label"):
        if column not in table:
            found = ", ".join(map(str, table.columns))
            raise DataError(f"the data set {name!r} has no column {column!r}. Found: {found}")
    return table
