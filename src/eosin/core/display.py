"""Display of results: a short line in Python, a small table in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from html import escape
from typing import Any

#: Rows of a table that a notebook shows.
_ROWS = 10


class Shown(ABC):
    """Mixin of a result that shows its main facts.

    A dataclass needs ``repr=False`` beside it.
    """

    @abstractmethod
    def summary(self) -> Mapping[str, object]:
        """Return the main facts by name; a pandas table is shown below the others, in notebooks."""

    def __repr__(self) -> str:
        facts = (f"{name}: {value}" for name, value in self._facts().items())
        return f"{type(self).__name__}({'; '.join(facts)})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(str(value))}</td></tr>"
            for name, value in self._facts().items()
        )
        values: Any = self.summary().values()
        tables = (one.head(_ROWS).to_html() for one in values if _is_table(one))
        title = f"<strong>{escape(type(self).__name__)}</strong>"
        return f"<div>{title}<table>{rows}</table>{''.join(tables)}</div>"

    def _facts(self) -> dict[str, object]:
        return {name: value for name, value in self.summary().items() if not _is_table(value)}


def _is_table(value: Any) -> bool:
    return hasattr(value, "to_html")
