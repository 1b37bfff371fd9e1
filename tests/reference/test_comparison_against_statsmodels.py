"""Tests of pairs and of ranges against statsmodels, SciPy and published examples."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from eosin.metrics.comparison import (
    delong,
    holm,
    mcnemar,
)
from eosin.metrics.range_tests import (
    BlockError,
    block_error,
    critical_ranges,
    homogeneous_letters,
)

TOLERANCE = 1e-10
#: Printed tables have three digits, and Duncan's own errs in the third (Harter 1960).
TABLE = 0.04

#: Albumin, total protein, K-G score and outcome of 43 patients with ovarian cancer, from DeLong,
#: DeLong and Clarke-Pearson (1988); those with missing values left out.
OVARIAN = """
3.0 5.8 10 0   3.2 6.3  5 1   3.9 6.8  3 1   2.8 4.8  6 0   3.2 5.8  3 1   0.9 4.0  5 0
2.5 5.7  8 0   1.6 5.6  5 1   3.8 5.7  5 1   3.7 6.7  6 1   3.2 5.4  4 1   3.8 6.6  6 1
4.1 6.6  5 1   3.6 5.7  5 1   4.3 7.0  4 1   3.6 6.7  4 0   2.3 4.4  6 1   4.2 7.6  4 0
4.0 6.6  6 0   3.5 5.8  6 1   3.8 6.8  7 1   3.0 4.7  8 0   4.5 7.4  5 1   3.7 7.4  5 1
3.1 6.6  6 1   4.1 8.2  6 1   4.3 7.0  5 1   4.3 6.5  4 1   3.2 5.1  5 1   2.6 4.7  6 1
3.3 6.8  6 0   1.7 4.0  7 0   3.7 6.1  5 1   3.3 6.3  7 1   4.2 7.7  6 1   3.5 6.2  5 1
2.9 5.7  9 0   2.1 4.8  7 1   2.8 6.2  8 0   4.0 7.0  7 1   3.3 5.7  6 1   3.7 6.9  5 1
3.6 6.6  5 1
"""


@pytest.mark.parametrize("seed", range(6))
def test_mcnemar(seed):
    random = np.random.default_rng(seed)
    one, other = (random.random((2, 40)) < [[0.8], [0.5 + 0.05 * seed]]).astype(bool)
    found = mcnemar(one, other)
    both, neither = int((one & other).sum()), int((~one & ~other).sum())
    table = [[both, found.only_one], [found.only_other, neither]]
    assert found.exact == pytest.approx(reference_mcnemar(table).pvalue, abs=TOLERANCE)
    # The mid-p-value counts half of what is as likely as what was seen, on both sides.
    n = found.only_one + found.only_other
    points = stats.binom.pmf(np.arange(n + 1), n, 0.5)
    less, same = points < points[found.only_one] - 1e-15, np.isclose(points, points[found.only_one])
    expected = points[less].sum() + points[same].sum() / 2
    assert found.mid == pytest.approx(expected if n else 1.0, abs=TOLERANCE)


def naive_delong(one, other, positive):
    """The paper's own formulas, every pair of a positive and a negative by itself."""

    def wins(scores):
        x, y = scores[positive], scores[~positive]
        return (x[:, None] > y) + 0.5 * (x[:, None] == y)  # (m, n)

    tables = [wins(one), wins(other)]
    areas = [table.mean() for table in tables]
    by_positive, by_negative = (np.cov([t.mean(axis=axis) for t in tables]) for axis in (1, 0))
    covariance = by_positive / tables[0].shape[0] + by_negative / tables[0].shape[1]
    contrast = np.array([1, -1])
    return areas[0] - areas[1], np.sqrt(contrast @ covariance @ contrast)


