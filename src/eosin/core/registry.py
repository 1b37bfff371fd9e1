"""Registry of named parts for recipes: data sets, networks, augmentation policies.

A network's entry does not depend on the library that builds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eosin.core.errors import RecipeError, UnknownNameError, close_matches
from eosin.core.plugins import load_entry_points
from eosin.core.types import InputStyle

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping from names to parts that rejects duplicates and explains unknown names.

    Args:
        kind: Kind of the entries, for messages: ``"model"``, ``"data set"``.
        group: Entry points of installed packages that register further ones.
    """

    def __init__(self, kind: str, group: str = "") -> None:
        self.kind = kind
        self._group = group
        self.entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register ``entry`` under ``name``; raises ``ValueError`` if the name is taken."""
        if name in self.entries:
            raise ValueError(f"the {self.kind} {name!r} is registered twice")
        self.entries[name] = entry
        return entry

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its object under ``name``."""
        return lambda entry: self.add(name, entry)

    def get(self, name: str) -> T:
        """Return the entry of a name; raises ``UnknownNameError`` with close matches."""
        if name not in self:
            hint = close_matches(name, self.entries)
            if self._group:
                hint += " " if hint.endswith("?") else ". " if hint else ""
                hint += "If it is your own, name its plugin: --plugin MODULE"
            raise UnknownNameError(f"unknown {self.kind} {name!r}", hint=hint)
        return self.entries[name]

    def __contains__(self, name: object) -> bool:
        if name not in self.entries:
            self._load()
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self.entries))

    def __len__(self) -> int:
        self._load()
        return len(self.entries)

    def _load(self) -> None:
        if self._group:
            load_entry_points(self._group)


@dataclass(frozen=True)
class NetworkSpec:
    """A registered network.

    Attributes:
        paper: Source, e.g. ``"P1"``, with a short reference.
        build: ``build(num_classes=…, input_px=…, in_channels=…, **arguments)`` → a network from
            images to logits (B, K).
        input_px: The paper's input height and width.
        min_input_px: The smallest input that leaves a pixel after all strides.
        num_classes: The paper's number of classes, for which ``params`` is counted.
        preprocessing: The paper's style of preprocessing.
        stages: Name → path of the stage's first module, from input to output; a stage ends where
            the next begins, in the order of definition. The last is ``head``, one module, whose
            output is the network's.
        in_channels: The paper's number of input channels, for which ``params`` is counted.
        hub: Name of the ImageNet weights on timm's hub; None if there are none.
        added: Parts of the names of tensors that this network has in addition to the network
            under ``hub``; weights without any of them still count as complete.
        offline_weights: True if pretrained weights need no network access.
        is_fixed: True if it takes images of ``input_px`` only.
        licence: Of the weights under ``hub``; None if not stated.
    """

    name: str
    paper: str
    build: Callable[..., Any]
    input_px: int
    min_input_px: int
    num_classes: int
    preprocessing: InputStyle
    arguments: Mapping[str, Any]
    stages: Mapping[str, str]
    in_channels: int = 3
    hub: str | None = None
    added: tuple[str, ...] = ()
    offline_weights: bool = False
    is_fixed: bool = False
    licence: str | None = None


def check_arguments(spec: NetworkSpec, input_px: int, arguments: Mapping[str, Any]) -> None:
    """Check that the network accepts the arguments and the size; the error names the wrong one."""
    for key in arguments:
        if key not in spec.arguments:
            raise RecipeError(
                f"'model.arguments.{key}': {spec.name} has no such argument",
                hint=close_matches(key, spec.arguments),
            )
    if spec.is_fixed and input_px != spec.input_px:
        raise RecipeError(
            f"'model.input_px': {spec.name} takes {spec.input_px} pixels only, got {input_px}"
        )
    if input_px < spec.min_input_px:
        raise RecipeError(
            f"'model.input_px': {spec.name} needs at least {spec.min_input_px} pixels, "
            f"got {input_px}"
        )


def check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Check that an argument of a network is one of the known; raises ``RecipeError``."""
    if value not in known:
        shown = ", ".join(map(repr, known))
        raise RecipeError(f"'model.arguments.{name}' must be one of {shown}, got {value!r}")


def check_rate(name: str, value: Any) -> None:
    """Check that a dropout rate is at least 0 and below 1; raises ``RecipeError``."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 <= value < 1):
        raise RecipeError(f"'model.arguments.{name}' must be at least 0 and below 1, got {value!r}")
