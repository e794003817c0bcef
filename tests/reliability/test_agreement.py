import itertools

import krippendorff
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from captum_gag import reliability
from captum_gag.reliability.agreement import PatternCounts, Spearman
from captum_gag.reliability.bootstrap import interval, mean_interval

QUICK = {"n_bootstrap": 200}


def table(rng, images=40, noise=1.0, metrics=("A", "B"), methods=("m1", "m2", "m3", "m4")):
    """Scores whose methods are one apart, plus noise."""
    quality = {method: place for place, method in enumerate(methods)}
    return reliability.from_arrays(
        {
            metric: {method: quality[method] + noise * rng.normal(size=images) for method in methods}
            for metric in metrics
        }
    )


def test_alpha_of_krippendorffs_worked_example():
    # Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", example C: 4 observers, 12 units, gaps.
    nan = np.nan
    ratings = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
            [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
        ]
    )
    counts = PatternCounts(ratings)
    counts.domain = np.unique(ratings[~np.isnan(ratings)])
    counts.ratings = np.stack([(row[:, None] == counts.domain).ravel() for row in ratings]).astype(float)
    counts.pattern_of = np.arange(4)
    assert counts.alpha(np.arange(4)) == pytest.approx(0.815, abs=5e-4)  # as published, ordinal


def test_alpha_of_complete_rankings_is_the_packages_own():
    rng = np.random.default_rng(0)
    ranked = np.stack([rng.permutation(5) + 1.0 for _ in range(30)])
    drawn = rng.integers(30, size=30)
    expected = krippendorff.alpha(reliability_data=ranked[drawn], level_of_measurement="ordinal")
    assert PatternCounts(ranked).alpha(drawn) == pytest.approx(expected, abs=1e-12)


@given(st.integers(2, 6), st.integers(2, 12), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_alpha_with_ties_is_the_packages_own(methods, images, seed):
    matrix = pd.DataFrame(np.random.default_rng(seed).integers(0, 3, (images, methods)).astype(float))
    ranked = matrix.rank(axis=1).to_numpy()
    if len(np.unique(ranked)) < 2:
        return
    expected = krippendorff.alpha(reliability_data=ranked, level_of_measurement="ordinal")
    assert PatternCounts(ranked).alpha(np.arange(images)) == pytest.approx(expected, abs=1e-12)


def test_identical_rankings_have_alpha_1_and_rankings_that_tie_all_have_none():
    same = reliability.from_arrays(
        {"A": {"x": [3, 30, 9], "y": [2, 20, 8], "z": [1, 10, 7]}, "B": {"x": [1, 2, 3], "y": [1, 2, 3]}} | {}
    )
    found = reliability.inter_rater(same, **QUICK)
    assert found.loc["A", ["alpha", "low", "high"]].tolist() == [1, 1, 1]
    assert found.loc["B"].isna()[["alpha", "low", "high"]].all()
    assert found.loc["B", ["images", "methods"]].tolist() == [3, 2]


def test_opposite_rankings_of_two_images_are_the_least_agreement():
    found = reliability.inter_rater(reliability.from_arrays({"A": {"x": [1, 2], "y": [2, 1]}}), **QUICK)
    # Two raters, two units, always opposite: by hand, observed disagreement 4 of 4 pairs, expected 8 of 12.
    assert found.loc["A", "alpha"] == pytest.approx(1 - 1 / (2 / 3))


@pytest.mark.parametrize("distance", [0.0, 0.5])
def test_the_interval_covers_alpha_at_its_nominal_rate(distance):
    rng = np.random.default_rng(1)

    def rankings(images):
        return scipy.stats.rankdata(distance * np.arange(4) + rng.normal(size=(images, 4)), axis=1)

    everybody = PatternCounts(rankings(100_000)).alpha(np.arange(100_000))
    assert everybody == pytest.approx(0, abs=0.001) if distance == 0 else everybody > 0.2
    covered = 0
    for _ in range(200):
        counts = PatternCounts(rankings(100))
        [low], [high] = interval(counts.alphas, 100, 200, 0.95, seed=0)
        covered += low <= everybody <= high
    # Of 200 at 95 %, less than 181 or more than 198 come up once in a hundred times.
    assert 181 <= covered <= 198


def test_more_noise_is_less_agreement():
    rng = np.random.default_rng(2)
    alpha = [reliability.inter_rater(table(rng, 200, noise), **QUICK)["alpha"]["A"] for noise in (0.1, 1, 3, 30)]
    assert alpha[0] == pytest.approx(1, abs=0.01)
    assert alpha == sorted(alpha, reverse=True)
    assert alpha[-1] == pytest.approx(0, abs=0.05)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_spearman_is_scipys(seed, tied):
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, 4, (20, 3)).astype(float) if tied else rng.normal(size=(20, 3))
    drawn = rng.integers(20, size=20)
    chosen = columns[drawn]
    if (chosen == chosen[0]).all(axis=0).any():
        assert np.isnan(Spearman(columns).mean_of_pairs(drawn))
        return
    expected = np.mean(
        [scipy.stats.spearmanr(chosen[:, a], chosen[:, b]).statistic for a, b in itertools.combinations(range(3), 2)]
    )
    assert Spearman(columns).mean_of_pairs(drawn) == pytest.approx(expected, abs=1e-12)


