"""Registry of named parts for recipes: data sets, networks, augmentation policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from eosin.core.errors import UnknownNameError, close_matches

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping from names to parts that rejects duplicates and explains unknown names.

    Args:
        kind: Kind of the entries, for messages: ``"model"``, ``"data set"``.

    Attributes:
        kind: As given.
        entries: By name, in the order of registration.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
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
        if name not in self.entries:
            raise UnknownNameError(
                f"no {self.kind} is called {name!r}", hint=close_matches(name, self.entries)
            )
        return self.entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.entries))

    def __len__(self) -> int:
        return len(self.entries)
