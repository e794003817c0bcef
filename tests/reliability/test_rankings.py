"""Alpha against the krippendorff package, influences against scipy's correlations, intervals against simulations."""

import itertools

import krippendorff
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag.reliability import resampling
from captum_gag.reliability.rankings import Rankings, Spearman, alpha_interval, mean_rho_interval


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
    monkeypatch.setattr(resampling, "BLOCK", block)
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


def scores_of(seed, images, columns, tied):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(images, columns)) + rng.normal(size=(images, 1))
    return np.round(scores) if tied else scores


def mean_rho(scores):
    pairs = itertools.combinations(range(scores.shape[1]), 2)
    return np.mean([scipy.stats.spearmanr(scores[:, a], scores[:, b]).statistic for a, b in pairs])


def estimate(scores, confidence=0.95):
    return Spearman(scores).estimate(range(scores.shape[1]), confidence)


@given(st.integers(0, 10**6), st.integers(2, 4), st.booleans())
@settings(max_examples=20, deadline=None)
def test_influences_are_what_a_little_more_weight_of_an_image_changes(seed, columns, tied):
    scores = scores_of(seed, 8, columns, tied)
    found, influences = Spearman(scores).mean(range(columns))
    if (scores == scores[0]).all(axis=0).any():
        assert np.isnan(found)
        assert np.isnan(influences).all()
        return
    assert found == pytest.approx(mean_rho(scores), abs=1e-12)
    copies = 2000
    many = np.repeat(scores, copies, axis=0)
    for image, influence in enumerate(influences):
        more = mean_rho(np.vstack([many, scores[[image]]]))
        assert (more - found) * (8 * copies + 1) == pytest.approx(influence, abs=0.01)


def test_the_variance_is_the_jackknifes_where_images_are_many():
    scores = scores_of(0, 300, 3, False)
    _, influences = Spearman(scores).mean([0, 1, 2])
    without = np.array([mean_rho(np.delete(scores, image, axis=0)) for image in range(300)])
    jackknife = 299 / 300 * ((without - without.mean()) ** 2).sum()
    assert (influences**2).sum() / (300 * 299) == pytest.approx(jackknife, rel=0.03)


def test_without_variance_the_interval_of_two_columns_is_bonetts_and_wrights():
    rho, n = 0.6, 40
    error = np.sqrt((1 + rho**2 / 2) / (n - 3))
    reach = scipy.stats.t.ppf(0.975, n - 2) * error
    _, high = mean_rho_interval(rho, np.zeros(n), 2, 0.95)
    assert high == pytest.approx(np.tanh(np.arctanh(rho) + reach))
    # One image more, for which the columns are unrelated: rho 40 / 41, whose jackknife variance is (rho / 41)^2.
    less = rho * n / (n + 1)
    error = max(np.sqrt((1 + less**2 / 2) / (n - 3)), rho / (n + 1) / (1 - less**2))
    low, _ = mean_rho_interval(rho, np.zeros(n), 2, 0.95)
    assert low == pytest.approx(np.tanh(np.arctanh(less) - scipy.stats.t.ppf(0.975, n - 2) * error))


def test_of_many_images_the_interval_is_the_normal_one_by_the_jackknife():
    scores = scores_of(1, 4000, 3, True)
    rho, influences = Spearman(scores).mean([0, 1, 2])
    reach = scipy.stats.norm.ppf(0.95) * influences.std() / np.sqrt(4000)
    assert mean_rho_interval(rho, influences, 3, 0.9) == pytest.approx((rho - reach, rho + reach), abs=0.05 * reach)


@given(st.integers(0, 10**6), st.integers(4, 30), st.integers(2, 5), st.booleans(), st.sampled_from([0.5, 0.95, 0.999]))
@settings(max_examples=60, deadline=None)
def test_what_holds_of_every_interval(seed, images, columns, tied, confidence):
    scores = scores_of(seed, images, columns, tied)
    rho, low, high = estimate(scores, confidence)
    if np.isnan(rho):
        assert np.isnan([low, high]).all()
        return
    # The mean correlation of m columns is never below -1 / (m - 1).
    assert -1 / (columns - 1) - 1e-9 <= low <= rho <= high <= 1
    assert low < high
    shuffled = np.random.default_rng(seed).permutation(images)
    assert estimate(scores[shuffled], confidence) == pytest.approx((rho, low, high), abs=1e-9)
    assert estimate(np.exp(scores) - 3, confidence) == pytest.approx((rho, low, high), abs=1e-9)
    assert estimate(scores[:, ::-1], confidence) == pytest.approx((rho, low, high), abs=1e-9)
    _, wider, _ = estimate(scores, (1 + confidence) / 2)
    assert wider <= low + 1e-9


@given(st.integers(0, 10**6), st.integers(4, 20), st.booleans())
@settings(max_examples=30, deadline=None)
def test_turning_one_of_two_columns_round_turns_the_interval_round(seed, images, tied):
    scores = scores_of(seed, images, 2, tied)
    rho, low, high = estimate(scores)
    assert estimate(scores * [1, -1]) == pytest.approx((-rho, -high, -low), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("images", [4, 10, 100, 10_000])
def test_the_same_scores_twice_correlate_perfectly_and_few_images_do_not_say_that_all_will(images):
    scores = np.random.default_rng(2).normal(size=images)
    rho, low, high = estimate(np.stack([scores, scores], axis=1))
    assert (rho, high) == (pytest.approx(1), pytest.approx(1))
    # An image in 3 / n may be missing among n at 95 % (the rule of three), and takes up to 3 from the correlation.
    assert low < 1 - 3 / images
    assert low > 1 - 20 / images
    assert estimate(np.stack([scores, -scores], axis=1)) == pytest.approx((-rho, -high, -low))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("columns", [2, 3])
def test_the_least_and_the_largest_correlation_are_ends_of_their_intervals(columns):
    low, _ = mean_rho_interval(-1 / (columns - 1), np.zeros(10), columns, 0.95)
    _, high = mean_rho_interval(1.0, np.zeros(10), columns, 0.95)
    assert (low, high) == pytest.approx((-1 / (columns - 1), 1))


@pytest.mark.slow
@pytest.mark.parametrize(("images", "pearson"), [(5, 0.3), (10, 0.9), (50, 0.6)])
def test_the_interval_contains_the_true_correlation_at_its_nominal_rate(images, pearson):
    rng = np.random.default_rng(3)
    truth = 6 / np.pi * np.arcsin(pearson / 2)
    covered = 0
    for _ in range(500):
        x, y = rng.multivariate_normal([0, 0], [[1, pearson], [pearson, 1]], images).T
        _, low, high = estimate(np.stack([x, y], axis=1))
        covered += low <= truth <= high
    # Of 500 at 95 %, less than 463 come up once in a hundred times.
    assert covered >= 463
