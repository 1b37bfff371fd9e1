"""What a page says of stain normalisation."""

from __future__ import annotations

from eosin.artifacts.stain import SeparationReference, StainReference
from eosin.reporting.exploration import part_name
from eosin.reporting.formatting import listing, quantity
from eosin.reporting.tables import Table, text_table
from eosin.runs.finished import Run

_METHODS = {"macenko": "Macenko", "reinhard": "Reinhard", "vahadane": "Vahadane"}


def stain_fact(reference: StainReference | None) -> str:
    """Write what stain is normalised to, in a sentence; empty without normalisation."""
    if reference is None:
        return ""
    of = f"{_METHODS[reference.method]}: each {reference.unit}'s own stain is brought to that of "
    source = reference.fitted_on
    if source == "the training part":
        units = (
            "" if reference.unit == "tile" else f" of {quantity(reference.n_units, reference.unit)}"
        )
        source += f" (median of {quantity(reference.n_images, 'image')}{units})"
    return of + source + "; " + _numbers(reference)


def _numbers(reference: StainReference) -> str:
    if isinstance(reference, SeparationReference):
        stains = zip(("haematoxylin", "eosin"), reference.stain_matrix, strict=True)
        return listing([f"{name} ({_triple(vector)})" for name, vector in stains])
    return f"L*a*b* {_triple(reference.lab_mean)} ± {_triple(reference.lab_std)}"


def _triple(values: tuple[float, float, float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def stain_table(run: Run) -> Table | None:
    """Build the table of images whose stain could not be normalised; nothing where all could."""
    if run.stain is None or not run.stain.unchanged:
        return None
    rows = [
        (part_name(name), part.n_images, sum(part.unchanged.values()), _reasons(part.unchanged))
        for name, part in run.stain.parts.items()
    ]
    return text_table(
        "Images whose stain could not be normalised: the network sees them as they are.",
        ("Part", "Images", "Unchanged", "Why"),
        rows,
        texts=(0, 3),
    )


def _reasons(unchanged: dict[str, int]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in unchanged.items()) or "–"
