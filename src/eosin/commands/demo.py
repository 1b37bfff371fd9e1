"""Command ``demo``: a full experiment on simulated patches, under both protocols."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from eosin.artifacts.layout import AS_PUBLISHED, OUT_OF_FOLD, STRICT
from eosin.commands.train import RunResult, train
from eosin.core.display import Shown
from eosin.core.files import prepare_output
from eosin.experiment.backends import find_backend
from eosin.experiment.environment import default_output
from eosin.recipe import Recipe, recipe_from_dict
from eosin.reporting import write_protocols_page
from eosin.reporting.terminal import split_facts

_LOG = logging.getLogger(__name__)

_RECIPE = {
    "name": "demo",
    "description": "The light CNN (P3) on simulated patches: one model, two splits.",
    "seed": 0,
    "data": {
        "dataset": "phantom",
        # With these the interval of the difference excludes 0 for at least 18 of 20 seeds:
        # python -m benchmarks.demo_seeds
        "options": {
            "patients": 60,
            "images_per_patient": 36,
            "size_px": 96,
            "fingerprint": 1.5,
        },
    },
    "augment": {"policy": "dihedral"},
    "model": {"name": "light_cnn", "input_px": 96, "preprocessing": "unit"},
    "train": {
        "epochs": 12,
        "batch_size": 32,
        "lr": 1e-3,
        "monitor": "val_loss",
        "class_weights": "balanced",
    },
}


@dataclass(frozen=True, repr=False)
class DemoResult(Shown):
    """Result of ``demo``.

    Attributes:
        page: Page that compares the two protocols.
        strict: Run with a split by patient.
        as_published: Run with a split by image.
    """

    page: Path
    strict: RunResult
    as_published: RunResult

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        runs = {STRICT: self.strict, AS_PUBLISHED: self.as_published}
        shown = {name: split_facts(run.metrics)[OUT_OF_FOLD] for name, run in runs.items()}
        return {"page": self.page, **shown}


def demo_recipe(by: str, images: Path) -> Recipe:
    """Return the demonstration's recipe, split by ``group`` or by ``image``, on simulated images.

    Two folds: each image is predicted once under either split, so that all patients are compared.
    """
    split = {"protocol": "folds", "k": 2, "val": 0.2, "by": by}
    return recipe_from_dict(
        {
            **_RECIPE,
            "name": f"demo-by-{by}",
            "data": {**_RECIPE["data"], "root": str(images), "split": split},  # type: ignore[dict-item]
        },
        source="the demonstration",
    )


def demo(output: Path | str | None = None) -> DemoResult:
    """Simulate, audit, train, evaluate and report, split by patient and split by image.

    Args:
        output: Output folder; ``runs/demo-<UTC time>`` by default.

    Raises:
        EosinError: The folder cannot be written, or the training extra is missing.
    """
    folder = Path(output or default_output("demo"))
    images = folder / "images"
    find_backend(demo_recipe("group", images).model)  # before a folder is made
    prepare_output(folder)
    results = {}
    _LOG.info("Simulated patches, not real tissue: the figures have no clinical meaning")
    for name, by in ((STRICT, "group"), (AS_PUBLISHED, "image")):
        rule = "no patient in more than one subset" if name == STRICT else "by image"
        _LOG.info(f"--- {name} split: {rule}")
        results[name] = train(demo_recipe(by, images), output=folder / name)
    page = write_protocols_page(folder)
    return DemoResult(page, results[STRICT], results[AS_PUBLISHED])
