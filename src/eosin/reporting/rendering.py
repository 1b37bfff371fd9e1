"""From templates and figures to files."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from eosin.artifacts.model import RESEARCH_USE_ONLY
from eosin.core.files import write_bytes, write_text
from eosin.reporting.figures.style import Picture
from eosin.reporting.formatting import breakable
from eosin.reporting.tiles import data_uri

#: What stands above every number that was measured on simulated images.
SIMULATED = (
    "Simulated data. These images were computed, not taken from patients: the numbers show that"
    " the software works and say nothing about any disease."
)


def render(template: str, **context: Any) -> str:
    """Fill a template; every value is escaped, since class names and paths are user input."""
    environment = Environment(
        loader=PackageLoader("eosin.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["research_use_only"] = RESEARCH_USE_ONLY
    environment.globals["simulated_data"] = SIMULATED
    environment.filters["breakable"] = breakable
    environment.filters["figure_uri"] = lambda picture: data_uri(picture.png, "png")
    css = resources.files("eosin.reporting").joinpath("templates/style.css")
    # The style sheet is this package's own text, the one thing that must not be escaped.
    style = Markup(css.read_text(encoding="utf-8"))  # noqa: S704
    return environment.get_template(template).render(style=style, **context)


def write_page(path: Path, html: str) -> Path:
    """Write a page, whole or not at all."""
    write_text(path, html)
    return path


def write_figures(folder: Path, pictures: list[Picture]) -> None:
    """Write each figure as ``<name>.png``, whole or not at all."""
    for picture in pictures:
        write_bytes(folder / f"{picture.name}.png", picture.png)