def test_inter_method_of_a_planted_table():
    image = np.arange(10.0)
    found = reliability.inter_method(reliability.from_arrays({"A": {"x": image, "y": image**3, "z": -image}}), **QUICK)
    assert found.loc["A", "rho"] == pytest.approx((1 - 1 - 1) / 3)
    assert found.loc["A", ["images", "methods"]].tolist() == [10, 3]


def test_internal_consistency_of_a_planted_table_knows_where_lower_is_better():
    score = np.random.default_rng(3).normal(size=12)
    scores = reliability.from_arrays({"RCAP": {"x": score}, "Deletion": {"x": -score}, "AOPC LeRF": {"x": score}})
    found = reliability.internal_consistency(scores, **QUICK).set_index(["metric", "other"])["rho"]
    assert found["Deletion", "RCAP"] == pytest.approx(1)
    assert found["AOPC LeRF", "RCAP"] == pytest.approx(-1)
    told = scores.assign(higher_is_better=True)
    assert reliability.internal_consistency(told, **QUICK)["rho"].tolist() == pytest.approx([-1, 1, -1])


def test_consistency_matrix_is_symmetric_with_ones():
    scores = table(np.random.default_rng(4), metrics=("A", "B", "C"))
    consistency = reliability.internal_consistency(scores, **QUICK)
    matrix = reliability.consistency_matrix(consistency)
    assert (matrix.to_numpy() == matrix.to_numpy().T).all()
    assert np.diag(matrix).tolist() == [1, 1, 1]
    expected = consistency.query("metric == 'A' and other == 'C'")["rho"].mean()
    assert matrix.loc["C", "A"] == pytest.approx(expected)


def test_implementation_sensitivity_compares_variants_of_one_metric_only():
    rng = np.random.default_rng(5)
    names = ("AOPC (mean) L=20", "AOPC (blur) L=20", "AOPC (blur) L=40", "RCAP (black)", "Faithfulness")
    found = reliability.implementation_sensitivity(table(rng, metrics=names), **QUICK)
    assert set(zip(found["metric"], found["other"], strict=True)) == {("AOPC (blur) L=20", "AOPC (mean) L=20")}
    assert len(reliability.implementation_sensitivity(table(rng), **QUICK)) == 0


@pytest.mark.parametrize("check", [reliability.inter_rater, reliability.inter_method, reliability.internal_consistency])
def test_permuting_the_rows_changes_nothing(check):
    scores = table(np.random.default_rng(6))
    shuffled = scores.sample(frac=1, random_state=0)
    first, second = check(scores, **QUICK), check(shuffled, **QUICK)
    assert_frame_equal(first.sort_index(), second.sort_index(), check_like=True)


def test_an_image_with_a_gap_is_left_out_and_a_method_without_scores_too():
    scores = table(np.random.default_rng(7), metrics=("A",))
    gap = (scores["image"] == 3) & (scores["method"] == "m2")
    nothing = scores[scores["method"] == "m1"].assign(method="constant", score=np.nan)
    found = reliability.inter_rater(pd.concat([scores.assign(score=scores["score"].mask(gap)), nothing]), **QUICK)
    whole = reliability.inter_rater(scores[scores["image"] != 3], **QUICK)
    assert_frame_equal(found, whole)
    assert found.loc["A", ["images", "methods"]].tolist() == [39, 4]


def test_intervals_are_scipys_and_the_same_for_the_same_seed():
    values = np.random.default_rng(8).normal(size=50)
    rng = np.random.default_rng(0)
    expected = scipy.stats.bootstrap((values,), np.mean, n_resamples=500, method="percentile", rng=rng)
    assert mean_interval(values, 500, 0.95, 0) == pytest.approx(tuple(expected.confidence_interval))
    by_index = interval(lambda drawn: np.array([values[drawn].mean(), -values[drawn].mean()]), 50, 500, 0.95, 0)
    low, high = mean_interval(values, 500, 0.95, 0)
    np.testing.assert_allclose(by_index, [[low, -high], [high, -low]])
    assert np.isnan(mean_interval(values[:1], 500, 0.95, 0)).all()
