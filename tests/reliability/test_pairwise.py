"""Tests of a mean difference against scipy's and simulated truths; Holm's correction against a loop."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from captum_gag.reliability.pairwise import holm, least_p, mean_test

VALUES = np.random.default_rng(0).normal(0.3, 1, 20)


def test_of_differences_without_skewness_it_is_students():
    values = np.concatenate([VALUES, 2 * VALUES.mean() - VALUES])
    assert mean_test(values) == pytest.approx(scipy.stats.ttest_1samp(values, 0).pvalue)
    assert mean_test(np.append(values, np.nan)) == mean_test(-values) == pytest.approx(mean_test(values))


def test_skewness_is_transformed_away():
    values = np.exp(VALUES) - 1
    a, n = scipy.stats.skew(values) / np.sqrt(len(values)), len(values)
    t = values.mean() / scipy.stats.sem(values)
    # ((1 + a t / 3)^3 - 1) / a + a / 6 is g(t) of Hall (1992).
    expected = 2 * scipy.stats.t.sf(abs(((1 + a * t / 3) ** 3 - 1) / a + a / 6), n - 1)
    assert mean_test(values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("differences", "least"),
    [
        ([], np.nan),
        ([np.nan] * 9, np.nan),
        ([1.0, 2.0, 3.0], 1),
        ([1.0, 2.0, 3.0, np.nan], 1),
        ([1.0, 2.0, 3.0, 4.0], 2**-3),
        (list(range(1, 9)), 2**-7),
        ([0.0] * 37 + [1.0, 2.0, 3.0], 2**-2),
        ([0.0] * 40, 1),
    ],
)
def test_the_least_p_of_so_many_images(differences, least):
    values = np.array(differences, dtype=float)
    assert least_p(values) == pytest.approx(least, nan_ok=True)
    if not least < 0.05:
        assert not mean_test(values) < 0.05
    # That of Wilcoxon's test, where none is tied.
    if 0 < least < 1 and values.all() and len(set(values)) == len(values):
        assert least == scipy.stats.wilcoxon(values).pvalue


def test_what_could_be_missing_is_counted():
    # One image of thirty that differs could have been missed, as in a third of the draws.
    assert mean_test(np.array([1.0] * 29 + [-0.1])) == pytest.approx(2 * (29 / 30) ** 30)


def test_differences_that_are_alike_have_the_p_of_their_signs():
    rounded = 0.1 + 0.3 * np.arange(20) - 0.3 * np.arange(20)
    assert mean_test(np.full(20, 0.1)) == mean_test(rounded) == 2**-19
    assert mean_test(np.full(19, 0.1)) == mean_test(rounded[:19]) == 1, "one in seven that differs could be missed"


@pytest.mark.parametrize(
    ("images", "kind"),
    [(n, kind) for n in (8, 30) for kind in ("normal", "skewed", "half tied", "one in ten")],
)
def test_it_rejects_differences_of_mean_0_at_most_at_its_level(images, kind):
    rng = np.random.default_rng(1)
    shape = (500, images)
    values = {
        "normal": lambda: rng.normal(size=shape),
        "skewed": lambda: rng.beta(0.5, 3, shape) - rng.beta(0.5, 3, shape),
        "half tied": lambda: np.where(rng.random(shape) < 0.5, 0, rng.normal(size=shape)),
        "one in ten": lambda: np.where(rng.random(shape) < 0.1, -9.0, 1.0),
    }[kind]()
    # Of 500 at 7 %, more than 49 come up once in a hundred times.
    assert sum(mean_test(row) < 0.05 for row in values) <= 49


@given(st.lists(st.one_of(st.just(np.nan), st.floats(0, 1)), max_size=8))
def test_holm_is_a_loop(p):
    corrected, highest = [np.nan] * len(p), 0.0
    known = sorted((value, place) for place, value in enumerate(p) if value == value)
    for rank, (value, place) in enumerate(known):
        highest = corrected[place] = max(highest, min(1.0, (len(known) - rank) * value))
    np.testing.assert_allclose(holm(p), corrected)
