"""A finished run as tables and figures, read from its folder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts.metrics import MetricBlock, SplitMetrics
from eosin.artifacts.model import ModelInfo
from eosin.commands.load import Model
from eosin.core.display import Shown
from eosin.core.errors import ArtifactError
from eosin.metrics import roc_curve
from eosin.recipe import Recipe
from eosin.reporting.formatting import metric_label, metric_text
from eosin.reporting.sections.curves import scores_of
from eosin.reporting.terminal import split_facts
from eosin.runs.finished import FinishedRun, read_run


class Run(Shown):
    """A finished run, or the result of an evaluation.

    Args:
        folder: Its folder.

    Raises:
        ArtifactError: The folder is missing, unfinished, damaged or of a newer format.
    """

    def __init__(self, folder: Path | str) -> None:
        self._run: FinishedRun = read_run(Path(folder))

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self._run.root

    @property
    def recipe(self) -> Recipe | None:
        """The resolved recipe; None for an evaluation."""
        return self._run.recipe

    @property
    def info(self) -> ModelInfo | None:
        """Contents of ``model.json``; None for an evaluation."""
        return self._run.model

    @cached_property
    def model(self) -> Model:
        """The run's model, opened when it is first used; see :func:`eosin.load`."""
        return Model(self.folder)

    @cached_property
    def metrics(self) -> Any:
        """Every metric with its 95 % interval, a pandas table.

        Its index is the split, what was measured (``image``, ``at_threshold``, ``patient``, and
        parts such as ``class tumour``, ``magnification 200``, ``site A``) and the metric:
        ``run.metrics.loc["test", "image"]`` is a table, ``.loc[("test", "image", "auc"), "value"]``
        a number. Columns are ``value``, ``low``, ``high`` and ``reason``.
        """
        rows = [
            (split, part, name, one.value, one.low, one.high, one.reason or "")
            for split, measured in self._run.metrics.items()
            for part, block in _blocks(measured)
            for name, one in block.items()
        ]
        columns = ["split", "part", "metric", "value", "low", "high", "reason"]
        numbers = dict.fromkeys(["value", "low", "high"], float)
        table = pd.DataFrame(rows, columns=columns).astype(numbers)
        # Sorted, as pandas wants it for a look-up.
        return table.set_index(columns[:3]).sort_index()

    @property
    def predictions(self) -> Any:
        """The predictions of the evaluated images, a pandas table; None without any.

        Columns are ``path``, ``label``, ``patient``, ``group``, ``prob_<class>``, ``predicted`` and
        others of ``predictions.csv``.
        """
        return self._run.predictions

    @property
    def history(self) -> Any:
        """The training history, a pandas table, one row per evaluation; None without one."""
        return self._run.history

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """``(path, reason)`` of images that could not be read."""
        return [(one.path, one.reason) for one in self._run.skipped]

    @property
    def report(self) -> Path:
        """The run's HTML page.

        Raises:
            ArtifactError: It was deleted.
        """
        page = self._run.folder.report
        if not page.exists():
            again = f"Write it again: eosin.report({str(self.folder)!r})"
            raise ArtifactError(f"{page} does not exist", hint=again)
        return page

    def plot_roc(self, axes: Any = None) -> Any:
        """Draw the ROC curve of the positive class, or of each class.

        Args:
            axes: Matplotlib's axes to draw into; new ones by default.

        Returns:
            The axes.

        Raises:
            ArtifactError: The run has no predictions.
        """
        from matplotlib import pyplot

        scores = scores_of(self._run)
        if scores is None:
            raise ArtifactError(f"{self.folder} has no predictions to draw")
        if axes is None:
            _, axes = pyplot.subplots()
        measured = self._run.evaluated
        for index in filter(scores.is_mixed, scores.evaluated_classes):
            curve = roc_curve(*scores.ranking(index))
            name = scores.class_names[index]
            area = measured.by_class.get(name, measured.image).get("auc")
            text = f"{name}: {metric_label('auc', short=True)} {metric_text(area)}"
            axes.plot(curve.x, curve.y, label=text)
        axes.plot((0, 1), (0, 1), color="0.7", linestyle=":")
        axes.set(xlabel="1 − specificity", ylabel="Recall (sensitivity)", aspect="equal")
        axes.set_title(f"ROC curve, {self._run.split}")
        axes.legend(loc="lower right")
        return axes

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        return {"folder": self.folder, **split_facts(self._run.metrics)}


def load_run(folder: Path | str) -> Run:
    """Open the folder of a finished run or of an evaluation; errors as for :class:`Run`."""
    return Run(folder)


def _blocks(measured: SplitMetrics) -> Iterator[tuple[str, MetricBlock]]:
    """Yield every block of metrics by the name of what it was measured on."""
    yield "image", measured.image
    yield "at_threshold", measured.at_threshold
    yield "patient", measured.patient
    parts = {
        "class": measured.by_class,
        "magnification": measured.metrics_by_magnification,
        "site": measured.by_site,
        "subtype": measured.by_subtype,
    }
    for kind, blocks in parts.items():
        yield from ((f"{kind} {name}", block) for name, block in blocks.items())
