"""Images on which compared runs disagree: which, and in which order."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from eosin.evaluation.comparison import ComparedModel
from eosin.metrics.predictions import Predictions
from eosin.runs.comparison import find_disagreements


def compared(chances):
    """Return a model whose images are all of class b, from the probabilities of b."""
    probabilities = np.array([(1 - chance, chance) for chance in chances])
    predictions = Predictions(
        probabilities=probabilities,
        targets=np.ones(len(chances), dtype=np.int64),
        predicted=probabilities.argmax(axis=1),
        groups=range(len(chances)),
        class_names=("a", "b"),
    )
    return ComparedModel("run", predictions, None)


def test_the_clearest_come_first_and_the_runs_that_are_right_take_turns():
    first = compared([0.9, 0.6, 0.8, 0.9, 0.2, 0.1])
    second = compared([0.1, 0.4, 0.3, 0.8, 0.7, 0.3])
    frame = pd.DataFrame({"path": list("012345"), "label": "b", "patient": ""})
    shared = SimpleNamespace(runs=[SimpleNamespace(class_names=("a", "b"))], frame=frame)
    n_found, found = find_disagreements(shared, [first, second])
    assert n_found == 4
    assert [one.path for one in found] == ["0", "4", "2", "1"]
    assert found[1].predicted == ["a", "b"]
