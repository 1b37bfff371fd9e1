"""Configuration of the documentation's site: `make docs` builds it."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from generated import GENERATED  # noqa: E402 -- found through the line above

project = "Eosin"
copyright = "the Eosin authors, Apache-2.0"  # noqa: A001 -- Sphinx's name
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# `[text](page.md#a-heading)` is checked down to this level of heading.
myst_heading_anchors = 4
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
# No inventories of other projects are read: nothing here opens a socket.
nitpick_ignore_regex = [(r"py:.*", r".*")]

html_theme = "pydata_sphinx_theme"
html_title = "Eosin"
html_copy_source = False
html_show_sphinx = False
# All pages are in the side bar, under the captions of the index.
html_sidebars = {"**": ["globaltoc.html"]}
html_theme_options = {
    "navbar_center": [],
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}


def insert_generated(_app: object, page: str, source: list[str]) -> None:
    """Put the generated part of a page in the place of its mark."""
    for mark, make in GENERATED.items():
        place = f"<!-- generated: {mark} -->"
        if place in source[0]:
            source[0] = source[0].replace(place, make())


def setup(app: object) -> None:
    """Connect the generated parts of pages."""
    app.connect("source-read", insert_generated)  # type: ignore[attr-defined]
