"""The interval of alpha against plain leave-one-out by the krippendorff package, and against simulated truths."""

import itertools

import krippendorff
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag.reliability import bootstrap
from captum_gag.reliability.rankings import Rankings, alpha_interval


def alpha(ranked):
    return krippendorff.alpha(reliability_data=ranked, level_of_measurement="ordinal")


@given(st.integers(2, 5), st.integers(3, 9), st.integers(0, 10**6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_alpha_without_each_image_is_the_packages_own(methods, images, seed, tied):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (images, methods)) if tied else rng.normal(size=(images, methods))
    ranked = scipy.stats.rankdata(scores, axis=1)
    for image, found in enumerate(Rankings(ranked).without_each()):
        rest = np.delete(ranked, image, axis=0)
        assert np.isnan(found) if len(np.unique(rest)) < 2 else found == pytest.approx(alpha(rest), abs=1e-12)


@pytest.mark.parametrize("block", [1, 10**7])
def test_the_interval_is_that_of_a_loop(block, monkeypatch):
    monkeypatch.setattr(bootstrap, "BLOCK", block)
    ranked = scipy.stats.rankdata(np.random.default_rng(0).normal(size=(12, 4)) + 0.4 * np.arange(4), axis=1)
    padded = np.vstack([ranked, [2.5] * 4])
    without = [alpha(np.delete(padded, image, axis=0)) for image in range(13)]
    reach = scipy.stats.t.ppf(0.95, 11) * np.sqrt(12 / 13 * ((without - np.mean(without)) ** 2).sum())
    assert alpha_interval(ranked, 0.9) == pytest.approx((alpha(padded) - reach, alpha(padded) + reach), abs=1e-12)


def test_the_standard_error_is_at_least_that_of_random_rankings():
    # Every order of three methods twice: no image agrees with the rest, and the jackknife's error is nearly 0.
    orders = np.array(list(itertools.permutations([1.0, 2.0, 3.0])) * 2)
    low, high = alpha_interval(orders, 0.95)
    assert high - low == pytest.approx(2 * scipy.stats.t.ppf(0.975, 11) * np.sqrt(2 / (12 * 13 * 2)))
    assert low < 0 < high


def test_two_images_are_too_few_and_those_that_tie_all_say_nothing():
    assert np.isnan(alpha_interval(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]), 0.95)).all()
    assert np.isnan(alpha_interval(np.array([[1.0, 2.0]] * 9), 0.95)).all(), "two methods are too few"
    assert np.isnan(alpha_interval(np.full((9, 3), 2.0), 0.95)).all()


@pytest.mark.parametrize(("images", "distance"), [(5, 0.0), (5, 1.0), (20, 0.5), (20, 3.0)])
def test_contains_alpha_of_endlessly_many_images_at_its_nominal_rate(images, distance):
    rng = np.random.default_rng(1)

    def ranked(n):
        return scipy.stats.rankdata(distance * np.arange(4) + rng.normal(size=(n, 4)), axis=1)

    # The mean correlation of two images is the squared length of the mean of standardised rankings.
    truth = (((ranked(200_000) - 2.5) / np.sqrt(5)).mean(axis=0) ** 2).sum()
    ends = [alpha_interval(ranked(images), 0.95) for _ in range(600)]
    # Of 600 at 93 %, less than 544 come up once in a hundred times.
    assert sum(low <= truth <= high for low, high in ends) >= 544
