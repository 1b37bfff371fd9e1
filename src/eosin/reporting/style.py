"""Style of all figures, and their rendering to PNG.

Colours: Okabe and Ito, "Color Universal Design" (2008), distinct for readers with any colour
vision. Each has a line style and a marker of its own, so that no meaning depends on colour alone.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from eosin.reporting.formatting import shorten
from eosin.reporting.outline import RenderedFigure

#: Okabe–Ito without yellow, which is too faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "++")
INK, MUTED, FAINT, GRID = "#1c1b22", "#5b5966", "#b9b6c0", "#e4e2e8"

#: Logical pixels per inch: a figure of 4.6 inches is 460 px wide on the page.
CSS_DPI = 100
#: Pixels per inch of the file: twice that, for sharp screens and print.
SCALE = 2

#: Fonts for scripts that DejaVu Sans lacks, if installed.
_FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Noto Sans Devanagari",
)

_STYLE: Any = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    # Class names are data: a dollar sign in one starts no formula.
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.4,
    "hatch.linewidth": 0.6,
    "hatch.color": "white",
    "figure.dpi": CSS_DPI,
    "savefig.dpi": CSS_DPI * SCALE,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.facecolor": "white",
    "path.simplify": True,
    # Text stays text, and the same figure has the same bytes.
    "svg.fonttype": "none",
    "svg.hashsalt": "eosin",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Use Eosin's matplotlib style inside the block; restore the settings after it."""
    installed = {font.name for font in fontManager.ttflist}
    families = ["DejaVu Sans", *(name for name in _FALLBACKS if name in installed)]
    with mpl.rc_context(), warnings.catch_warnings():
        # A script without a font shows boxes in the figure but is right in the table beside it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, "font.family": families})
        yield


@contextmanager
def drawing(width_in: float, height_in: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure with one panel, unknown to pyplot, and its panel, in Eosin's style."""
    with house_style():
        figure = make_figure(width_in, height_in)
        yield figure, figure.add_subplot()


def make_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure that is unknown to pyplot; its style is that of the moment."""
    figure = Figure(figsize=(width_in, height_in))
    FigureCanvasAgg(figure)
    return figure


def render_figure(figure: Figure, name: str, *, alt: str, caption: str) -> RenderedFigure:
    """Render a figure as PNG and SVG."""
    # Without matplotlib's version and the date in them, the same run gives the same bytes.
    png = _save(figure, "png", {"Software": None})
    svg = _save(figure, "svg", {"Creator": None, "Date": None})
    width, height = struct.unpack(">II", png[16:24])  # the PNG header's first two fields
    width_px, height_px = round(width / SCALE), round(height / SCALE)
    return RenderedFigure(name, png, alt, caption, width_px, height_px, svg)


def _save(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=metadata)
    return stream.getvalue()


def look(index: int) -> dict[str, Any]:
    """Return colour, line style and marker of the ``index``-th series."""
    n = len(COLOURS)
    return {
        "color": COLOURS[index % n],
        # Past the palette the pairing shifts, so that no two of 49 series look the same.
        "linestyle": LINES[(index + index // n) % n],
        "marker": MARKERS[index % n],
    }


def series_label(text: str, width: int = 26) -> str:
    """Shorten a name for a legend: one line, never hidden."""
    flat = shorten(" ".join(text.split()), width)
    # matplotlib leaves names with a leading underscore out of legends.
    return f"\u200b{flat}" if flat.startswith("_") else flat
