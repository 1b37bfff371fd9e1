"""Registration of a user's own networks, data sets, augmentation and metrics.

Each function registers under a name, which then works like the names of Eosin's own parts: in a
recipe, on the command line and on pages. A module that uses them is a plugin: import it, name it
with ``--plugin``, or declare it as an entry point of an installed package (``eosin.networks``,
``eosin.datasets``, ``eosin.policies``, ``eosin.metrics``). See docs/extending.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from eosin.augment import POLICIES, Policy
from eosin.augment.callables import as_function
from eosin.core.registry import NetworkSpec
from eosin.core.types import InputStyle
from eosin.data.sources.base import DataSetFacts, register
from eosin.metrics.catalogue import MetricDefinition, add_metric
from eosin.metrics.predictions import Predictions

_Any = TypeVar("_Any")
_Build = TypeVar("_Build", bound=Callable[..., Any])
_Collect = TypeVar("_Collect", bound=Callable[[Path, Mapping[str, Any]], Any])
_Measure = TypeVar("_Measure", bound=Callable[[Predictions], float])
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
    """
    if not stages or list(stages)[-1] != "head":
        raise ValueError(f"`stages` must end in 'head', got {list(stages)}")

    def add(build: _Build) -> _Build:
        from eosin.networks.registry import NETWORKS

        parameters = inspect.signature(build).parameters.values()
        own = {one.name: one.default for one in parameters if one.name not in _GIVEN}
        spec = NetworkSpec(
            name=name,
            paper=source,
            build=build,
            input_px=input_px,
            min_input_px=min_input_px,
            num_classes=2,
            preprocessing=preprocessing,
            arguments=own,
            stages=dict(stages),
        )
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
    """

    def add(collect: _Collect) -> _Collect:
        register(DataSetFacts(name, title, licence, citation, **facts), collect)
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
        bounds: Least and largest value; infinite ones give plain, symmetric intervals.
        higher_is_better: False for an error or a cost.

    Raises:
        ValueError: The name is taken.
    """

    def add(function: _Measure) -> _Measure:
        add_metric(
            MetricDefinition(
                name,
                label or name.replace("_", " ").capitalize(),
                function=function,
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
