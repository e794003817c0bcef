"""The jackknife's interval against Student's t, and against a loop that leaves out each image."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag.reliability.jackknife import jackknife_interval, without_each


def test_of_a_mean_it_is_students_but_for_a_degree_of_freedom():
    values = np.random.default_rng(0).exponential(size=12)
    found = jackknife_interval(values.mean(), without_each(values), 0.95)
    assert found == pytest.approx(scipy.stats.t.interval(0.95, 10, values.mean(), scipy.stats.sem(values)))


@given(st.integers(4, 12), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_of_a_ratio_it_is_that_of_a_loop_on_the_logarithms(images, seed):
    over, under = np.random.default_rng(seed).exponential(size=(2, images))
    logs = [np.log(np.delete(over, i).mean() / np.delete(under, i).mean()) for i in range(images)]
    error = np.sqrt((images - 1) / images * sum((each - np.mean(logs)) ** 2 for each in logs))
    whole = over.mean() / under.mean()
    reach = np.exp(scipy.stats.t.ppf(0.95, images - 2) * error)
    [over_without, under_without] = without_each(np.stack([over, under], axis=1)).T
    found = jackknife_interval(whole, over_without / under_without, 0.9, ratio=True)
    assert found == pytest.approx((whole / reach, whole * reach))
    # Upside down it is one over the other end.
    turned = jackknife_interval(1 / whole, under_without / over_without, 0.9, ratio=True)
    assert turned == pytest.approx((1 / found[1], 1 / found[0]))


def test_a_ratio_that_may_be_negative_has_no_logarithm():
    without = np.array([-0.1, 0.2, 0.3, 0.2])
    assert jackknife_interval(0.15, without, 0.95, ratio=True) == jackknife_interval(0.15, without, 0.95)


def test_too_few_images_and_a_number_that_is_none_have_no_interval():
    values = np.arange(1.0, 5.0)
    told = [np.isfinite(jackknife_interval(1.0, without_each(values[:n]), 0.95)).all() for n in (1, 2, 3, 4)]
    assert told == [False, False, False, True]
    assert np.isnan(jackknife_interval(1.0, np.array([1, 2, 3, np.inf]), 0.95)).all()
