"""What belongs together by way of others."""

from __future__ import annotations


class Components:
    """Numbers that are joined two by two (union–find with halved paths).

    Args:
        size: How many numbers, from 0.
    """

    def __init__(self, size: int) -> None:
        self._above = list(range(size))

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return len(self._above)

    def root(self, one: int) -> int:
        """Return the number that stands for all that ``one`` is joined with."""
        above = self._above
        while above[one] != one:
            above[one] = above[above[one]]
            one = above[one]
        return one

    def join(self, one: int, other: int) -> None:
        """Put two numbers, and all that they are joined with, together."""
        self._above[self.root(other)] = self.root(one)
