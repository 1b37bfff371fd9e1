"""Pages and figures of a run, made from its folder alone."""

from eosin.reporting.pages import write_report
from eosin.reporting.protocols import protocols_figure, write_protocols_page

__all__ = ["protocols_figure", "write_protocols_page", "write_report"]
