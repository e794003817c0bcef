"""The bootstrap against scipy's and plain loops over the same draws; the jackknife against Student's t and a loop."""

import krippendorff
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag import reliability
from captum_gag.reliability import resampling
from captum_gag.reliability.betting import bounded_interval
from captum_gag.reliability.directions import known_bounds
from captum_gag.reliability.rankings import Rankings
from captum_gag.reliability.resampling import interval, jackknife_interval, mean_interval, mean_intervals, without_each
from captum_gag.reliability.scores import checked

DRAWS = 300


def draws(images, seed):
    return np.random.default_rng(seed).integers(images, size=(DRAWS, images))


def percentiles(values):
    return pytest.approx(tuple(np.percentile(values, [5, 95])), abs=1e-12)


@pytest.mark.parametrize("block", [1, 100, 10**7])
def test_the_percentile_interval_is_scipys_however_the_draws_are_split(block, monkeypatch):
    monkeypatch.setattr(resampling, "BLOCK", block)
    values = np.random.default_rng(0).exponential(size=23)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=DRAWS, confidence_level=0.9, method="percentile", rng=np.random.default_rng(5)
    )
    [low], [high] = interval(lambda drawn: values[drawn].mean(axis=1, keepdims=True), 23, DRAWS, 0.9, 5)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval), abs=1e-12)


def by_loop(known, drawn):
    """Bootstrap-t, as Efron & Tibshirani (1993), section 12.5, write it down; NaN where an end is infinite."""
    pivots = []
    for row in drawn:
        alike = len(set(row)) == 1
        error = np.inf if alike else row.std(ddof=0) / np.sqrt(len(row) - 1)
        pivots.append(np.sign(row.mean() - known.mean()) * np.inf if alike else (row.mean() - known.mean()) / error)
    with np.errstate(invalid="ignore"):
        least, most = np.quantile(pivots, [0.05, 0.95])
    ends = known.mean() - np.array([most, least]) * known.std(ddof=1) / np.sqrt(len(known))
    return tuple(ends) if np.isfinite(ends).all() else (np.nan, np.nan)


@given(st.integers(3, 30), st.integers(0, 10**6), st.floats(0, 0.9))
@settings(max_examples=25, deadline=None)
def test_intervals_of_means_with_gaps_are_those_of_a_loop_without_the_gaps(images, seed, gaps):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(images, 3)), columns=list("xyz"))
    table["y"] = table["y"].mask(rng.uniform(size=images) < gaps)
    tables = {"A": table, "B": pd.DataFrame({"x": rng.normal(size=images + 1)}), "C": -table}
    found = mean_intervals(tables, DRAWS, 0.9, seed)
    assert set(found) == {(name, column) for name, table in tables.items() for column in table}
    for (name, column), ends in found.items():
        known = tables[name][column].dropna().to_numpy()
        expected = by_loop(known, known[draws(len(known), seed)]) if len(known) >= 4 else (np.nan, np.nan)
        assert ends == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_of_many_images_nothing_is_drawn_and_the_interval_is_students_where_scores_are_normal():
    values = scipy.stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    expected = scipy.stats.t.interval(0.95, 3999, values.mean(), scipy.stats.sem(values))
    found = mean_interval(values, 10_000, 0.95, 0)
    assert found == pytest.approx(expected, abs=1e-5 * scipy.stats.sem(values))
    assert mean_interval(values, 10_000, 0.95, 1) == found
    # One value that is all of the mean: no moment says what a draw without it is like.
    assert mean_interval(np.eye(4000)[0] * 1e6 + values, 300, 0.95, 0) != mean_interval(
        np.eye(4000)[0] * 1e6 + values, 300, 0.95, 1
    )


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_interval_of_many_skewed_scores_is_that_of_halls_polynomials(confidence):
    """Hall (1992), sections 2.5 and 2.6: p1 of the distribution of a studentised mean, and of its quantiles."""
    n, z = 40_000, scipy.stats.norm.ppf((1 + confidence) / 2)
    values = scipy.stats.gamma.ppf((np.arange(n) + 0.5) / n, 2)
    quantile = [x - scipy.stats.skew(values) * (2 * x**2 + 1) / 6 / np.sqrt(n) for x in (z, -z)]
    error = values.std() / np.sqrt(n)
    expected = tuple(values.mean() - np.array(quantile) * error)
    assert mean_interval(values, 2000, confidence, 0) == pytest.approx(expected, abs=1e-3 * error)


def test_of_many_images_a_column_has_the_interval_that_it_has_alone():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=4000), "y": 10 * rng.exponential(size=4000), "z": rng.beta(2, 5, 4000)})
    table["z"] = table["z"].mask(rng.uniform(size=4000) < 0.2)
    found = mean_intervals({"A": table}, 2000, 0.95, 0)
    for column in table:
        alone = mean_interval(table[column].dropna().to_numpy(), 2000, 0.95, 1)
        assert found["A", column] == pytest.approx(alone, rel=1e-9)


