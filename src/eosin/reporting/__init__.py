"""Pages, figures and terminal output of runs, made from a run folder alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eosin.reporting.pages import (
        protocols_figure,
        write_card,
        write_comparison_page,
        write_protocols_page,
        write_report,
    )

__all__ = [
    "protocols_figure",
    "write_card",
    "write_comparison_page",
    "write_protocols_page",
    "write_report",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: importing matplotlib writes a font list to the user's cache folder, and
    # a verb that draws nothing must leave that folder alone.
    if name in __all__:
        return getattr(import_module("eosin.reporting.pages"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
