"""Pages, figures and terminal output of runs, made from a run folder alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eosin.reporting.card import write_card
    from eosin.reporting.pages import write_report
    from eosin.reporting.protocols import protocols_figure, write_protocols_page

__all__ = ["protocols_figure", "write_card", "write_protocols_page", "write_report"]

# Loaded on first use: importing matplotlib writes a font list to the user's cache folder, and a
# verb that draws nothing must leave that folder alone.
_MODULES = {
    "protocols_figure": "eosin.reporting.protocols",
    "write_protocols_page": "eosin.reporting.protocols",
    "write_card": "eosin.reporting.card",
    "write_report": "eosin.reporting.pages",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