def test_too_few_images_and_equal_scores_have_no_interval_of_their_mean():
    values = np.random.default_rng(0).normal(size=9)
    told = {n: not np.isnan(mean_interval(values[:n], 4000, 0.95, 0)).any() for n in range(1, 10)}
    assert told == {n: n >= 4 for n in range(1, 10)}
    strict = [not np.isnan(mean_interval(values[:n], 20_000, 0.999, 0)).any() for n in range(1, 10)]
    assert strict == [n >= 6 for n in range(1, 10)]
    # One image of eight that differs is missing in a third of the draws: what it is like is not known.
    for alike in (np.eye(8)[0], np.full(5, 0.3), np.full(2000, 0.3), 0.1 + np.arange(5.0) * 1e-17):
        assert np.isnan(mean_interval(alike, 4000, 0.95, 0)).all()


@pytest.mark.parametrize("values", [np.zeros(4), np.eye(8)[0], np.ones(100), np.full(5, 0.3)])
def test_equal_scores_of_a_known_range_have_the_interval_of_a_bounded_mean(values):
    low, high = mean_interval(2 * values - 1, 500, 0.95, 0, (-1.0, 1.0))
    assert (low, high) == pytest.approx(tuple(2 * end - 1 for end in bounded_interval(values, 0.05)))
    assert low < 2 * values.mean() - 1 + 1e-9 < high + 2e-9
    assert high - low > 3 / len(values), "so many images may be missing at 95 % (the rule of three)"


@pytest.mark.parametrize("images", [4, 8, 20])
def test_the_mean_of_mostly_equal_scores_is_in_its_interval(images):
    scores = (np.random.default_rng(0).random((400, images)) > 0.85).astype(float)
    ends = [mean_interval(values, 300, 0.95, 0, (0.0, 1.0)) for values in scores]
    # Of 400 at 95 %, less than 369 come up once in a hundred times; [m, m] of equal scores has 0 to 130.
    assert sum(low <= 0.15 <= high for low, high in ends) >= 369


@pytest.mark.parametrize("images", [4, 8, 20])
def test_intervals_of_means_of_skewed_scores_contain_the_true_one_at_their_nominal_rate(images):
    scores = np.random.default_rng(0).beta(0.5, 3, size=(1000, images))
    ends = [mean_interval(values, 400, 0.95, 0) for values in scores]
    told = [(low, high) for low, high in ends if low == low]
    assert len(told) > 970
    # Of 1000 at 93 %, less than 911 come up once in a hundred times; the percentile bootstrap has 740 of 4 images.
    assert sum(low <= 1 / 7 <= high for low, high in told) >= 0.911 * len(told)


@given(st.integers(2, 6), st.integers(2, 12), st.integers(0, 10**6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_alpha_of_each_draw_is_the_packages_own(methods, images, seed, tied):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (images, methods)) if tied else rng.normal(size=(images, methods))
    ranked = scipy.stats.rankdata(scores, axis=1)
    drawn = draws(images, seed)[:20]
    some, every = Rankings(ranked).alphas(drawn, [images // 2, images])
    drawn = [*drawn[:, : images // 2], *drawn]
    for found, images_drawn in zip([*some, *every], drawn, strict=True):
        if len(images_drawn) < 2 or len(np.unique(ranked[images_drawn])) < 2:
            assert np.isnan(found)
        else:
            expected = krippendorff.alpha(reliability_data=ranked[images_drawn], level_of_measurement="ordinal")
            assert found == pytest.approx(expected, abs=1e-12)


def test_an_interval_of_a_mean_stays_in_the_range_of_its_scores():
    table = pd.DataFrame({"a": [0.0, 0.01, 0.02, 0.01, 0.9], "b": [0.99, 1.0, 0.98, 1.0, 0.2]})
    free = mean_intervals({"RCAP": table}, 2000, 0.95, 0)
    bound = mean_intervals({"RCAP": table, "own": table}, 2000, 0.95, 0, {"RCAP": (0.0, 1.0)})
    assert free["RCAP", "a"][0] < 0
    assert free["RCAP", "b"][1] > 1
    for column in table:
        low, high = free["RCAP", column]
        assert bound["RCAP", column] == (max(low, 0), min(high, 1))
        assert bound["own", column] == (low, high)
    one = table["a"].to_numpy()
    assert mean_interval(one, 2000, 0.95, 0, (0.0, 1.0)) == bound["RCAP", "a"]
    assert np.isnan(mean_interval(one[:2], 2000, 0.95, 0, (0.0, 1.0))).all()


def test_a_range_is_known_by_exact_name_and_only_where_the_scores_keep_to_it():
    rows = {"RCAP": 0.3, "Faithfulness": -0.4, "RCAP2": 0.5, "MAE": 7.0}
    scores = reliability.from_arrays(
        {name: {"x": [value, 0.1], "y": [0.2, 0.2]} for name, value in rows.items()}, levels="metric"
    ).assign(higher_is_better=True)
    assert known_bounds(checked(scores)) == {"RCAP": (0.0, 1.0), "Faithfulness": (-1.0, 1.0)}
    found = reliability.summary(scores).set_index(["metric", "method"])
    assert (found.loc["RCAP", "low"].dropna() >= 0).all()


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