@pytest.mark.parametrize("levels", [3, 1000])
def test_delong_is_what_every_pair_by_itself_gives(levels):
    random = np.random.default_rng(levels)
    positive = random.random(60) < 0.4
    one, other = (random.integers(0, levels, 60) + positive * levels / 3 for _ in range(2))
    value, deviation = naive_delong(one, other, positive)
    found = delong(one, other, positive)
    assert found.value == pytest.approx(value, abs=TOLERANCE)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(value) / deviation), abs=TOLERANCE)
    assert (found.high - found.low) / 2 == pytest.approx(1.959963984540054 * deviation)


def test_delong_s_own_example():
    albumin, protein, score, benefit = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4).T
    # Albumin against the K-G score: areas 0.7366 and 0.7258.
    found = delong(albumin, 10 - score, benefit == 1)
    assert found.value == pytest.approx(0.7366 - 0.7258, abs=1e-4)
    assert (found.low, found.high) == pytest.approx((-0.1761, 0.1976), abs=1e-4)
    assert found.p == pytest.approx(0.9102, abs=1e-4)
    # Total protein against it: area 0.6478.
    assert delong(protein, 10 - score, benefit == 1).value == pytest.approx(-0.0780, abs=1e-4)


def test_holm():
    p_values = np.random.default_rng(0).random(12) ** 3
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(list(p_values)), expected, atol=TOLERANCE)


def test_the_error_of_blocks_is_that_of_a_two_way_analysis():
    values = np.random.default_rng(0).normal(size=(5, 4))
    long = pd.DataFrame(values).rename_axis("block").reset_index().melt("block", var_name="model")
    table = anova_lm(ols("value ~ C(block) + C(model)", long).fit())
    found = block_error(values)
    assert found.mean_square == pytest.approx(table.loc["Residual", "mean_sq"])
    assert found.freedom == table.loc["Residual", "df"]


def test_tukey_parts_what_scipy_parts():
    random = np.random.default_rng(3)
    samples = [random.normal(loc, 1.0, 8) for loc in (0.0, 0.6, 1.5, 1.7, 3.0)]
    pooled = BlockError(float(np.mean([sample.var(ddof=1) for sample in samples])), 5 * 7)
    letters = homogeneous_letters(
        [float(sample.mean()) for sample in samples], critical_ranges(5, pooled, 8, "tukey")
    )
    p_values = stats.tukey_hsd(*samples).pvalue
    for a in range(5):
        for b in range(a):
            assert (p_values[a, b] < 0.05) == (not set(letters[a]) & set(letters[b]))
    assert len(set(letters)) > 2


def test_duncan_s_own_example():
    # Seven varieties of barley (Duncan 1955): standard error 3.643 on 30 degrees of freedom.
    means = {"A": 49.6, "B": 71.2, "C": 67.6, "D": 61.5, "E": 71.3, "F": 58.1, "G": 61.0}
    ranges = critical_ranges(7, BlockError(3.643**2, 30), 1, "duncan")
    np.testing.assert_allclose(ranges, [10.53, 11.07, 11.37, 11.66, 11.84, 11.99], atol=TABLE)
    letters = dict(zip(means, homogeneous_letters(list(means.values()), ranges), strict=True))
    joined = {name for name in means if "a" in letters[name]}
    assert joined == set("EBCDG")
    assert {name for name in means if "b" in letters[name]} == set("CDGF")
    assert {name for name in means if "c" in letters[name]} == set("FA")


def test_a_textbook_s_example_of_both():
    # Tensile strength by cotton in the fibre (Montgomery): mean square 8.06 on 20, five each.
    means, error = [9.8, 15.4, 17.6, 21.6, 10.8], BlockError(8.06, 20)
    duncan = critical_ranges(5, error, 5, "duncan")
    np.testing.assert_allclose(duncan, [3.75, 3.94, 4.05, 4.13], atol=TABLE)
    assert homogeneous_letters(means, duncan) == ["c", "b", "b", "a", "c"]
    tukey = critical_ranges(5, error, 5, "tukey")
    assert tukey[0] == pytest.approx(5.37, abs=TABLE)
    assert homogeneous_letters(means, tukey) == ["d", "bc", "ab", "a", "cd"]
