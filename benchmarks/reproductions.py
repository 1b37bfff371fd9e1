"""Makes ``docs/reproductions`` from folders of ``eosin reproduce``; no figure in it is typed.

``python -m benchmarks.reproductions collect DIR`` copies the document and the figures of a finished
reproduction into ``docs/reproductions/<paper>`` and writes the paper's page.
``python -m benchmarks.reproductions render`` writes all pages again from there; a test compares.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from PIL import Image

from eosin.artifacts.reproduction import Reproduction, ReproductionFolder
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.files import write_text
from eosin.papers import read_paper
from eosin.reporting.outline import RenderedFigure
from eosin.reporting.rendering import section_to_markdown
from eosin.reproduction.page import reproduction_page

STORE = Path(__file__).parents[1] / "docs" / "reproductions"


def collect(folder: Path) -> Path:
    """Copy a finished reproduction into the documentation; return its page."""
    made = ReproductionFolder(folder)
    found = read_document(made.document, Reproduction)
    target = ReproductionFolder(STORE / found.paper.lower())
    shutil.rmtree(target.root, ignore_errors=True)
    target.figures.mkdir(parents=True)
    for figure in found.figures:
        _copy_figure(made.figures / f"{figure.file}.png", target.figures / f"{figure.file}.png")
    # Run folders stay where they were made.
    runs = [run.model_copy(update={"folder": ""}) for run in found.runs]
    write_document(target.document, found.model_copy(update={"runs": runs}))
    return render(target)


def _copy_figure(source: Path, copy: Path) -> None:
    """Copy a figure at the size of a page, with a palette: a sixth of the bytes."""
    with Image.open(source) as image:
        half = image.convert("RGB").resize((image.width // 2, image.height // 2), Image.LANCZOS)
        half.quantize(128).save(copy, optimize=True)


def render(target: ReproductionFolder) -> Path:
    """Write a paper's page from its document; return the page."""
    page = target.root.parent / f"{target.root.name.upper()}.md"
    write_text(page, markdown(target))
    return page


def markdown(target: ReproductionFolder) -> str:
    """Return a paper's page as Markdown."""
    found = read_document(target.document, Reproduction)
    drawn = {
        item: (
            [
                RenderedFigure(f.file, b"", f.alt, f.caption, 0, 0)
                for f in found.figures
                if f.item == item
            ],
            (),
        )
        for item in found.items
    }
    page = reproduction_page(read_paper(found.paper), found, drawn)
    option = f" --{found.size}" if found.size != "full" else ""
    command = f"eosin reproduce {found.paper} --data ROOT{option} -o DIR"
    lines = [f"# {page.name}", page.verdict]
    lines += [f"Made by `{command}` and `python -m benchmarks.reproductions collect DIR`."]
    for _, section in page.entries():
        lines += section_to_markdown(section, lambda f: f"{target.root.name}/figures/{f.name}.png")
    return "\n\n".join(lines) + "\n"


def documents() -> list[ReproductionFolder]:
    """Return the reproductions in the documentation."""
    return [ReproductionFolder(path.parent) for path in sorted(STORE.glob("*/reproduction.json"))]


def main() -> None:
    """Collect one folder, or render all pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("collect").add_argument("folder", type=Path)
    commands.add_parser("render")
    arguments = parser.parse_args()
    if arguments.command == "collect":
        print(collect(arguments.folder))
    else:
        for target in documents():
            print(render(target))


if __name__ == "__main__":
    main()
