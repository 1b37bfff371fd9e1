"""Learning curves by epoch, of one run or several, and the cost of trainings."""

import numpy as np
import pytest
from tests.unit.reporting.test_significance import compared

from eosin.artifacts.comparison import LearningCurve
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import write_history
from eosin.core.files import write_text
from eosin.recipe import recipe_from_dict, recipe_to_toml
from eosin.reporting.sections.learning import learning_facts, learning_figures, training_table
from eosin.reporting.style import render_figure
from eosin.runs.comparison import learning_curves
from eosin.runs.finished import FinishedRun


def write_run(folder, losses, per_epoch=1, **train):
    """Write a recipe and a history with an evaluation per loss, one second each."""
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    values = {"name": "a", "data": {"dataset": "phantom"}, "model": {"name": "light_cnn"}}
    write_text(run.recipe, recipe_to_toml(recipe_from_dict({**values, "train": train})))
    rows = [
        {"step": 3 * n + 3, "epoch": n // per_epoch, "val_loss": loss, "seconds": n + 1.0}
        for n, loss in enumerate(losses)
    ]
    write_history(run.history, rows)
    return FinishedRun(folder)


@pytest.mark.parametrize(
    ("losses", "per_epoch", "train", "epochs", "kept"),
    [
        ([3, 1, 2], 1, {}, [1, 2, 3], 1),
        ([3, 1, 1, None], 2, {}, [0.5, 1, 1.5, 2], 1),  # the first of equals
        ([3, 1, 2], 1, {"monitor": "none"}, [1, 2, 3], 2),
        ([3, 1, 2], 9, {"evaluations_per_epoch": 9}, [1 / 3, 2 / 3, 1], 1),  # three steps an epoch
        ([1, 2, 3], 9, {"evaluations_per_epoch": 9, "patience": 2}, [1 / 9, 2 / 9, 3 / 9], 0),
    ],
)
def test_epochs_and_best_epoch_of_a_history(tmp_path, losses, per_epoch, train, epochs, kept):
    (curve,) = learning_curves(write_run(tmp_path / "a", losses, per_epoch, **train))
    assert curve.epochs == pytest.approx(epochs)
    assert curve.kept == kept
    assert curve.value("val_loss") == losses[kept]
    assert curve.value("seconds", at_kept=False) == len(losses)


def test_a_history_of_an_earlier_version_has_no_seconds(tmp_path):
    run = write_run(tmp_path / "a", [3, 1])
    lines = run.folder.history.read_text().splitlines()
    run.folder.history.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines))
    (curve,) = learning_curves(run)
    assert curve.value("seconds") is None
    assert not [name for name, _ in learning_facts([curve]) if "ime" in name]


def curve(values, per_epoch=1, kept=0):
    columns = {"accuracy": values, "val_accuracy": values, "seconds": list(range(len(values)))}
    return LearningCurve(evaluations_per_epoch=per_epoch, kept=kept, values=columns)


@pytest.fixture
def draw(on_entry):
    """A function that draws the accuracy of runs and returns the figure and what is shown."""

    def drawn(runs):
        figures = []
        with on_entry(render_figure, lambda given: figures.append(given["figure"])):
            (shown,) = learning_figures(runs, ("accuracy",))
        return figures[0], shown

    return drawn


def test_runs_of_other_batches_share_an_axis_of_epochs(draw):
    noisy = [float(n % 2) for n in range(40)]
    figure, shown = draw({"one": [curve([0.5, 0.7])], "twenty": [curve(noisy, per_epoch=20)]})
    (axes,) = figure.axes
    lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
    assert {line.get_xdata()[-1] for line in lines} == {2.0}
    # Five evaluations are averaged, and the ends of epochs marked.
    assert max(np.ptp(line.get_ydata()[5:]) for line in lines) == pytest.approx(0.2)
    marks = [line.get_xdata() for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert [mark[0] for mark in marks] == [1, 2]
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["one", "twenty", "Training", "Validation"]
    assert "one: training from 0.500 to 0.700" in shown.alt


@pytest.mark.parametrize(("rates", "n_drawn"), [([1e-3, 1e-3], 0), ([1e-3, 5e-4], 1)])
def test_a_learning_rate_is_drawn_where_it_varies(rates, n_drawn):
    curve = LearningCurve(evaluations_per_epoch=1, kept=0, values={"lr": rates})
    assert len(learning_figures({"": [curve]}, ("lr",))) == n_drawn


def test_the_mean_of_folds_ends_with_the_first_that_stops(draw):
    figure, _ = draw({"": [curve([0.2, 0.4]), curve([0.4, 0.6, 0.9])]})
    *thin, mean = [line.get_ydata() for line in figure.axes[0].lines][:3]
    assert [len(line) for line in thin] == [2, 3]
    np.testing.assert_allclose(mean, [0.3, 0.5])


def test_the_table_of_trainings_adds_up():
    comparison = compared(400, 4_000)
    first, second = comparison.runs
    cost = first.judged.model_copy(update={"trainable": 150})
    folds = [curve([0.5, 0.7, 0.6], kept=1), curve([0.5, 0.9], kept=1)]
    known = {"judged": cost, "learning": folds, "training_seconds": 90.0}
    runs = [first.model_copy(update=known), second]
    table = training_table(comparison.model_copy(update={"runs": runs}))
    (row,) = ([cell.text for cell in row] for row in table.rows)
    assert row == [
        "400", "0.800", "0.800", "2.5 (2 to 3)", "2", "400", "150", "250", "2.0 s", "1 min 30 s"
    ]  # fmt: skip
