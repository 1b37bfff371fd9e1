"""What predictions refuse, and what they count."""

import numpy as np
import pytest

from eosin.core.errors import DataError
from eosin.metrics.predictions import Predictions

TABLE = np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])
GIVEN = {
    "probabilities": TABLE,
    "targets": np.array([0, 1, 1]),
    "predicted": np.array([0, 1, 0]),
    "groups": ["a", "b", "a"],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"probabilities": TABLE[:, 0]}, "got \\(3,\\)"),
        ({"probabilities": TABLE[:, :1]}, "2 or more classes"),
        ({"probabilities": np.full((3, 2), np.nan)}, "finite"),
        ({"probabilities": TABLE * [2, 1] - [0.7, 0]}, "must be between 0 and 1, got -0.3"),
        ({"probabilities": TABLE * 0.9}, "must sum to 1, got 0.9 in row 0"),
        ({"targets": np.array([0, 1])}, "`targets` must have one entry per row"),
        ({"targets": np.array([0, 1, 2])}, "`targets` must be 0 to 1"),
        ({"predicted": np.array([0, -1, 1])}, "`predicted` must be 0 to 1"),
        ({"groups": ["a"]}, "`groups` must have one entry per row"),
        ({"positive": 2}, "`positive` must be 0 or 1"),
        ({"class_names": ("one",)}, "`class_names` must name 2 classes, got 1"),
    ],
)
def test_refusals(change, said):
    with pytest.raises(DataError, match=said) as caught:
        Predictions(**(GIVEN | change))
    assert "\n" not in str(caught.value)


def test_positive_needs_two_classes():
    with pytest.raises(DataError, match="two classes, got 1 of 3"):
        Predictions(np.full((1, 3), 1 / 3), [0], [0], ["a"], positive=1)


def test_groups_are_numbered_as_they_appear():
    given = Predictions(**GIVEN)
    assert given.group_codes.tolist() == [0, 1, 0]
    assert given.n_groups == 2
    assert given.class_in_group.tolist() == [[True, True], [False, True]]
    pairs = Predictions(**(GIVEN | {"groups": [("site", 1), ("site", 2), ("site", 1)]}))
    assert pairs.group_codes.tolist() == [0, 1, 0]


def test_rounding_of_float32_is_forgiven():
    table = np.array([[1.0000001, -1e-8], [0.3, 0.70001], [0.5, 0.5]])
    assert Predictions(**(GIVEN | {"probabilities": table})).probabilities.max() == 1.0
