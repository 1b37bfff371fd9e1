import numpy as np
import pytest
from tests.unit.inference.test_gate import RGB, SIDE, draw

from eosin.artifacts.gate import Gate
from eosin.artifacts.model import Embedding
from eosin.evaluation.gate import choose_rows, find_passed, fit_gate, quantile, weigh
from eosin.inference.gate import find_refused


def test_few_images_of_new_patients_are_refused():
    images = np.concatenate([draw(seed, 6) for seed in range(30)])
    gate = fit_gate(images, np.repeat(np.arange(30), 6), RGB)
    new = np.concatenate([draw(seed, 4) for seed in range(1000, 1050)])
    assert (find_refused(gate, new, RGB) != "").mean() <= 0.02
    assert (gate.n_images, gate.n_groups) == (180, 30)


def test_fewer_groups_give_wider_limits():
    def fit(n):
        images = np.concatenate([draw(seed, 120 // n) for seed in range(n)])
        return fit_gate(images, np.repeat(np.arange(n), 120 // n), RGB)

    assert fit(4).margin > 2 > fit(40).margin > 1


def test_what_the_training_has_is_not_refused_and_a_few_blank_images_do_not_open_the_gate():
    images = np.concatenate([draw(seed, 10) for seed in range(20)])
    groups = np.repeat(np.arange(20), 10)
    white = np.full((2, SIDE, SIDE, 3), 250, dtype=np.uint8)
    images[[15, 115]] = white
    gate = fit_gate(images, groups, RGB)
    assert list(find_refused(gate, white, RGB)) == ["blank"] * 2


@pytest.mark.parametrize(("n", "n_groups"), [(19, 19), (40, 2), (40, 1)])
def test_too_few_images_or_groups_have_a_reason(n, n_groups):
    gate = fit_gate(draw(0, n), np.arange(n) % n_groups, RGB)
    assert gate.distance is None
    assert str(n) in gate.reason
    assert list(find_refused(gate, draw(1, 2), RGB)) == ["", ""]


def test_features_have_no_gate():
    features = Embedding(channels=("a", "b"), table="t.csv", table_sha256="0")
    assert fit_gate(np.zeros((30, 1, 1, 2)), np.arange(30), features) is None


def test_the_fit_is_the_same_in_another_order_of_images_and_survives_its_file():
    images = np.concatenate([draw(seed, 4) for seed in range(12)])
    groups = np.repeat(np.arange(12), 4)
    gate = fit_gate(images, groups, RGB)
    order = np.random.default_rng(0).permutation(len(groups))
    other = fit_gate(images[order], groups[order], RGB)
    for name, limits in gate.measures.items():
        found = other.measures[name].model_dump(exclude_none=True)
        assert limits.model_dump(exclude_none=True) == pytest.approx(found, rel=1e-4, abs=1e-6)
    assert Gate.model_validate_json(gate.model_dump_json()) == gate


def test_groups_have_the_same_weight():
    weights = weigh(np.array(["a", "b", "b", "b"]))
    assert weights.tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6])
    assert quantile(np.array([0.0, 1, 2, 3]), weights, 0.5) == 0.0
    assert quantile(np.array([np.nan, np.nan]), weights[:2], 0.5) == 0.0


def test_many_images_are_chosen_from_all_groups_in_turn():
    groups = np.array(["large"] * 9000 + ["small"] * 100 + ["tiny"])
    rows = choose_rows(groups)
    chosen = groups[rows]
    assert (chosen == "tiny").sum() == 1
    assert (chosen == "small").sum() == 100
    assert len(rows) == len(set(rows)) == 4000


def test_calibration_keeps_all_images_where_a_class_would_be_lost():
    targets = np.array([0, 0, 1, 1])
    refused = np.array(["", "ink", "", "blank"], dtype=object)
    assert find_passed(refused, targets).tolist() == [True, False, True, False]
    assert find_passed(np.array(["", "", "ink", "ink"], dtype=object), targets).all()
    assert find_passed(None, targets).all()
